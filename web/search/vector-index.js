// An index of vectors: exact search among them, and a file that holds them.

import { pausing, underSignal } from '../base/abort.js';
import { HalfclipError, describe, messageOf } from '../base/errors.js';
import { readOptions } from '../base/options.js';
import { countThreads } from '../threads/helper-threads.js';
import { Entries, isId } from './entries.js';
import { INDEX_OPTIONS, LOAD_OPTIONS, PAIR_OPTIONS, ROW_OPTIONS, SAVE_OPTIONS, SEARCH_OPTIONS } from './options.js';
import { readPlace } from './places.js';
import { readVector } from './quantize.js';
import { readIndex } from './read-index.js';
import { Rows } from './rows.js';
import { Saver } from './saver.js';

const LIMIT = 10; // results, by default

export class VectorIndex {
  #rows;
  #entries = new Entries();
  #metadata;
  #saver;

  /**
   * @param {{ dim: number, dtype?: 'int8' | 'fp32', metadata?: object, kernels?: 'relaxed' | 'simd128' | 'scalar',
   *   threads?: 'auto' | number }} options
   */
  constructor(options) {
    const { dim, dtype = 'int8', metadata = {}, kernels, threads = 1 } = readOptions(options, INDEX_OPTIONS);
    if (dim === undefined) throw new HalfclipError('input/type', 'option dim is missing: the length of the vectors');
    this.#rows = new Rows(dim, dtype, kernels, countThreads(threads));
    this.#saver = new Saver(this.#rows, this.#entries);
    this.#metadata = JSON.parse(writeJson(metadata, 'option metadata'));
    /** What was lost of a damaged file that was loaded with `salvage`, or null. */
    this.damage = null;
  }

  get dim() {
    return this.#rows.dim;
  }

  get dtype() {
    return this.#rows.dtype;
  }

  get size() {
    return this.#entries.size;
  }

  /** What computes: `relaxed` or `simd128` WebAssembly, or `scalar` JavaScript. */
  get kernels() {
    return this.#rows.kernels;
  }

  /** How many threads a search has, the caller's included. */
  get threads() {
    return this.#rows.threads;
  }

  /** What is kept beside the vectors, a JSON object. */
  get metadata() {
    return this.#metadata;
  }

  set metadata(value) {
    readOptions({ metadata: value }, INDEX_OPTIONS);
    this.#metadata = JSON.parse(writeJson(value, 'metadata'));
  }

  /** Adds a vector. Its id must be new. */
  add(id, vector, options = {}) {
    if (this.has(id))
      throw new HalfclipError('input/type', `add() got ${describe(id)}, which is in the index: replace() takes it`);
    this.#put(id, this.#encode(vector), readData(options));
  }

  /** Puts a vector in the place of the one with its id, or adds it where there is none. */
  replace(id, vector, options = {}) {
    checkId(id);
    this.#put(id, this.#encode(vector), readData(options));
  }

