// Reads the file of an index, row by row, and tells what is damaged.

import { HalfclipError } from '../base/errors.js';
import { breathe } from '../base/platform.js';
import { readBytes } from '../sources/source.js';
import { MOST_HEADER, mostRows, parseAgain, parseEnd, parseHeader, partsOf, rowBytes } from './layout.js';
import { hashBytes, xxh32 } from './xxh32.js';

const MOST_TEXT = 2 ** 28; // bytes; engines have texts of no more than 2^29 characters
const ATTEMPTS = 3; // to read a header that somebody may be writing

/** The header of a file: see parseHeader. */
export async function readHeader(source) {
  const prefix = await readBytes(source, 0, 8);
  if (prefix.length < 8) return null;
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true));
  if (length > MOST_HEADER || length < 2) return null;
  const bytes = await readBytes(source, 8, 8 + length);
  return bytes.length < length ? null : parseHeader(bytes, source.size);
}

/** The same, from the end of a file whose header is damaged. */
async function readEnd(source) {
  const { size } = source;
  if (!size || source.forward) return null;
  return parseEnd(await readBytes(source, Math.max(0, size - MOST_HEADER), size), size);
}

async function findAbout(source) {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const header = await readHeader(source);
    if (header) return { ...header, header };
    if (source.forward) break;
    await breathe();
  }
  return readEnd(source);
}

/** The same for a file that has to be one. */
async function readAbout(source) {
  const head = await source.peek(9);
  const found = await findAbout(source);
  if (found) return found;
  const what = head[8] === 0x7b ? 'has metadata without one' : 'is none';
  throw new HalfclipError(
    head.length < 9 ? 'weights/truncated' : 'weights/format',
    `${source.name}: expected an index of halfclip, a .safetensors file with halfclip_index in its metadata; this file ` +
      (head.length < 9 ? `ends after ${head.length} bytes` : `${what}, or is damaged at its beginning and its end`),
  );
}

/** What is kept beside the vectors of an index: little of its file is read. */
export const readMetadata = async (source) => (await readAbout(source)).about.metadata;

/** Which version of an index a file holds, as the one that saved it called it; null where it holds none. */
export const readRevision = async (source) => (await findAbout(source))?.about.revision ?? null;

/**
 * Reads an index.
 * @param {import('../sources/source.js').Source} source
 * @param {object} hooks
 * @param {(about: { dtype: string, dim: number, revision: string, metadata: object }, count: number) =>
 *   import('./rows.js').Rows} hooks.begin count: how many rows there can be at most, 0 if that is not known
 * @param {(row: number, line: string) => void} hooks.put called for each whole row, which `begin`'s have then
 * @param {(row: number) => void} hooks.drop called for each that is gone
 * @param {() => Promise<void>} hooks.pause called often
 * @returns {Promise<{ about: object, whole: number, count: number, problem: string | null, truncated: boolean, torn:
 *   boolean, isOwn: boolean }>} problem: what is wrong with the file, in words; torn: it is only that a save was
 *   interrupted; isOwn: see parseHeader
 */
export async function readIndex(source, { begin, put, drop, pause }) {
  const { about, places, header, isOwn = false } = await readAbout(source);
  const parts = partsOf(about);
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const most = source.size === undefined ? 0 : Math.floor(source.size / rowBytes(about));
  const rows = begin(about, Math.min(about.rows, count, most));
  let [whole, isDamaged, again] = [0, false, null];
  for (const [k, part] of parts.entries()) {
    const before = k ? await readChanges(source, part, places[k].slice(0, 2)) : { removed: [], row: (i) => i };
    if (before.removed) for (const row of before.removed) drop(row);
    else isDamaged = true;
    const tensors = k ? places[k].slice(2) : places[k];
    whole += await readRows(source, tensors.slice(0, -1), {
      rows,
      bytes: rowBytes(about),
      pause,
      // No more memory than twice of what comes, whatever the numbers are.
      rowOf(i) {
        const row = before.row(i);
        return row < about.rows && row < mostRows(Math.max(most, rows.count)) ? row : -1;
      },
      put,
    });
    again = await readBytes(source, ...tensors.at(-1));
  }
  const [first, end] = places.at(-1).at(-1);
  const truncated = again.length < end - first;
  let problem = null;
  if (truncated) problem = `the file ends before byte ${end}, where the index does`;
  else if (whole < count || isDamaged) problem = 'bytes of the file are damaged';
  else if (!header) problem = 'the header of the file is damaged';
  else if (!parseAgain(again)) problem = 'the end of the file is damaged';
  const torn = !truncated && !isDamaged && whole === count && !header && parts.length > 1;
  return { about, whole, count, problem, truncated, torn, isOwn };
}

