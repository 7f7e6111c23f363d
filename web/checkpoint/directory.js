// Which tensors a source holds, and where: the formats that are not one .safetensors file. Each ends in a directory,
// JSON text like a safetensors header, and a source in whose address space its offsets count.

import { decodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { tooLarge } from '../network/limits.js';
import { BlobSource } from '../sources/open.js';
import { readBytes, readText } from '../sources/source.js';
import { createReader } from '../wasm/instance.js';
import { exhausted } from '../wasm/memory.js';
import { DETECT, detectFormat } from './file-format.js';

const PREFIX = 8; // bytes before a safetensors header: its length
const MAX_HEADER = 16 * 2 ** 20; // as in src/checkpoint/safetensors.h

// A checkpoint in several files is one large file to the loader: file k begins at k * FILE_SPACING.
const FILE_SPACING = 2 ** 44;
const MAX_FILES = 500;

/**
 * Reads the directory of a file of another format than safetensors.
 * @param {Record<string, string[]> | undefined} places from findAssets, for the reader of PyTorch files
 * @param {object} source see source.js
 * @param {'pytorch' | 'index'} format
 * @param {(names: string[]) => string[]} choose of a checkpoint in several files the tensors that are wanted
 * @param {object} limits from completeLimits
 * @returns {Promise<{ json: string, source: object, files: string[], pieces: { begin: number, bytes: Uint8Array }[] }>}
 *   json: the directory; source: where its tensors are; files: names of all files; pieces: the bytes of `source` that
 *   the directory was made of
 */
export async function readDirectory(places, source, format, choose, limits) {
  const held = { bytes: 0, limit: limits.whole };
  return format === 'pytorch' ? readPyTorch(places, source, held) : readIndex(places, source, choose, limits, held);
}

/** @param {{ bytes: number, limit: number }} held what is kept in memory of this checkpoint's files */
async function readPyTorch(places, source, held) {
  const file = await withRandomAccess(source, held);
  const wasm = await createReader('halfclip-files.wasm', places);
  const { exports } = wasm;
  const pieces = [];
  const torch = exports.hc_wasm_torch_new(file.size);
  if (!torch) throw exhausted('a reader of PyTorch files');
  const out = wasm.alloc(16, 'a range');
  try {
    while (exports.hc_wasm_torch_want(torch, out)) {
      const [begin, end] = wasm.doubles(out, 2);
      const bytes = await readBytes(file, begin, end);
      pieces.push({ begin, bytes });
      wasm.with(bytes, 'the directory', (pointer, length) => exports.hc_wasm_torch_give(torch, begin, pointer, length));
    }
    const status = exports.hc_wasm_torch_status(torch);
    if (status) wasm.check(status, `${file.name}: ${wasm.string(exports.hc_wasm_torch_message(torch))}`);
    const text = exports.hc_wasm_torch_header(torch, out);
    return {
      json: decodeText(wasm.bytes(text, wasm.ints(out, 1)[0] >>> 0).slice()),
      source: file,
      files: [file.name],
      pieces,
    };
  } finally {
    exports.hc_wasm_torch_free(torch);
    wasm.free(out);
  }
}

/** The same file, all of it kept where a server sends no ranges: what says where tensors are stands at the end. */
async function withRandomAccess(source, held) {
  if (!source.forward) await source.measure?.();
  if (!source.forward && source.size !== undefined) return source;
  const check = (more) => {
    if (held.bytes + more > held.limit) throw tooLarge('memory/exhausted', source.name, 'whole', held.limit);
  };
  check(source.size ?? 0);
  const parts = [];
  for await (const chunk of source.read(0, Infinity)) {
    check(chunk.length);
    held.bytes += chunk.length;
    parts.push(chunk.slice());
  }
  return Object.assign(new BlobSource(new Blob(parts), source.name), { close: () => source.close() });
}

async function readIndex(places, source, choose, limits, held) {
  const weightMap = await readWeightMap(source, limits);
  const names = [...new Set(choose(Object.keys(weightMap)).map((name) => weightMap[name]))].sort();
  if (names.length > MAX_FILES)
    throw new HalfclipError(
      'weights/format',
      `${source.name}: names ${names.length} files, expected at most ${MAX_FILES}`,
    );
  const joined = new JoinedSource(source);
  const directory = {};
  try {
    for (const [k, name] of names.entries()) {
      const file = joined.add(await source.sibling(name));
      const { tensors, source: bytes } = await readFileDirectory(places, file, held);
      joined.replace(file, bytes);
      for (const [
        tensor,
        {
          data_offsets: [begin, end],
          ...held
        },
      ] of Object.entries(tensors)) {
        if (weightMap[tensor] !== name) continue;
        directory[tensor] = { ...held, data_offsets: [begin + k * FILE_SPACING, end + k * FILE_SPACING] };
      }
    }
  } catch (error) {
    await joined.close();
    throw error;
  }
  return { json: JSON.stringify(directory), source: joined, files: names, pieces: [] };
}

async function readWeightMap(source, limits) {
  const text = await readText(source, 'weights/format', limits);
  let index;
  try {
    index = JSON.parse(text);
  } catch (error) {
    throw new HalfclipError('weights/format', `${source.name}: looks like a JSON text, but is none: ${error.message}`, {
      cause: error,
    });
  }
  const map = index?.weight_map;
  if (!map || typeof map !== 'object') {
    throw new HalfclipError(
      'weights/format',
      `${source.name}: is a JSON text without weight_map, expected a .safetensors file or the .safetensors.index.json of one in several files`,
    );
  }
  // Names come from whoever wrote the file: they must not lead elsewhere.
  const wrong = Object.values(map).find(
    (name) => typeof name !== 'string' || !/^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/.test(name),
  );
  if (wrong !== undefined)
    throw new HalfclipError(
      'weights/format',
      `${source.name}: its weight_map names the file ${JSON.stringify(wrong)}, expected a file beside it`,
    );
  return map;
}

/** The tensors of one file, with offsets from its start: { tensors, metadata, source }. */
export async function readFileDirectory(places, source, held) {
  const head = await source.peek(DETECT);
  const format = detectFormat(head);
  if (format === 'index')
    throw new HalfclipError('weights/format', `${source.name}: looks like a JSON text, expected a .safetensors file`);
  if (format === 'safetensors') return { source, ...(await readSafetensors(source, head)) };
  const { json, source: file } = await readPyTorch(places, source, held);
  return { source: file, tensors: JSON.parse(json), metadata: {} };
}

/**
 * What a file that is not safetensors looks like, in the words of hc_safetensors_guess; undefined: like nothing known.
 */
function guess(head) {
  if (head.length && head.every((byte) => byte === 0)) return 'a file of zeros';
  const text = String.fromCharCode(...head);
  if (text.startsWith('\x1f\x8b')) return 'a gzip archive';
  if (text.startsWith('GGUF')) return 'a GGUF file';
  if (text.startsWith('version ')) return 'a Git LFS pointer, not the file it points to';
  if (text.startsWith('\x93NUMPY')) return 'a NumPy array';
  if (text.startsWith('\x89HDF')) return 'an HDF5 file';
  if (/^\x08[\0-\x1f]\x12/.test(text)) return 'an ONNX model';
  const [, tag] = /^(?:\xef\xbb\xbf)?[ \t\r\n]*<(\??)/.exec(text) ?? [];
  if (tag !== undefined) return tag ? 'an XML document' : 'an HTML page';
  return undefined;
}

async function readSafetensors(source, head) {
  const length = head.length < PREFIX ? 0 : Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true));
  if (head.length <= PREFIX || head[PREFIX] !== 0x7b || length > MAX_HEADER) {
    const kind = guess(head);
    if (kind)
      throw new HalfclipError(
        'weights/format',
        `${source.name}: the file looks like ${kind}, expected a safetensors file`,
      );
    if (head.length <= PREFIX)
      throw new HalfclipError(
        'weights/truncated',
        `${source.name}: the file ends at byte ${head.length}, before its safetensors header does`,
      );
    throw new HalfclipError(
      'weights/format',
      `${source.name}: the file does not begin as a safetensors file does (with its header's length and '{')`,
    );
  }
  const start = PREFIX + length;
  const bytes = await readBytes(source, PREFIX, start);
  if (bytes.length < length)
    throw new HalfclipError(
      'weights/truncated',
      `${source.name}: ends after ${PREFIX + bytes.length} bytes, within its header of ${start}`,
    );
  const { __metadata__: metadata = {}, ...entries } = parseHeader(bytes, source.name);
  const tensors = {};
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [begin, end],
    },
  ] of Object.entries(entries)) {
    tensors[name] = { dtype, shape, data_offsets: [start + begin, start + end] };
    if (start + end > source.size)
      throw new HalfclipError(
        'weights/truncated',
        `${source.name}: ends after ${source.size} bytes, tensor ${name} at byte ${start + end}`,
      );
  }
  return { tensors, metadata };
}

