// An index as bytes: an ordinary .safetensors file.
//
//     ends      I32 [n]        where each entry ends in `entries`
//     scales    F32 [n]        what the numbers of a row are times, so that it has length 1
//     checks    I32 [n]        XXH32 of each row: its entry, then its scale and numbers
//     entries   U8 [bytes]     of each row its id as JSON, and where it has data a tab and these as JSON; UTF-8
//     vectors   I8 or F32 [n, dim]
//     again     U8 [bytes]     what the metadata says of the index once more, its length and XXH32, and MAGIC
//
// The metadata hold `halfclip_index`, the JSON text of { version, dtype, dim, count, entries, revision, metadata }, and
// its XXH32. One damaged place costs a row, or the header, of which the end has what matters; a file that was cut has
// all rows up to there.

import { concatenate, decodeText, encodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { readBytes } from '../sources/source.js';
import { hashBytes, xxh32 } from './xxh32.js';

const VERSION = 1;
const MAGIC = encodeText('hcINDEX1');
const TAIL = 8 + MAGIC.length; // bytes behind what `again` says: length, XXH32, MAGIC
const MOST_HEADER = 16 * 2 ** 20; // as in src/checkpoint/safetensors.h
export const MOST_ENTRIES = 2 ** 31 - 1; // bytes
const PIECE = 1 << 20; // bytes that are written at once

const NAMES = { int8: 'I8', fp32: 'F32' };

/** The tensors of a file, in their order: name, type, shape and bytes. */
function tensorsOf({ dtype, dim, count, entries }, again) {
  const size = dtype === 'int8' ? 1 : 4;
  return [
    ['ends', 'I32', [count], 4 * count],
    ['scales', 'F32', [count], 4 * count],
    ['checks', 'I32', [count], 4 * count],
    ['entries', 'U8', [entries], entries],
    ['vectors', NAMES[dtype], [count, dim], size * count * dim],
    ['again', 'U8', [again], again],
  ];
}

/** The line that `entries` has for a row. */
export const writeEntry = (id, data) => JSON.stringify(id) + (data === undefined ? '' : `\t${data}`);

/**
 * The bytes of an index, some at a time.
 * @param {object} index
 * @param {'int8' | 'fp32'} index.dtype
 * @param {number} index.dim
 * @param {string[]} index.lines from writeEntry, of each row
 * @param {string} index.revision
 * @param {object} index.metadata
 * @param {(row: number) => { values: Int8Array | Float32Array, scale: number }} index.row which stay as they are until
 *   the last piece was taken
 * @returns {Generator<Uint8Array>} each piece may use the memory of the one before
 */
export function* writeIndex({ dtype, dim, lines, revision, metadata, row }) {
  const count = lines.length;
  const ends = new Int32Array(count);
  const encoded = lines.map(encodeText);
  let bytes = 0;
  encoded.forEach((line, i) => (ends[i] = bytes += line.length));
  // Vectors begin at a multiple of 8.
  const padding = (8 - ((12 * count + bytes) % 8)) % 8;
  if (bytes + padding > MOST_ENTRIES)
    throw new HalfclipError('memory/exhausted', `ids and data of an index take ${bytes} bytes, more than 2 GB`);
  const entries = concatenate([...encoded, new Uint8Array(padding).fill(0x20)]);

  const scales = new Float32Array(count);
  const checks = new Int32Array(count);
  const hash = rowHash(entries, ends, dim * (dtype === 'int8' ? 1 : 4));
  for (let i = 0; i < count; i++) {
    const { values, scale } = row(i);
    scales[i] = scale;
    checks[i] = hash(i, scale, bytesOf(values));
  }

  const about = { version: VERSION, dtype, dim, count, entries: entries.length, revision, metadata };
  const text = JSON.stringify(about);
  const again = writeAgain(text);
  yield writeHeader(about, text, again.length);
  for (const part of [ends, scales, checks, entries]) yield* pieces(bytesOf(part));
  const piece = new Uint8Array(PIECE);
  let filled = 0;
  for (let i = 0; i < count; i++) {
    const values = bytesOf(row(i).values);
    for (let at = 0; at < values.length;) {
      const part = values.subarray(at, at + PIECE - filled);
      piece.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < PIECE) continue;
      yield piece;
      filled = 0;
    }
  }
  yield piece.subarray(0, filled);
  yield again;
}

const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);

