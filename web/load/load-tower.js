// Drives the loader in WebAssembly: shows it what the file holds, asks which bytes it wants, reads them from a source
// and pushes them in.

import { pausing } from '../base/abort.js';
import { concatenate, decodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { readDirectory } from '../checkpoint/directory.js';
import { DETECT, detectFormat } from '../checkpoint/file-format.js';
import { measureTowers } from '../checkpoint/measure-towers.js';
import { completeLimits } from '../network/limits.js';
import { tapSource } from '../sources/open.js';
import { readBytes } from '../sources/source.js';
import { startDigest } from './digest.js';

const STAGING = 1 << 19; // bytes: how much of the file is in WebAssembly's memory at once, besides its header
const TOWERS = { image: 0, text: 1 };
const DTYPES = { auto: 0, fp32: 1, fp16: 2, int8: 3, int4: 4 };

/**
 * Loads one tower.
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {{ tower: 'image' | 'text', model: string | null, config: string | null, dtype: string, integrity?: string,
 *   limits?: object }} options
 * @param {object} file a source, see sources/source.js
 * @param {{ signal?: AbortSignal, onProgress?: (progress: { phase: string, loaded: number, total?: number }) => void }}
 *   hooks
 * @returns {Promise<{ encoder: number, fetched: number, size: number | undefined }>} the pointer to the encoder; the
 *   bytes read; the size of the files, if it is known
 */
export async function loadTower(wasm, options, file, hooks) {
  const digest = options.integrity === undefined ? null : await startDigest(options.integrity, options.places);
  const opened = await openTensors(options, file, digest, completeLimits(options.limits));
  try {
    return await readTower(wasm, options, opened, digest, hooks);
  } finally {
    if (opened.owner !== file) await opened.owner.close();
  }
}

/**
 * Finds out what kind of file it is, and where its tensors are.
 * @returns {Promise<{ source: object, owner: object, directory: string | null }>} source: what to read from; owner: the
 *   source that is to be closed; directory: null for safetensors, whose own header the loader reads
 */
async function openTensors({ tower, places }, file, digest, limits) {
  const format = detectFormat(await file.peek(DETECT));
  if (format === 'safetensors')
    return { source: digest ? tapSource(file, digest.update) : file, owner: file, directory: null };
  if (!digest) {
    const { json, source } = await readDirectory(places, file, format, tower, limits);
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
    found = await readDirectory(places, again, format, tower, limits);
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

async function readTower(
  wasm,
  { tower, model, config, dtype },
  { source, owner, directory },
  digest,
  { signal, onProgress = () => {} },
) {
  const { exports } = wasm;
  const start = (pointer, length) => wasm.newLoader(TOWERS[tower], pointer, length, DTYPES[dtype]);
  const loader = config === null ? start(0, 0) : wasm.with(config, 'the config', start);
  const check = () => {
    const status = exports.hc_loader_status(loader);
    if (!status) return;
    const code = wasm.string(exports.hc_status_code(status));
    const named = model === null ? 'option model' : `model ${JSON.stringify(model)}`;
    const place =
      config === null
        ? source.name
        : code.startsWith('model/')
          ? named
          : code === 'weights/mismatch'
            ? `${source.name} as ${named}`
            : source.name;
    wasm.check(status, `${place}: ${wasm.string(exports.hc_loader_message(loader))}`);
  };
  const truncated = (length, expected) =>
    new HalfclipError('weights/truncated', `${source.name}: ends after ${length} bytes, expected at least ${expected}`);
  check();

  let header = new Uint8Array(0);
  try {
    if (directory) {
      wasm.with(directory, 'the directory', (pointer, length) => exports.hc_loader_directory(loader, pointer, length));
    } else {
      if (source.size !== undefined) exports.hc_wasm_file_size(loader, source.size);
      check();
      for (let need; (need = exports.hc_wasm_header_need(loader));) {
        header = concatenate([header, await readBytes(source, header.length, need)]);
        wasm.with(header, 'the header', (pointer, length) => exports.hc_loader_header(loader, pointer, length));
        check();
        if (header.length < need) throw truncated(header.length, need);
      }
    }
    check();
  } catch (error) {
    if (error.code !== 'weights/mismatch' || config === null) throw error;
    const { __metadata__, ...tensors } = JSON.parse(directory ?? decodeText(header.subarray(8)));
    throw Object.assign(error, { measured: measureTowers(tensors) }); // for explaining(), see models/closest.js
  }

  wasm.startThreads(loader);
  const ranges = plannedRanges(wasm, loader);
  check();
  const total = expectedBytes(source, header.length, ranges, digest);
  let loaded = header.length;
  const report = () =>
    onProgress({
      phase: 'fetch',
      loaded: Math.min(source.forward ? source.fetched : loaded, total ?? Infinity),
      total,
    });
  const staging = wasm.alloc(STAGING, 'staging');
  const pause = pausing(signal);
  const settle = async () => {
    while (exports.hc_loader_settle(loader)) await pause();
    check();
  };
  report();
  await inParallel(ranges, source, async ({ begin, end }) => {
    let offset = begin;
    for await (const chunk of source.read(begin, end)) {
      signal?.throwIfAborted();
      for (let at = 0, n; at < chunk.length; at += n, offset += n) {
        await pause();
        await settle();
        const { pointer, length } = wasm.place(loader, offset, chunk.length - at);
        n = pointer ? length : Math.min(length, STAGING);
        wasm.bytes(pointer || staging, n).set(chunk.subarray(at, at + n));
        exports.hc_wasm_push(loader, offset, pointer || staging, n);
        check();
      }
      loaded += chunk.length;
      report();
    }
    if (offset < end) throw truncated(offset, end);
  });
  wasm.free(staging);
  await settle();
  if (digest) {
    for await (const _ of source.read(ranges.at(-1)?.end ?? 0, Infinity)) {
      report();
      await pause();
    }
    digest.verify(source.name);
  }
  await source.verify();

  const encoder = exports.hc_loader_finish(loader);
  check();
  exports.hc_loader_free(loader);
  return { encoder, fetched: owner.fetched, size: owner.size };
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

function plannedRanges(wasm, loader) {
  const count = wasm.exports.hc_wasm_ranges(loader, 0, 0);
  const out = wasm.alloc(16 * count + 16, 'ranges');
  wasm.exports.hc_wasm_ranges(loader, out, count);
  const numbers = wasm.doubles(out, 2 * count).slice();
  wasm.free(out);
  return Array.from({ length: count }, (_, i) => ({ begin: numbers[2 * i], end: numbers[2 * i + 1] }));
}

/** How many bytes will have been read at the end, if that is known. */
function expectedBytes(source, headerLength, ranges, digest) {
  if (digest) return source.size;
  if (source.forward) return ranges.at(-1)?.end ?? headerLength;
  return ranges.reduce((sum, { begin, end }) => sum + end - begin, headerLength);
}