/** The header of a safetensors file, as an object of well-formed entries. */
function parseHeader(bytes, name) {
  let header;
  try {
    header = JSON.parse(decodeText(bytes));
  } catch (error) {
    throw new HalfclipError('weights/format', `${name}: its header is not JSON: ${error.message}`, { cause: error });
  }
  const count = (n) => Number.isSafeInteger(n) && n >= 0;
  const isTensor = (entry) =>
    typeof entry?.dtype === 'string' &&
    Array.isArray(entry.shape) &&
    entry.shape.every(count) &&
    entry.data_offsets?.length === 2 &&
    entry.data_offsets.every(count) &&
    entry.data_offsets[0] <= entry.data_offsets[1];
  const wrong = Object.entries(header ?? {}).find(([key, entry]) => key !== '__metadata__' && !isTensor(entry));
  if (header === null || typeof header !== 'object' || wrong) {
    throw new HalfclipError(
      'weights/format',
      `${name}: its header is not that of a safetensors file${wrong ? `: tensor ${wrong[0]}` : ''}`,
    );
  }
  return header;
}

/** Several sources as one, see FILE_SPACING. */
class JoinedSource {
  #index;
  #files = [];

  constructor(index) {
    this.#index = index;
    this.name = index.name;
    this.forward = false;
  }

  add(file) {
    this.#files.push(file);
    return file;
  }

  replace(file, by) {
    this.#files[this.#files.indexOf(file)] = by;
  }

  get size() {
    return this.#files.reduce((sum, { size }) => sum + size, 0) || undefined;
  }

  get fetched() {
    return [this.#index, ...this.#files].reduce((sum, { fetched }) => sum + fetched, 0);
  }

  get parallel() {
    return Math.min(...this.#files.map(({ parallel }) => parallel));
  }

  read(begin, end) {
    const k = Math.floor(begin / FILE_SPACING);
    return this.#files[k].read(begin - k * FILE_SPACING, end - k * FILE_SPACING);
  }

  /** Each file is of one version; together they must be, too. */
  async verify() {
    await Promise.all([this.#index, ...this.#files].map((file) => file.recheck()));
  }

  async close() {
    for (const file of [this.#index, ...this.#files]) await file.close();
  }
}