const tableFrom = (bytes, Type) => new Type(bytes.buffer, 0, bytes.length >> 2);

/** What a later part changes: the rows that are gone, null if that is damaged; and the number of its row i. */
async function readChanges(source, { removed: size, hash }, [removedAt, rowsAt]) {
  const bytes = await readBytes(source, ...removedAt);
  const rows = tableFrom(await readBytes(source, ...rowsAt), Int32Array);
  const isWhole = bytes.length === size && hashBytes(bytes) === hash;
  return { removed: isWhole ? parseNumbers(bytes) : null, row: (i) => rows[i] ?? -1 };
}

function parseNumbers(bytes) {
  try {
    const numbers = JSON.parse(new TextDecoder().decode(bytes));
    return Array.isArray(numbers) && numbers.every((n) => Number.isInteger(n) && n >= 0) ? numbers : null;
  } catch {
    return null;
  }
}

/** Reads the rows of a part. Returns how many are whole. */
async function readRows(source, places, { rows, bytes, rowOf, put, pause }) {
  const [endsAt, scalesAt, checksAt, entriesAt, vectorsAt] = places;
  const ends = tableFrom(await readBytes(source, ...endsAt), Int32Array);
  const scales = tableFrom(await readBytes(source, ...scalesAt), Float32Array);
  const checks = tableFrom(await readBytes(source, ...checksAt), Int32Array);
  const entries = await readBytes(source, ...entriesAt);
  const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
  const text = textOf(entries);
  const count = Math.min(ends.length, scales.length, checks.length);

  /** Row i, which is staged from byte `at` on. */
  const take = (i, at) => {
    const [begin, end] = [i ? ends[i - 1] : 0, ends[i]];
    const row = rowOf(i);
    if (!(begin >= 0 && begin <= end && end <= entries.length) || row < 0) return false;
    if (!rows.take(row, at, scales[i], xxh32(view, begin, end, 0), checks[i])) return false;
    put(row, text(begin, end));
    return true;
  };
  let [i, filled, whole] = [0, 0, 0];
  for await (const chunk of source.read(...vectorsAt)) {
    for (let at = 0; at < chunk.length && i < count;) {
      const some = chunk.subarray(at, at + rows.staged.length - filled);
      rows.staged.set(some, filled);
      at += some.length;
      filled += some.length;
      let begin = 0;
      for (; begin + bytes <= filled && i < count; begin += bytes) if (take(i++, begin)) whole++;
      rows.staged.copyWithin(0, begin, filled);
      filled -= begin;
    }
    await pause();
  }
  return whole;
}

/** What gives the text of a range of bytes. */
function textOf(bytes) {
  const decoder = new TextDecoder();
  // One text for all, where it has a character a byte: of ASCII, as most are.
  const all = bytes.length <= MOST_TEXT ? decoder.decode(bytes) : '';
  const isAscii = all.length === bytes.length && !all.includes('\ufffd');
  return isAscii ? (begin, end) => all.slice(begin, end) : (begin, end) => decoder.decode(bytes.subarray(begin, end));
}
