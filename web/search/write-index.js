// Writes the file of an index: all of it, or what is new at its end.

import { concatenate, encodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import {
  MOST_ENTRIES,
  bytesOf,
  hasRoom,
  padded,
  partsOf,
  rowBytes,
  toEight,
  writeAbout,
  writeAgain,
  writeHeader,
} from './layout.js';
import { readHeader } from './read-index.js';
import { hashBytes } from './xxh32.js';

const PIECE = 1 << 20; // bytes that are written at once
const SMALL = 1 << 16; // bytes of a file that is rather written again than added to
const SHARE = 32; // of a larger one such a share of spaces is left for the header to grow
const MOST_SPACES = 1 << 20;

/**
 * What is saved: `rows` are the numbers of rows, all or those that changed.
 * @typedef {{ dtype: 'int8' | 'fp32', dim: number, metadata: object, rows: number[], count: number, lines: string[],
 *   row: (i: number) => { values: Int8Array | Float32Array, scale: number },
 *   hash: (row: { values: Int8Array | Float32Array, scale: number }, seed: number) => number }} Saved
 *   count: the numbers that rows have in all; lines: what Entries has for each row; row: what row rows[i] holds, which
 *   stays as it is until all is written
 */

/**
 * All bytes of an index, some at a time.
 * @param {Saved} saved of all rows, numbered without gaps
 * @param {string} revision
 * @returns {Generator<Uint8Array>} each piece may use the memory of the one before
 */
export function* writeIndex(saved, revision) {
  const { dtype, dim, metadata, rows } = saved;
  const { tables, entries } = tablesOf(saved, 0);
  const about = { dtype, dim, count: rows.length, entries: entries.length, revision, metadata };
  const text = writeAbout(about);
  const bytes = rows.length * rowBytes(about) + 16 * rows.length + entries.length;
  const room = bytes < SMALL ? 0 : Math.min(MOST_SPACES, Math.floor(bytes / SHARE));
  yield writeHeader(about, text, (length) => room + toEight(length + room));
  yield* partPieces(tables, saved, text);
}

/** The tables before the numbers of rows; `before`: bytes between them and a multiple of 8 before them. */
function tablesOf({ rows, lines, row, hash }, before) {
  const count = rows.length;
  const encoded = lines.map(encodeText);
  const ends = new Int32Array(count);
  const scales = new Float32Array(count);
  const checks = new Int32Array(count);
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    ends[i] = bytes += encoded[i].length;
    const held = row(i);
    scales[i] = held.scale;
    checks[i] = hash(held, hashBytes(encoded[i]));
  }
  const spaces = toEight(before + 12 * count + bytes);
  if (bytes + spaces > MOST_ENTRIES)
    throw new HalfclipError('memory/exhausted', `ids and data of an index take ${bytes} bytes, more than 2 GB`);
  const entries = padded(concatenate(encoded), spaces);
  return { tables: [ends, scales, checks, entries].map(bytesOf), entries };
}

function* piecesOf(bytes) {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** The numbers of all rows. */
function* numbersOf({ rows, row }) {
  const piece = new Uint8Array(PIECE);
  let filled = 0;
  for (let i = 0; i < rows.length; i++) {
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
}

function* partPieces(tables, saved, text) {
  for (const table of tables) yield* piecesOf(table);
  yield* numbersOf(saved);
  yield writeAgain(text);
}

/**
 * Adds to the end of a file what changed since it was saved, and then rewrites its header in place. Whenever that ends,
 * the file is as before or as afterwards: until the header is written, the old one says where the file ends; and while it
 * is half-written, the end says what it is to say.
 * @param {object} file of which nobody else changes anything
 * @param {import('../sources/source.js').Source} file.source
 * @param {(length: number) => Promise<void>} file.truncate
 * @param {(bytes: Uint8Array, at: number) => Promise<void>} file.write
 * @param {() => Promise<void>} file.sync resolves when all that was written stays
 * @param {Saved & { removed: number[], size: number }} saved of the rows that changed; size: how many rows there are
 * @param {string} revision
 * @param {object} options
 * @param {(revision: string) => void} options.check throws if a file of that revision must stay as it is
 * @param {AbortSignal} options.signal
 * @returns {Promise<boolean>} false where it is better written again; nothing was changed then
 */
export async function appendIndex(file, saved, revision, { check, signal }) {
  const found = await readHeader(file.source);
  if (!found) return false;
  check(found.about.revision);
  const { about, end, length } = found;
  const begin = end - 8 - length;
  const stored = partsOf(about).reduce((sum, { count }) => sum + count, saved.rows.length);
  const isWorth = begin >= SMALL && stored <= 2 * saved.size && saved.rows.length <= stored / 2;
  if (!found.isOwn || !isWorth || !hasRoom(about) || file.source.size < end) return false;

  const list = encodeText(JSON.stringify(saved.removed));
  const removed = padded(list, toEight(begin + list.length));
  const places = bytesOf(Int32Array.from(saved.rows));
  const { tables, entries } = tablesOf(saved, places.length);
  const part = [begin, saved.rows.length, entries.length, removed.length, hashBytes(removed)];
  const { dtype, dim, metadata, count: rows } = saved;
  const more = [...about.more, part];
  const next = { dtype, dim, count: about.count, entries: about.entries, revision, metadata, rows, more };
  const text = writeAbout(next);
  const header = writeHeader(next, text, (bytes) => Math.max(0, length - bytes));
  if (header.length !== 8 + length) return false;

  let isChanged = false;
  try {
    let at = end;
    await file.truncate(end);
    for (const piece of partPieces([removed, places, ...tables], saved, text)) {
      signal.throwIfAborted();
      await file.write(piece, at);
      at += piece.length;
    }
    await file.sync();
    signal.throwIfAborted();
    isChanged = true;
    await file.write(header, 0);
    await file.sync();
  } catch (error) {
    if (!isChanged) await file.truncate(end).catch(() => {});
    throw error;
  }
  return true;
}
