// src/search in JavaScript, for where nothing may be compiled: the same bits, more slowly. Addresses and layouts are
// those of src/search/search.h.

import { exhausted } from '../wasm/memory.js';
import { xxh32 } from './xxh32.js';

const ROWS = 16;
const HEAD = 2 * 4 * ROWS; // bytes of a block before its rows
const FIRST = 1 << 16; // bytes of memory at the beginning

const { fround } = Math;

export class ScalarKernels {
  name = 'scalar';
  base = 0;
  buffer = new ArrayBuffer(FIRST);

  reserve(end) {
    if (end <= this.buffer.byteLength) return;
    const before = new Uint8Array(this.buffer);
    try {
      this.buffer = new ArrayBuffer(Math.max(end, Math.min(2 * before.length, before.length + 2 ** 28)));
    } catch {
      throw exhausted(`${end} bytes of an index`);
    }
    new Uint8Array(this.buffer).set(before);
  }

  prepare(query, width, prepared) {
    new Int16Array(this.buffer, prepared, width).set(new Int8Array(this.buffer, query, width));
  }

  score(blocks, count, width, size, query, scale) {
    const isBytes = size === 1;
    const q = new (isBytes ? Int16Array : Float32Array)(this.buffer, query, width);
    const dot = isBytes ? dotBytes : dotFloats;
    const step = HEAD + ROWS * width * size;
    for (let i = 0, at = blocks; i < count; i++, at += step) {
      const scores = new Float32Array(this.buffer, at, 2 * ROWS); // and scales
      const rows = new (isBytes ? Int8Array : Float32Array)(this.buffer, at + HEAD, ROWS * width);
      for (let r = 0; r < ROWS; r++) scores[r] = dot(rows, r * width, q) * scores[ROWS + r] * scale;
    }
  }

  best(blocks, count, width, size, first, afterScore, afterRow, best, found, limit) {
    const hits = this.#read(best, found);
    this.#each(blocks, count, width, size, first, (score, row) => {
      if (score < afterScore || (score === afterScore && row > afterRow)) hits.push({ score, row });
    });
    return this.#write(best, hits.sort(byScore).slice(0, limit));
  }

  sort() {} // they are

  pairs(blocks, first, last, step, width, size, count, above, next, prepared, pairs, room) {
    const [floats, numbers] = this.#words(0);
    const bytes = HEAD + ROWS * width * size;
    let found = 0;
    for (let i = first; i < last; i++) {
      const [part, begin] = [blocks + i * step * bytes, i * step * ROWS];
      let row = Math.max(numbers[next / 4 + i], begin + 1);
      for (; row < count && found + step * ROWS <= room; row++) {
        const r = row % ROWS;
        const block = blocks + ((row - r) / ROWS) * bytes;
        const scale = floats[block / 4 + ROWS + r];
        if (scale !== scale) continue;
        let query = block + HEAD + r * width * size;
        if (size === 1) this.prepare(query, width, (query = prepared));
        const some = Math.min(step, Math.ceil((row - begin) / ROWS));
        this.score(part, some, width, size, query, scale);
        this.#each(part, some, width, size, begin, (score, other) => {
          if (score < above || other >= row) return;
          floats[pairs / 4 + 3 * found] = score;
          numbers.set([other, row], pairs / 4 + 3 * found++ + 1);
        });
      }
      numbers[next / 4 + i] = row;
    }
    return found;
  }

  hash(scale, row, bytes, seed) {
    const whole = new DataView(new ArrayBuffer(4 + bytes));
    whole.setFloat32(0, scale, true);
    new Uint8Array(whole.buffer).set(new Uint8Array(this.buffer, row, bytes), 4);
    return xxh32(whole, 0, whole.byteLength, seed);
  }

  take(to, row, dim, size, scale, seed, hash) {
    if (this.hash(scale, row, dim * size, seed) !== hash) return false;
    if (size === 1 && new Int8Array(this.buffer, row, dim).includes(-128)) return false;
    new Uint8Array(this.buffer).copyWithin(to, row, row + dim * size);
    return true;
  }

  #each(blocks, count, width, size, first, use) {
    const step = HEAD + ROWS * width * size;
    for (let i = 0; i < count; i++) {
      const scores = new Float32Array(this.buffer, blocks + i * step, ROWS);
      for (let r = 0; r < ROWS; r++) if (scores[r] === scores[r]) use(scores[r], first + ROWS * i + r);
    }
  }

  #words = (at) => [new Float32Array(this.buffer, at), new Uint32Array(this.buffer, at)];

  #read(at, count) {
    const [scores, rows] = this.#words(at);
    return Array.from({ length: count }, (_, i) => ({ score: scores[2 * i], row: rows[2 * i + 1] }));
  }

  #write(at, hits) {
    const [scores, rows] = this.#words(at);
    hits.forEach(({ score, row }, i) => {
      scores[2 * i] = score;
      rows[2 * i + 1] = row;
    });
    return hits.length;
  }
}

const byScore = (a, b) => b.score - a.score || a.row - b.row;

function dotBytes(rows, at, query) {
  let sum = 0;
  for (let i = 0; i < query.length; i++) sum += rows[at + i] * query[i];
  return sum;
}

/** Eight sums, as in src/search/score.c; a product of two floats is exact in a double, and so its rounding is right. */
function dotFloats(rows, at, query) {
  const sums = new Float32Array(8);
  for (let i = 0; i < query.length; i++) sums[i & 7] = sums[i & 7] + fround(rows[at + i] * query[i]);
  const four = Float32Array.from({ length: 4 }, (_, i) => sums[i] + sums[i + 4]);
  return fround(fround(four[0] + four[2]) + fround(four[1] + four[3]));
}
