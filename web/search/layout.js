// An index as bytes: an ordinary .safetensors file.
//
//     ends      I32 [n]        where each entry ends in `entries`
//     scales    F32 [n]        what the numbers of a row are times, so that it has length 1
//     checks    I32 [n]        XXH32 of each row: its entry, then its scale and numbers
//     entries   U8 [bytes]     of each row its id as JSON, and where it has data a tab and these as JSON; UTF-8
//     vectors   I8 or F32 [n, dim]
//     again     U8 [bytes]     what the metadata says of the index once more, its length and XXH32, and MAGIC
//
// What was saved later is behind that, a part each time: the same tensors with `.1`, `.2` … behind their names, and before
// them
//
//     removed   U8 [bytes]     the numbers of rows that are gone, a JSON array
//     rows      I32 [n]        the numbers of the rows that follow; that of an earlier one is replaced
//
// The metadata hold `halfclip_index`, the JSON text of { version, dtype, dim, count, entries, revision, metadata }, its
// XXH32, and where the header ends; where there are several parts also `rows`, how many numbers rows have, and `more`, of each later part its
// place behind the header, its rows, the bytes of `entries` and of `removed`, and the XXH32 of the latter. One damaged
// place costs a row, or the header, of which the end has what matters; a file that was cut has all rows up to there.

import { concatenate, decodeText, encodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { hashBytes } from './xxh32.js';

const VERSION = 2; // 1 where there is one part
const MAGIC = encodeText('hcINDEX1');
const TAIL = 8 + MAGIC.length; // bytes behind what `again` says: length, XXH32, MAGIC
export const MOST_HEADER = 16 * 2 ** 20; // as in src/checkpoint/safetensors.h
export const MOST_ENTRIES = 2 ** 31 - 1; // bytes
const MOST_PARTS = 2000; // 8 tensors each, and src/checkpoint/safetensors.h reads 20,000
const FEW = 64; // rows
const DIGITS = 8; // of the place where a header ends

const NAMES = { int8: 'I8', fp32: 'F32' };

export const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);

/** How many bytes of spaces bring `length` to a multiple of 8. */
export const toEight = (length) => (8 - (length % 8)) % 8;

export const padded = (bytes, spaces) => concatenate([bytes, new Uint8Array(spaces).fill(0x20)]);

/** The bytes of a row's numbers. */
export const rowBytes = ({ dtype, dim }) => dim * (dtype === 'int8' ? 1 : 4);

/**
 * The parts of a file: where each begins behind the header, its rows, and the sizes of its texts.
 * @returns {{ at: number, count: number, entries: number, removed: number, hash: number | null }[]}
 */
export function partsOf({ count, entries, more = [] }) {
  const later = more.map(([at, count, entries, removed, hash]) => ({ at, count, entries, removed, hash }));
  return [{ at: 0, count, entries, removed: 0, hash: null }, ...later];
}

/**
 * The tensors of a file by parts, in their order: name, type, shape, and the bytes behind the header that they have.
 * @param {object} about
 * @param {number} again bytes of the last `again`
 * @returns {[name: string, dtype: string, shape: number[], begin: number, end: number][][]}
 */
export function tensorsOf(about, again) {
  const parts = partsOf(about);
  return parts.map(({ at, count, entries, removed }, k) => {
    const tensors = [];
    const put = (name, dtype, shape, bytes) =>
      tensors.push([k ? `${name}.${k}` : name, dtype, shape, at, (at += bytes)]);
    if (k) {
      put('removed', 'U8', [removed], removed);
      put('rows', 'I32', [count], 4 * count);
    }
    put('ends', 'I32', [count], 4 * count);
    put('scales', 'F32', [count], 4 * count);
    put('checks', 'I32', [count], 4 * count);
    put('entries', 'U8', [entries], entries);
    put('vectors', NAMES[about.dtype], [count, about.dim], count * rowBytes(about));
    const bytes = k + 1 < parts.length ? parts[k + 1].at - at : again;
    put('again', 'U8', [bytes], bytes);
    return tensors;
  });
}

/** The last tensor of a file: what its metadata say of the index. */
export function writeAgain(text) {
  const bytes = encodeText(text);
  // As long as a multiple of 8, so that what is behind the header stays aligned wherever it is put.
  const whole = padded(bytes, toEight(bytes.length));
  const tail = new DataView(new ArrayBuffer(8));
  tail.setUint32(0, whole.length, true);
  tail.setInt32(4, hashBytes(whole), true);
  return concatenate([whole, bytesOf(new Uint8Array(tail.buffer)), MAGIC]);
}

/** How many bytes that is. */
const againBytes = (text) => {
  const { length } = encodeText(text);
  return length + toEight(length) + TAIL;
};

