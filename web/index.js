/**
 * halfclip: half of CLIP, an image encoder or a text encoder, loaded alone.
 * @module
 */

import { underSignal } from './base/abort.js';
import { HalfclipError, describe } from './base/errors.js';
import { LOAD_OPTIONS, readOptions } from './base/options.js';
import { arriving, getHost, imported, isNode, isPage, locate } from './base/platform.js';
import { hasTag } from './base/realm.js';
import { askToPersist, completeCache } from './cache/tower-cache.js';
import { loadEncoder } from './encoder/load-encoder.js';
import { describeTokenizer } from './encoder/tokenizer-files.js';
import { explaining } from './models/closest.js';
import { resolveModel } from './models/resolve.js';
import { assetsFolder, findAssets } from './network/assets.js';
import { completeLimits } from './network/limits.js';
import { completeRetry } from './network/retry.js';
import { ImageTower } from './towers/image-tower.js';
import { TextTower } from './towers/text-tower.js';
import { Lanes } from './worker/lanes.js';
import { WorkerEncoder } from './worker/worker-encoder.js';

export { HalfclipError };

/**
 * Loads an image encoder.
 * @param {import('./index.js').LoadOptions} options
 * @returns {Promise<ImageTower>}
 */
export async function loadImageEncoder(options) {
  return new ImageTower(await load('image', options));
}

/**
 * Loads a video encoder.
 * @param {import('./index.js').VideoLoadOptions} options
 */
export async function loadVideoEncoder(options) {
  if (!imported.openVideoTower)
    await arriving(import('./towers/video-tower.js'), "a service worker has to import 'halfclip/video' first");
  return imported.openVideoTower(options, load);
}

const KEPT = 'a service worker has to ask a page';

/**
 * Loads a text encoder.
 * @param {import('./index.js').LoadOptions} options
 * @returns {Promise<TextTower>}
 */
export async function loadTextEncoder(options) {
  return new TextTower(await load('text', options));
}

/**
 * The towers that are kept.
 * @param {{ dir?: string }} [options]
 */
export async function keptTowers(options) {
  return (await arriving(import('./cache/kept.js'), KEPT)).keptTowers(options);
}

/**
 * Removes towers that are kept.
 * @param {'all' | Iterable<string | { name: string }>} which
 * @param {{ dir?: string }} [options]
 */
export async function removeKeptTowers(which, options) {
  return (await arriving(import('./cache/kept.js'), KEPT)).removeKeptTowers(which, options);
}

/**
 * The cosine of the angle between two vectors of finite numbers: 1 for the same direction. 0 if either is all zeros.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b of the same length
 */
export function cosineSimilarity(a, b) {
  const isVector = (value) => value !== null && typeof value === 'object' && value.length !== undefined;
  let cause;
  try {
    if (isVector(a) && isVector(b) && a.length === b.length) return cosine(a, b);
  } catch (error) {
    cause = error; // BigInts, for example
  }
  throw new HalfclipError(
    'input/type',
    `cosineSimilarity() got ${describe(a)} and ${describe(b)}, expected two vectors of numbers of the same length`,
    { cause },
  );
}

function cosine(a, b) {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / (Math.sqrt(aa) * Math.sqrt(bb) || 1); // aa * bb could leave the range of a number
}

async function load(tower, options, temporal) {
  const { model, weights, signal, onProgress, ...given } = readOptions(options, LOAD_OPTIONS);
  const { dtype = 'auto', threads = 'auto', worker, integrity, fetch, hub, simd, dot } = given;
  const tokenizer = describeTokenizer(given.tokenizer, tower);
  const assets = assetsFolder(given.assets);
  const places = findAssets(assets);
  const sides = given.imageSize && [given.imageSize, given.imageSize].flat().slice(0, 2);
  const wasm = describeModule(given.wasm);
  const retry = completeRetry(given.retry);
  const limits = completeLimits(given.limits);
  const keep = completeCache(given.cache);
  const cache = keep.mode;
  return underSignal(signal, async (signal, stop) => {
    const {
      name,
      config,
      weights: place,
    } = await resolveModel(model, weights, tower, { hub, fetch, cache, keep, retry, limits, signal, places });
    if (isNode && place.blob) place.blob = await getHost().ownBlob(place.blob);
    if (isNode && tokenizer?.blob) tokenizer.blob = await getHost().ownBlob(tokenizer.blob);
    const core = {
      tower,
      model: name,
      config,
      weights: place,
      tokenizer,
      language: given.language,
      maxTokens: given.maxTokens,
      hub: hub && String(hub),
      dtype,
      imageSize: tower === 'text' ? undefined : sides,
      temporal,
      threads,
      cache,
      keep,
      retry,
      limits,
      integrity,
      places,
      assets,
      wasm,
      simd,
      dot,
    };
    const hooks = { fetch, signal, onProgress: onProgress && stopping(onProgress, signal, stop) };
    askToPersist(keep);
    const thread = (worker ?? isPage) && (await startWorker(assets, signal, worker === true));
    return explaining(core, () => (thread ? thread.load(core, hooks) : loadHere(core, hooks)));
  });
}

/** An encoder on this thread. */
const loadHere = async (core, hooks) => new Lanes(await loadEncoder(core, hooks), core.assets);

/** A callback that hands what it throws to `stop`, and is not called any more once the signal is aborted. */
const stopping = (callback, signal, stop) => (value) => {
  if (signal.aborted) return;
  try {
    callback(value);
  } catch (error) {
    stop(error);
  }
};

/** The option `wasm` as Wasm.create() and a worker take it: a URL as a string. */
function describeModule(wasm) {
  if (typeof wasm !== 'string' && !hasTag(wasm, 'URL')) return wasm;
  const { url, path } = locate(wasm, 'option wasm');
  return url ?? getHost().fileUrl(path);
}

/**
 * A worker, or null where a page may not have one (the module is of another origin, or a policy forbids it) and nobody
 * asked for it.
 */
async function startWorker(assets, signal, required) {
  try {
    return await WorkerEncoder.start(assets, signal);
  } catch (error) {
    if (required || signal?.aborted) throw error;
    return null;
  }
}
