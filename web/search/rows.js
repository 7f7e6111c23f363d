// The vectors of an index, one a row, in the memory of kernels, and searches among them. Layout: src/search/search.h.

import { createKernels } from './kernels.js';
import { normalize, quantize } from './quantize.js';

const BLOCK = 16; // rows
const HEAD = 2 * 4 * BLOCK; // bytes of a block before its rows
const HIT = 8; // bytes
const PAIR = 12;
const PAIRS = 1 << 14; // that a thread finds before they are taken
const STAGE = 1 << 14; // bytes that come from a file at once, and what is left of a row before them
const CHUNK = 1 << 19; // bytes of rows that are scored before the best of them are taken, which stay in a cache
const WORTH = 1 << 22; // bytes of rows from which several threads score them: others take as long to wake

const roundUp = (n, multiple) => Math.ceil(n / multiple) * multiple;

export class Rows {
  #kernels;
  #width;
  #block; // bytes
  #staged; // address of what is on its way from or to a file
  #first; // address of the first block
  #blocks = 0;
  #used = 0; // where memory ends that had something else in it
  #encoded = null;
  #floats = null;
  #numbers = null;
  #place = null; // as bytes

  /** Rows that there are, those that were dropped too. */
  count = 0;

  /**
   * @param {number} dim
   * @param {'fp32' | 'int8'} dtype
   * @param {string} [kernels] see createKernels
   * @param {number} [threads]
   */
  constructor(dim, dtype, kernels, threads) {
    this.dim = dim;
    this.dtype = dtype;
    this.size = dtype === 'int8' ? 1 : 4;
    this.Type = dtype === 'int8' ? Int8Array : Float32Array;
    this.#kernels = createKernels(kernels, threads);
    this.#width = roundUp(dim, BLOCK);
    this.#block = HEAD + BLOCK * this.#width * this.size;
    this.#staged = roundUp(this.#kernels.base, 16);
    // Then a query of 4 bytes a number, or one of int8 and behind it as kernels read it.
    this.#first = roundUp(this.#staged + STAGE + dim * this.size, 16) + 4 * this.#width;
    this.#kernels.reserve(this.#first);
  }

  get kernels() {
    return this.#kernels.name;
  }

  get threads() {
    return this.#kernels.threads ?? 1;
  }