/** The text of `again`; null where it is damaged. */
export function parseAgain(bytes) {
  const at = bytes.length - TAIL;
  if (at < 0 || MAGIC.some((byte, i) => bytes[at + 8 + i] !== byte)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
  const begin = at - view.getUint32(0, true);
  const text = begin < 0 ? null : bytes.subarray(begin, at);
  return text && hashBytes(text) === view.getInt32(4, true) ? text : null;
}

/** What a file says of itself, as text. */
export const writeAbout = (about) => JSON.stringify({ version: about.more ? VERSION : 1, ...about });

/**
 * The header of a file, the bytes before it included.
 * @param {object} about
 * @param {string} text from writeAbout
 * @param {(length: number) => number} spaces how many are to follow, after so many bytes
 */
export function writeHeader(about, text, spaces) {
  const hash = hashBytes(encodeText(text));
  const header = { __metadata__: { format: 'pt', halfclip_index: text, halfclip_index_xxh32: String(hash) } };
  const start = (bytes) => (header.__metadata__.halfclip_index_start = String(bytes).padStart(DIGITS, '0'));
  start(0);
  for (const [name, dtype, shape, begin, end] of tensorsOf(about, againBytes(text)).flat())
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  const { length } = encodeText(JSON.stringify(header));
  const room = spaces(length);
  if (length + room > MOST_HEADER)
    throw new HalfclipError(
      'input/size',
      `the metadata of an index make its header ${length} bytes long, expected at most ${MOST_HEADER} with room to grow`,
    );
  start(8 + length + room);
  const whole = padded(encodeText(JSON.stringify(header)), room);
  const prefix = new DataView(new ArrayBuffer(8));
  prefix.setBigUint64(0, BigInt(whole.length), true);
  return concatenate([new Uint8Array(prefix.buffer), whole]);
}

/** What a file says of the index in it, from its metadata or its end; null where that is no index, or damaged. */
function parseAbout(text) {
  let about;
  try {
    about = JSON.parse(text);
  } catch {
    return null;
  }
  if (about === null || typeof about !== 'object') return null;
  const { version, dtype, dim, revision, metadata } = about;
  if (Number.isInteger(version) && version > VERSION)
    throw new HalfclipError(
      'weights/format',
      `the index is of version ${version}, which is newer than this version of halfclip reads: ${VERSION}`,
    );
  const isRight =
    (version === 1 || version === VERSION) &&
    Object.hasOwn(NAMES, dtype) &&
    isSize(dim, 2 ** 16) &&
    dim > 0 &&
    typeof revision === 'string' &&
    metadata !== null &&
    typeof metadata === 'object';
  if (!isRight) return null;
  if (version === 1) Object.assign(about, { more: [], rows: about.count });
  return areParts(about) ? about : null;
}

/** How many numbers rows may have of which so many were saved: more than half of them are of some. */
export const mostRows = (count) => 2 * count + FEW;

const isSize = (n, most) => Number.isInteger(n) && n >= 0 && n <= most;

function areParts(about) {
  const { more, rows } = about;
  const isList = Array.isArray(more) && more.length <= MOST_PARTS && more.every(Array.isArray);
  if (!isList || !isSize(rows, 2 ** 31)) return false;
  const parts = partsOf(about);
  const areSizes = parts.every(
    ({ at, count, entries, removed }) =>
      isSize(at, 2 ** 53 - 1) &&
      isSize(count, 2 ** 31) &&
      isSize(entries, MOST_ENTRIES) &&
      isSize(removed, MOST_ENTRIES),
  );
  // Each part ends where the next one begins; of the numbers of rows not more than half are of none.
  const all = parts.reduce((sum, { count }) => sum + count, 0);
  return (
    areSizes && rows <= mostRows(all) && tensorsOf(about, TAIL).every((part) => part.at(-1)[4] - part.at(-1)[3] >= TAIL)
  );
}

/** Whether there can be another part. */
export const hasRoom = (about) => about.more.length < MOST_PARTS;

/**
 * What a header says; null if it is damaged or none.
 * @param {Uint8Array} bytes without its length
 * @param {number | undefined} size of the file
 * @returns {{ about: object, places: [begin: number, end: number][][], length: number, end: number, isOwn: boolean } |
 *   null} places: of the tensors, by parts, in the file; length: of the header; end: of the file; isOwn: whether
 *   everything is where writeHeader puts it
 */
export function parseHeader(bytes, size) {
  let header;
  try {
    header = JSON.parse(decodeText(bytes));
  } catch {
    return null;
  }
  const { halfclip_index: text, halfclip_index_xxh32: hash, halfclip_index_start } = header?.__metadata__ ?? {};
  if (typeof text !== 'string' || String(hashBytes(encodeText(text))) !== hash) return null;
  const about = parseAbout(text);
  if (!about) return null;
  const start = 8 + bytes.length;
  const tensors = tensorsOf(about, againBytes(text));
  const end = start + tensors.at(-1).at(-1)[4];
  // Of spaces at its end a header may lose some, where its length is damaged, and still be one.
  const isWhole = Number(halfclip_index_start) === start;
  if (!isWhole && size !== undefined && size !== end) return null;
  // Another program may have written the file again, in another order.
  const found = placesIn(header, tensors.flat());
  if (!found) return null;
  const isOwn = isWhole && tensors.flat().every(([, , , begin], i) => found[i][0] === begin);
  const places = tensors.map((part) => part.map(() => found.shift().map((at) => start + at)));
  return { about, places, length: bytes.length, end, isOwn };
}

/** Where a header says that tensors are; null where that cannot be, because it is half-written. */
function placesIn(header, tensors) {
  const places = tensors.map(([name, dtype, , begin, end]) => {
    const { dtype: found, data_offsets: place } = header[name] ?? {};
    return Array.isArray(place) && place[1] - place[0] === end - begin && found === dtype ? place : [NaN, NaN];
  });
  let at = 0;
  for (const [begin, end] of [...places].sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (begin !== at) return null;
    at = end;
  }
  return places;
}

/**
 * The same from the last bytes of a file.
 * @param {Uint8Array} bytes
 * @param {number} size of the file
 */
export function parseEnd(bytes, size) {
  const text = parseAgain(bytes);
  const about = text && parseAbout(decodeText(text));
  if (!about) return null;
  const tensors = tensorsOf(about, text.length + TAIL);
  const start = size - tensors.at(-1).at(-1)[4];
  if (start < 0) return null;
  const places = tensors.map((part) => part.map(([, , , begin, end]) => [start + begin, start + end]));
  return { about, places };
}
