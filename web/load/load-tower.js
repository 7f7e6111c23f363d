// Loads one tower: finds out what kind of file it is, and reads what the loader wants of it.

import { pausing } from '../base/abort.js';
import { HalfclipError } from '../base/errors.js';
import { namesFor } from '../checkpoint/contents.js';
import { readDirectory } from '../checkpoint/directory.js';
import { DETECT, detectFormat } from '../checkpoint/file-format.js';
import { completeLimits } from '../network/limits.js';
import { tapSource } from '../sources/forward-source.js';
import { startDigest } from './digest.js';
import { TowerLoader } from './tower-loader.js';

/**
 * Loads one tower.
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {{ tower: 'image' | 'text' | 'video', model: string | null, config: string | null, dtype: string, imageSize?:
 *   [number, number], integrity?: string, limits?: object }} options
 * @param {object} file a source, see sources/source.js
 * @param {{ signal?: AbortSignal, onProgress?: (progress: { phase: string, loaded: number, total?: number }) => void }}
 *   hooks
 * @returns {Promise<{ encoder: number, fetched: number, size: number | undefined }>} the pointer to the encoder; the
 *   bytes read; the size of the files, if it is known
 */
export async function loadTower(wasm, options, file, hooks) {
  const digest = options.integrity === undefined ? null : await startDigest(options.integrity, options.places);
  const opened = await openTensors(wasm, options, file, digest, completeLimits(options.limits));
  try {
    return await readTensors(new TowerLoader(wasm, options, opened.source.name), opened, digest, hooks);
  } finally {
    if (opened.owner !== file) await opened.owner.close();
  }
}

/**
 * Finds out what kind of file it is, and where its tensors are.
 * @returns {Promise<{ source: object, owner: object, directory: string | null }>} source: what to read from; owner: the
 *   source that is to be closed; directory: null for safetensors, whose own header the loader reads
 */
async function openTensors(wasm, { tower, places }, file, digest, limits) {
  const format = detectFormat(await file.peek(DETECT));
  const choose = (names) => namesFor(wasm, tower, names, file.name);
  if (format === 'safetensors')
    return { source: digest ? tapSource(file, digest.update) : file, owner: file, directory: null };
  if (!digest) {
    const { json, source } = await readDirectory(places, file, format, choose, limits);
    return { source, owner: source, directory: json };
  }
  if (format === 'index') {
    throw new HalfclipError(
      'input/type',
      `option integrity is for one file, but ${file.name} is the index of a checkpoint in several`,
    );
  }
  const again = (file.forward && (await file.reopen())) || file;
  let found;
  try {
    found = await readDirectory(places, again, format, choose, limits);
  } catch (error) {
    await again.close();
    throw error;
  }
  const { json, source, pieces } = found;
  // The directory was read before: what is hashed must be what it was made of.
  let at = 0;
  const update = (chunk) => {
    for (const { begin, bytes } of pieces) {
      const from = Math.max(at, begin);
      const to = Math.min(at + chunk.length, begin + bytes.length);
      for (let i = from; i < to; i++) {
        if (chunk[i - at] !== bytes[i - begin])
          throw new HalfclipError('weights/changed', `${file.name}: the file changed while it was read, at byte ${i}`);
      }
    }
    at += chunk.length;
    digest.update(chunk);
  };
  return { source: tapSource(source, update), owner: source, directory: json };
}

/** Reads what the tower needs, and makes an encoder of it. */
async function readTensors(loader, { source, owner, directory }, digest, { signal, onProgress = () => {} }) {
  const headerLength = directory ? loader.readDirectory(directory) : await loader.readHeader(source);
  const ranges = loader.planRanges();
  const total = expectedBytes(source, headerLength, ranges, digest);
  let loaded = headerLength;
  const report = () => {
    const bytes = source.forward ? source.fetched : loaded;
    onProgress({ phase: 'fetch', loaded: Math.min(bytes, total ?? Infinity), total });
  };
  const pause = pausing(signal);
  report();
  await inParallel(ranges, source, async ({ begin, end }) => {
    let offset = begin;
    for await (const chunk of source.read(begin, end)) {
      signal?.throwIfAborted();
      await loader.push(offset, chunk, pause);
      offset += chunk.length;
      loaded += chunk.length;
      report();
    }
    if (offset < end) throw loader.truncated(offset, end);
  });
  await loader.settle(pause);
  if (digest) {
    for await (const _ of source.read(ranges.at(-1)?.end ?? 0, Infinity)) {
      report();
      await pause();
    }
    digest.verify(source.name);
  }
  await source.verify();
  return { encoder: loader.finish(), fetched: owner.fetched, size: owner.size };
}

/**
 * Does `work` with every range, several at once where the source allows; after a failure nothing of it is still
 * running.
 */
async function inParallel(ranges, source, work) {
  const waiting = ranges.values();
  let failure;
  const worker = async () => {
    for (const range of waiting) {
      try {
        await work(range);
      } catch (error) {
        failure ??= { error };
        await source.close(); // ends the others' reads
      }
      if (failure) return;
    }
  };
  await Promise.all(Array.from({ length: source.parallel }, worker));
  if (failure) throw failure.error;
}

/** How many bytes will have been read at the end, if that is known. */
function expectedBytes(source, headerLength, ranges, digest) {
  if (digest) return source.size;
  if (source.forward) return ranges.at(-1)?.end ?? headerLength;
  return ranges.reduce((sum, { begin, end }) => sum + end - begin, headerLength);
}