  #encode(vector, name = 'the vector') {
    return this.#rows.encode(readVector(vector, this.dim, name));
  }

  #put(id, { values, scale }, data) {
    let row = this.#entries.find(id);
    if (row === undefined) row = this.#rows.push(values, scale);
    else {
      this.#saver.changes(row);
      this.#rows.set(row, values, scale);
    }
    this.#entries.put(row, id, data);
  }

  /** Removes a vector; false if there is none. */
  remove(id) {
    const row = this.#entries.find(checkId(id));
    if (row === undefined) return false;
    this.#saver.changes(row);
    this.#entries.remove(row);
    this.#rows.drop(row);
    this.#saver.compact();
    return true;
  }

  has(id) {
    return this.#entries.find(checkId(id)) !== undefined;
  }

  /** A vector as the index holds it, of length 1, and its data; undefined if there is none. */
  get(id) {
    const row = this.#entries.find(checkId(id));
    return row === undefined ? undefined : { vector: this.#rows.vector(row), ...this.#entries.data(row) };
  }

  /** All ids, in the order in which they were added. */
  *ids() {
    for (const row of this.#entries.rows()) yield this.#entries.id(row);
  }

  /**
   * The vectors with the highest cosine to a query, best first; of equal ones that which was added first.
   * @param {ArrayLike<number>} query
   * @param {{ limit?: number, filter?: (id: string | number, data: unknown) => unknown }} [options]
   * @returns {{ id: string | number, score: number, data?: unknown }[]}
   */
  search(query, options = {}) {
    const { limit = LIMIT, filter } = readOptions(options, SEARCH_OPTIONS);
    const encoded = this.#encode(query, 'the query');
    return this.#saver.whileNumbered(() => this.#search(encoded, limit, filter));
  }

  #search(query, limit, filter) {
    const results = [];
    for (const hits of this.#rows.best(query, limit)) {
      for (const { score, row } of hits) {
        if (!this.#entries.has(row)) continue; // the filter has removed it
        const result = { id: this.#entries.id(row), score, ...this.#entries.data(row) };
        if (filter && !filter(result.id, result.data)) continue;
        results.push(result);
        if (results.length === limit) return results;
      }
    }
    return results;
  }

  /**
   * Pairs of vectors that are at least so near to each other, the nearest first.
   * @param {{ above: number, limit?: number }} options a cosine
   * @returns {{ ids: [string | number, string | number], score: number }[]} the one that was added first is the first
   */
  duplicates(options) {
    const { above, limit = Infinity } = readOptions(options, PAIR_OPTIONS);
    if (above === undefined)
      throw new HalfclipError('input/type', 'option above is missing: the least cosine of two duplicates');
    const pairs = this.#rows.pairs(above);
    pairs.sort((a, b) => b.score - a.score || a.other - b.other || a.row - b.row);
    const id = (row) => this.#entries.id(row);
    return pairs.slice(0, limit).map(({ row, other, score }) => ({ ids: [id(other), id(row)], score }));
  }

  /** Takes all that another index has; where both have an id, the other's counts. */
  merge(other) {
    if (!(other instanceof VectorIndex) || other.dim !== this.dim)
      throw new HalfclipError(
        'input/type',
        `merge() got ${other instanceof VectorIndex ? `an index of vectors of ${other.dim}` : describe(other)}, expected a VectorIndex of vectors of ${this.dim}`,
      );
    if (other === this) return;
    for (const row of other.#entries.rows()) {
      const same = other.dtype === this.dtype;
      const held = same
        ? { values: other.#rows.values(row), scale: other.#rows.scale(row) }
        : this.#rows.encode(other.#rows.vector(row));
      this.#put(other.#entries.id(row), held, other.#entries.dataText(row));
    }
  }

  /**
   * Saves the index as it is when this is called, or later where another save is under way.
   * @param {unknown} [target] see places.js
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Blob | undefined>}
   */
  async save(target, options = {}) {
    const { signal } = readOptions(options, SAVE_OPTIONS);
    const metadata = () => writeJson(this.#metadata, 'metadata');
    return underSignal(signal, (signal) => this.#saver.save(target, metadata, signal));
  }

  /**
   * Loads an index that was saved.
   * @param {unknown} source see readPlace
   * @param {{ signal?: AbortSignal, fetch?: typeof fetch, salvage?: boolean }} [options] salvage: of a damaged file, take
   *   what is whole
   */
  static async load(source, options = {}) {
    const { signal, fetch, salvage = false, kernels, threads } = readOptions(options, LOAD_OPTIONS);
    return underSignal(signal, (signal) =>
      readPlace(source, { fetch, signal }, (opened, file) =>
        VectorIndex.#read(opened, file, { signal, salvage, kernels, threads }),
      ),
    );
  }

  static async #read(source, file, { signal, salvage, kernels, threads }) {
    const pause = pausing(signal);
    let index;
    const { about, whole, count, problem, truncated, torn, isOwn } = await readIndex(source, {
      begin({ dim, dtype, metadata }, rows) {
        index = new VectorIndex({ dim, dtype, metadata, kernels, threads });
        index.#rows.reserve(rows);
        return index.#rows;
      },
      put: (row, line) => index.#entries.putLine(row, line),
      drop(row) {
        if (!index.#entries.has(row)) return;
        index.#entries.remove(row);
        index.#rows.drop(row);
      },
      pause,
    });
    signal.throwIfAborted();
    index.#saver.loaded(file, about.revision, !problem && isOwn ? index.#rows.extend(about.rows) : null);
    if (!problem) return index;
    const message = `${source.name}: ${problem}; ${whole} of ${count} vectors are whole`;
    if (!salvage && !torn)
      throw new HalfclipError(
        truncated ? 'weights/truncated' : 'weights/corrupt',
        `${message}, which the option salvage loads`,
      );
    index.damage = { message, lost: count - whole };
    return index;
  }
}

function checkId(id) {
  if (isId(id)) return id;
  throw new HalfclipError('input/type', `an id is ${describe(id)}, expected a string or an integer`);
}

function readData(options) {
  const { data } = readOptions(options, ROW_OPTIONS);
  return data === undefined ? undefined : writeJson(data, 'option data');
}

function writeJson(value, name) {
  let cause;
  try {
    const text = JSON.stringify(value);
    if (text !== undefined) return text;
  } catch (error) {
    cause = error;
  }
  throw new HalfclipError(
    'input/type',
    `${name} cannot be written as JSON${cause ? `: ${messageOf(cause)}` : `, it is ${describe(value)}`}`,
    { cause },
  );
}
