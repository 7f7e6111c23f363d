// Makes an encoder on this thread, of weights or of what the cache has kept of them.

import { untilAborted, untilSettled } from '../base/abort.js';
import { TowerCache } from '../cache/tower-cache.js';
import { loadTower } from '../load/load-tower.js';
import { findAssets } from '../network/assets.js';
import { completeLimits } from '../network/limits.js';
import { completeRetry } from '../network/retry.js';
import { openWeights } from '../sources/open.js';
import { HEAD, familiesOf, familiesOfShard } from '../wasm/families.js';
import { Wasm } from '../wasm/instance.js';
import { Encoder } from './encoder.js';
import { LoadedTower } from './loaded-tower.js';

const PATIENCE = 1000; // milliseconds for a load that was aborted to end by itself

/**
 * @param {object} options
 * @param {'image' | 'text' | 'video'} options.tower
 * @param {string | null} options.model its name, for messages and `info`
 * @param {string | null} options.config JSON text of an open_clip_config.json, or null: the file is a shard
 * @param {object} options.weights from describeWeights
 * @param {object} [options.tokenizer] from describeTokenizer; default: as the model's config says
 * @param {string} [options.language] of the texts, where the tokenizer has languages
 * @param {number} [options.maxTokens] of a text
 * @param {string} [options.hub] where the repository of a tokenizer is looked up
 * @param {string} options.dtype 'auto' | 'fp32' | 'fp16' | 'int8' | 'int4'
 * @param {[number, number]} [options.imageSize] height and width of pictures, in place of the config's
 * @param {number} [options.temporal] of a video tower, one of TEMPORALS
 * @param {RequestCache} [options.cache] for requests
 * @param {object} [options.keep] from completeCache: where towers are kept; without it, nowhere
 * @param {object} [options.retry] see index.d.ts
 * @param {object} [options.limits] the same
 * @param {string} [options.integrity]
 * @param {Record<string, string[]>} [options.places] from findAssets
 * @param {string} [options.assets] from assetsFolder
 * @param {WebAssembly.Module | BufferSource | string} [options.wasm]
 * @param {'relaxed' | 'simd128'} [options.simd]
 * @param {'all'} [options.families] the module with all families and tools, whatever the tower needs
 * @param {'pairs' | 'quads'} [options.dot]
 * @param {{ fetch?: typeof fetch, signal?: AbortSignal, onProgress?: Function }} hooks
 * @returns {Promise<Encoder>}
 */
export async function loadEncoder(options, hooks) {
  const { signal } = hooks;
  const start = instancesFor(options);
  start(familiesOf(options.config ?? '')); // while the file is opened
  const cache = await TowerCache.open(options);
  signal?.throwIfAborted();
  const loading = load(options, start, cache, hooks);
  const { encoder, versions } = await untilAborted(loading, signal).catch(async (error) => {
    const tooLate = ({ encoder }) => encoder.dispose(); // to stop it
    loading.then(tooLate, () => {});
    // What is being kept is let go of first: a caller may want to remove it. A fetch may not heed the signal.
    if (cache) await untilSettled(loading, PATIENCE);
    throw error;
  });
  try {
    if (options.tokenizer) await encoder.texts.prepare(signal);
    if (cache && !encoder.info.cached) await keep(encoder.tower, cache, versions, signal);
  } catch (error) {
    encoder.dispose();
    throw error;
  }
  return encoder;
}

/** An instance for each set of families, made when it is first asked for. */
function instancesFor(options) {
  const made = {};
  const asked = options.families ?? (options.tokenizer || options.tower === 'video' ? 'all' : undefined);
  return (needed) => {
    const families = asked ?? needed;
    if (!made[families]) {
      made[families] = Wasm.create({ ...options, families });
      made[families].catch(() => {}); // reported when it is awaited
    }
    return made[families];
  };
}

async function load(options, start, towers, { fetch, signal, onProgress }) {
  const { cache, integrity, places = findAssets() } = options;
  const network = { fetch, retry: completeRetry(options.retry), limits: completeLimits(options.limits) };
  const make = (wasm, pointer, sizes) =>
    new Encoder(LoadedTower.of(wasm, pointer, options, sizes), { ...options, places }, network);
  const kept = await towers?.load(start, { fetch, signal, onProgress });
  if (kept) {
    const { wasm, encoder, fetchedBytes, fileBytes } = kept;
    return { encoder: make(wasm, encoder, { fetchedBytes, fileBytes, cached: true }) };
  }
  let file;
  let wasm;
  let failure;
  try {
    const { config } = options;
    file = await openWeights(options.weights, {
      ...network,
      cache: towers?.outdated ? 'no-cache' : cache,
      signal,
      whole: integrity !== undefined || config === null,
      part: towers?.part,
    });
    const starting = start(config === null ? familiesOfShard(await file.peek(HEAD)) : familiesOf(config));
    wasm = towers ? (await starting).spawn() : await starting;
    signal?.throwIfAborted();
    const { encoder, fetched, size } = await loadTower(wasm, options, file, { signal, onProgress });
    const sizes = { fetchedBytes: fetched, fileBytes: size ?? null, cached: false };
    return { encoder: make(wasm, encoder, sizes), versions: file.versions };
  } catch (error) {
    wasm?.release();
    failure = { code: error?.code };
    throw error;
  } finally {
    await file?.close();
    await towers?.endParts(failure);
  }
}

async function keep(tower, cache, versions, signal) {
  const { dtype, fetchedBytes, fileBytes } = tower.info;
  const wasm = tower.wasm();
  await cache.store(wasm, tower.encoder, { versions, dtype, fetchedBytes, fileBytes }, signal);
  tower.info.memoryBytes = wasm.memoryBytes;
}