function* pieces(bytes) {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

function writeAgain(text) {
  const bytes = encodeText(text);
  // As long as a multiple of 8, so that what is behind the header stays aligned wherever it is put.
  const padded = concatenate([bytes, new Uint8Array((8 - (bytes.length % 8)) % 8).fill(0x20)]);
  const tail = new DataView(new ArrayBuffer(8));
  tail.setUint32(0, padded.length, true);
  tail.setInt32(4, hashBytes(padded), true);
  return concatenate([padded, bytesOf(new Uint8Array(tail.buffer)), MAGIC]);
}

function writeHeader(about, text, again) {
  const hash = hashBytes(encodeText(text));
  const header = { __metadata__: { format: 'pt', halfclip_index: text, halfclip_index_xxh32: String(hash) } };
  let at = 0;
  for (const [name, dtype, shape, bytes] of tensorsOf(about, again)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = encodeText(JSON.stringify(header));
  const padded = concatenate([json, new Uint8Array((8 - (json.length % 8)) % 8).fill(0x20)]);
  const prefix = new DataView(new ArrayBuffer(8));
  prefix.setBigUint64(0, BigInt(padded.length), true);
  return concatenate([new Uint8Array(prefix.buffer), padded]);
}

/** What computes the check of row i: XXH32 of its entry, and from there on of its scale and its bytes. */
function rowHash(entries, ends, bytes) {
  const lines = new DataView(entries.buffer, entries.byteOffset, entries.length);
  const row = new Uint8Array(4 + bytes);
  const view = new DataView(row.buffer);
  return (i, scale, values) => {
    const begin = i ? ends[i - 1] : 0;
    const isRange = begin >= 0 && begin <= ends[i] && ends[i] <= entries.length;
    view.setFloat32(0, scale, true);
    row.set(values, 4);
    return isRange ? xxh32(view, 0, row.length, xxh32(lines, begin, ends[i], 0)) : NaN;
  };
}

/** What a file says of the index in it, from its metadata or its end; null where that is no index, or damaged. */
function parseAbout(text) {
  let about;
  try {
    about = JSON.parse(text);
  } catch {
    return null;
  }
  const { version, dtype, dim, count, entries, revision, metadata } = about ?? {};
  if (Number.isInteger(version) && version > VERSION)
    throw new HalfclipError(
      'weights/format',
      `the index is of version ${version}, which is newer than this version of halfclip reads: ${VERSION}`,
    );
  const isSize = (n, most) => Number.isInteger(n) && n >= 0 && n <= most;
  const isRight =
    version === VERSION &&
    Object.hasOwn(NAMES, dtype) &&
    isSize(dim, 2 ** 16) &&
    dim > 0 &&
    isSize(count, 2 ** 31) &&
    isSize(entries, MOST_ENTRIES) &&
    typeof revision === 'string' &&
    metadata !== null &&
    typeof metadata === 'object';
  return isRight ? about : null;
}

/** The header of a file: where its tensors lie, and what it says of the index; null if it is damaged or none. */
async function readHeader(source) {
  const prefix = await readBytes(source, 0, 8);
  if (prefix.length < 8) return null;
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true));
  if (length > MOST_HEADER || length < 2) return null;
  const bytes = await readBytes(source, 8, 8 + length);
  if (bytes.length < length) return null;
  let header;
  try {
    header = JSON.parse(decodeText(bytes));
  } catch {
    return null;
  }
  const { halfclip_index: text, halfclip_index_xxh32: hash } = header?.__metadata__ ?? {};
  if (typeof text !== 'string' || String(hashBytes(encodeText(text))) !== hash) return null;
  const about = parseAbout(text);
  if (!about) return null;
  const again = 8 * Math.ceil(encodeText(text).length / 8) + TAIL;
  const places = {};
  let at = 8 + length;
  for (const [name, dtype, , size] of tensorsOf(about, again)) {
    // Another program may have written the file again, in another order.
    const [begin, end] = header[name]?.data_offsets ?? [];
    const isThere = Number.isSafeInteger(begin) && begin >= 0 && end - begin === size && header[name].dtype === dtype;
    places[name] = isThere ? [8 + length + begin, 8 + length + end] : [at, at + size];
    at += size;
  }
  return { about, places };
}