  /** What a vector is held as: numbers, which are of the next one afterwards, and a scale. */
  encode(vector) {
    const values = (this.#encoded ??= new this.Type(this.dim));
    return { values, scale: (this.dtype === 'int8' ? quantize : normalize)(vector, values) };
  }

  #blockAt = (row) => this.#first + Math.floor(row / BLOCK) * this.#block;
  #valuesAt = (row) => this.#blockAt(row) + HEAD + (row % BLOCK) * this.#width * this.size;
  /** The address of a row's scale, in floats. */
  #scaleAt = (row) => (this.#blockAt(row) + HEAD / 2) / 4 + (row % BLOCK);

  /** All memory as floats, and as what rows have: made anew when the memory is another one, not for each row. */
  #refresh() {
    const { buffer } = this.#kernels;
    if (this.#floats?.buffer === buffer) return;
    this.#place = new Uint8Array(buffer, this.#staged, STAGE + this.dim * this.size);
    this.#floats = new Float32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
    this.#numbers = this.size === 4 ? this.#floats : new Int8Array(buffer);
  }

  /** The numbers of a row, in place: for as long as nothing is added. */
  values(row) {
    this.#refresh();
    const at = this.#valuesAt(row) / this.size;
    return this.#numbers.subarray(at, at + this.dim);
  }

  scale(row) {
    this.#refresh();
    return this.#floats[this.#scaleAt(row)];
  }

  /** The vector of a row. */
  vector(row) {
    const scale = this.scale(row);
    return Float32Array.from(this.values(row), (x) => x * scale);
  }

  /** Room for rows up to `count`. */
  reserve(count) {
    const blocks = Math.ceil(count / BLOCK);
    if (blocks <= this.#blocks) return;
    this.#kernels.reserve(this.#first + blocks * this.#block);
    this.#refresh();
    for (; this.#blocks < blocks; this.#blocks++) {
      const place = this.#first + this.#blocks * this.#block;
      const at = place / 4;
      if (place < this.#used) this.#floats.fill(0, at, at + this.#block / 4);
      this.#floats.fill(NaN, at + HEAD / 8, at + HEAD / 4);
    }
  }

  /** Numbers up to `count` are taken, also where no row has come. Returns `count`. */
  extend(count) {
    this.reserve(count);
    return (this.count = count);
  }

  /** Adds a row, and returns its number. */
  push(values, scale) {
    this.reserve(this.count + 1);
    this.set(this.count, values, scale);
    return this.count++;
  }

  set(row, values, scale) {
    this.#refresh();
    this.#numbers.set(values, this.#valuesAt(row) / this.size);
    this.#floats[this.#scaleAt(row)] = scale;
  }

  /** Where bytes are put that come from a file: rows, one after the other. */
  get staged() {
    this.#refresh();
    return this.#place;
  }

  /** XXH32 of a row as a file has it. */
  hash({ values, scale }, seed) {
    this.#refresh();
    this.#numbers.set(values, this.#staged / this.size);
    return this.#kernels.hash(scale, this.#staged, this.dim * this.size, seed);
  }

  /** Takes what is staged from byte `at` on as row `row`; false if its hash is another one, or no row has such numbers. */
  take(row, at, scale, seed, hash) {
    if (!(scale > 0 && scale < Infinity)) return false;
    this.reserve(row + 1);
    if (!this.#kernels.take(this.#valuesAt(row), this.#staged + at, this.dim, this.size, scale, seed, hash))
      return false;
    this.#refresh();
    this.#floats[this.#scaleAt(row)] = scale;
    if (row >= this.count) this.count = row + 1;
    return true;
  }

  /** Nobody finds this row any more. */
  drop(row) {
    this.#refresh();
    this.#floats[this.#scaleAt(row)] = NaN;
  }

  /** Moves the rows that `keep` says to the front, in their order. */
  compact(keep) {
    const before = this.count;
    this.count = 0;
    for (let row = 0; row < before; row++) {
      if (!keep(row)) continue;
      if (row !== this.count) this.set(this.count, this.values(row), this.scale(row));
      this.count++;
    }
    for (let row = this.count; row < before; row++) this.drop(row);
  }

  /** Blocks that are scored in one go: src/search/score.c reads four at a time. */
  get #step() {
    return 4 * Math.max(1, Math.floor(CHUNK / this.#block / 4));
  }

  /** An address for so many bytes, behind all rows. */
  #roomFor(bytes) {
    const at = roundUp(this.#first + this.#blocks * this.#block, 16);
    this.#kernels.reserve(at + bytes);
    this.#used = Math.max(this.#used, at + bytes);
    return at;
  }

  #hits(at, count) {
    const { buffer } = this.#kernels;
    const [scores, rows] = [new Float32Array(buffer, at, 2 * count), new Uint32Array(buffer, at, 2 * count)];
    return Array.from({ length: count }, (_, i) => ({ score: scores[2 * i], row: rows[2 * i + 1] }));
  }

  /** Puts a query into its place. Returns the address that kernels take, and its scale. */
  #ask({ values, scale }) {
    const at = this.#first - 4 * this.#width;
    new Uint8Array(this.#kernels.buffer, at, this.#width * this.size).fill(0);
    new this.Type(this.#kernels.buffer, at, this.dim).set(values);
    if (this.size !== 1) return { at, scale };
    const prepared = at + 2 * this.#width;
    this.#kernels.prepare(at, this.#width, prepared);
    return { at: prepared, scale };
  }

  /**
   * The rows with the highest scores, best first, of equal ones that which was added first: some of them at a time, each
   * time more, until the caller has had enough.
   * @param {{ values: ArrayLike<number>, scale: number }} query from encode()
   * @param {number} limit how many at first
   * @returns {Generator<{ score: number, row: number }[]>}
   */
  *best(query, limit) {
    const [width, size] = [this.#width, this.size];
    let wanted = Math.min(limit, this.count);
    let last = { score: Infinity, row: 0 };
    for (let scored = false; wanted; scored = true) {
      const kernels = this.#kernels;
      const isShared = !scored && kernels.threads > 1 && this.#blocks * this.#block >= WORTH;
      const room = this.#roomFor(HIT * (isShared ? kernels.most * wanted : wanted));
      const ask = scored ? null : this.#ask(query);
      let found = 0;
      const blocks = Math.ceil(this.count / BLOCK);
      if (isShared) found = kernels.find(this.#first, blocks, this.#step, width, size, ask.at, ask.scale, room, wanted);
      else
        for (let block = 0; block < blocks; block += this.#step) {
          const at = this.#first + block * this.#block;
          const count = Math.min(this.#step, blocks - block);
          if (ask) kernels.score(at, count, width, size, ask.at, ask.scale);
          found = kernels.best(at, count, width, size, block * BLOCK, last.score, last.row, room, found, wanted);
        }
      kernels.sort(room, found);
      const hits = this.#hits(room, found);
      if (found) yield hits;
      if (found < wanted) return;
      last = hits.at(-1);
      wanted = Math.min(4 * wanted, this.count);
    }
  }

  /**
   * All pairs of rows with at least a score, in any order.
   * @param {number} above
   * @returns {{ score: number, other: number, row: number }[]} other < row
   */
  pairs(above) {
    const pairs = [];
    const { most = 1 } = this.#kernels;
    const [width, size] = [this.#width, this.size];
    // Of few rows parts are smaller, so that every thread has some.
    const step = Math.min(this.#step, 4 * Math.ceil((this.count + 1) / (16 * BLOCK * most)));
    const parts = Math.ceil(this.count / (BLOCK * step));
    const room = Math.max(PAIRS, step * BLOCK);
    const queries = PAIR * room * most; // behind the pairs
    const next = queries + 2 * width * most;
    const at = this.#roomFor(next + 4 * parts);
    const { buffer } = this.#kernels;
    const [scores, rows] = [new Float32Array(buffer, at), new Uint32Array(buffer, at)];
    rows.fill(0, next / 4, next / 4 + parts);
    let found;
    do {
      found = this.#kernels.pairs(
        this.#first,
        0,
        parts,
        step,
        width,
        size,
        this.count,
        above,
        at + next,
        at + queries,
        at,
        room,
      );
      for (let i = 0; i < 3 * found; i += 3) pairs.push({ score: scores[i], other: rows[i + 1], row: rows[i + 2] });
    } while (found);
    return pairs;
  }
}