/** What is behind the vectors: the text about the index; null where it is damaged. */
function parseAgain(bytes) {
  const at = bytes.length - TAIL;
  if (at < 0 || MAGIC.some((byte, i) => bytes[at + 8 + i] !== byte)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
  const begin = at - view.getUint32(0, true);
  const text = begin < 0 ? null : bytes.subarray(begin, at);
  return text && hashBytes(text) === view.getInt32(4, true) ? text : null;
}

/** What readHeader gives, from the end of a file whose header is damaged. */
async function readEnd(source) {
  const { size } = source;
  if (!(size > TAIL) || source.forward) return null;
  const text = parseAgain(await readBytes(source, Math.max(0, size - MOST_HEADER), size));
  const about = text && parseAbout(decodeText(text));
  if (!about) return null;
  const tensors = tensorsOf(about, text.length + TAIL);
  let at = size - tensors.reduce((sum, [, , , bytes]) => sum + bytes, 0);
  const places = {};
  for (const [name, , , bytes] of tensors) places[name] = [at, (at += bytes)];
  return places.ends[0] < 0 ? null : { about, places };
}

/** Which version of an index a file holds, as the one that saved it called it; null where it holds none. */
export async function readRevision(source) {
  const found = (await readHeader(source)) ?? (await readEnd(source));
  return found?.about.revision ?? null;
}

/**
 * Reads an index, row by row, and tells what is damaged.
 * @param {import('../sources/source.js').Source} source
 * @param {object} hooks
 * @param {(about: { dtype: string, dim: number, revision: string, metadata: object }, rows: number) => void} hooks.begin
 *   rows: how many there can be at most, 0 if that is not known
 * @param {(id: string | number, data: string | undefined, values: Int8Array | Float32Array, scale: number) => boolean}
 *   hooks.row called for each whole row; its values are of the next one afterwards; false: there is such an id
 * @param {() => Promise<void>} hooks.pause called often
 * @returns {Promise<{ whole: number, count: number, problem: string | null, truncated: boolean }>} problem: what is
 *   wrong with the file, in words
 */
export async function readIndex(source, { begin, row, pause }) {
  const header = await readHeader(source);
  const { about, places } = header ?? (await readEnd(source)) ?? (await failToRead(source));
  const { dtype, dim, count } = about;
  const rowBytes = dim * (dtype === 'int8' ? 1 : 4);
  begin(about, source.size === undefined ? 0 : Math.min(count, Math.floor(source.size / rowBytes)));

  const part = (name) => readBytes(source, ...places[name]);
  const table = async (name, Type) => {
    const bytes = await part(name);
    return new Type(bytes.buffer, 0, bytes.length >> 2);
  };
  const ends = await table('ends', Int32Array);
  const scales = await table('scales', Float32Array);
  const checks = await table('checks', Int32Array);
  const entries = await part('entries');

  const values = new { int8: Int8Array, fp32: Float32Array }[dtype](dim);
  const bytes = bytesOf(values);
  const hash = rowHash(entries, ends, bytes.length);
  const entryAt = entryReader(entries, ends);
  const rows = Math.min(count, ends.length, scales.length, checks.length);
  const isWhole = (i) => {
    if (hash(i, scales[i], bytes) !== checks[i] || !(scales[i] > 0 && scales[i] < Infinity)) return false;
    const entry = entryAt(i);
    return entry && !(dtype === 'int8' && values.includes(-128)) && row(entry.id, entry.data, values, scales[i]);
  };
  let [i, filled, whole] = [0, 0, 0];
  for await (const chunk of source.read(...places.vectors)) {
    for (let at = 0; at < chunk.length && i < rows;) {
      const some = chunk.subarray(at, at + bytes.length - filled);
      bytes.set(some, filled);
      at += some.length;
      filled = (filled + some.length) % bytes.length;
      if (!filled && isWhole(i++)) whole++;
    }
    await pause();
  }
  const again = await part('again');
  const [, end] = places.again;
  const truncated = again.length < end - places.again[0];
  let problem = null;
  if (truncated) problem = `the file ends before byte ${end}, where the index does`;
  else if (whole < count) problem = 'bytes of the file are damaged';
  else if (!header) problem = 'the header of the file is damaged';
  else if (!parseAgain(again)) problem = 'the end of the file is damaged';
  return { whole, count, problem, truncated };
}

/** What reads the entry of row i: its id and data; null where it is damaged. */
function entryReader(entries, ends) {
  const decoder = new TextDecoder();
  const all = decoder.decode(entries);
  // One text for all, where it has a character a byte: of ASCII, as most are.
  const isAscii = all.length === entries.length && !all.includes('\ufffd');
  const text = isAscii
    ? (begin, end) => all.slice(begin, end)
    : (begin, end) => decoder.decode(entries.subarray(begin, end));
  return (i) => {
    const line = text(i ? ends[i - 1] : 0, ends[i]);
    const tab = line.indexOf('\t');
    try {
      const id = JSON.parse(tab < 0 ? line : line.slice(0, tab));
      return isId(id) ? { id, data: tab < 0 ? undefined : line.slice(tab + 1) } : null;
    } catch {
      return null;
    }
  };
}

/** What may name a vector. */
export const isId = (id) => typeof id === 'string' || Number.isSafeInteger(id);

async function failToRead(source) {
  const head = await readBytes(source, 0, 9);
  const found = head[8] === 0x7b ? 'has metadata without one' : 'is none';
  throw new HalfclipError(
    head.length < 9 ? 'weights/truncated' : 'weights/format',
    `${source.name}: expected an index of halfclip, a .safetensors file with halfclip_index in its metadata; this file ` +
      (head.length < 9 ? `ends after ${head.length} bytes` : `${found}, or is damaged at its beginning and its end`),
  );
}
