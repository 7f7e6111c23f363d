// An index of vectors: exact search among them, and a file that holds them.

import { pausing, underSignal } from '../base/abort.js';
import { HalfclipError, describe, messageOf } from '../base/errors.js';
import { readOptions } from '../base/options.js';
import { isId, readIndex, readRevision, writeEntry, writeIndex } from './index-file.js';
import { INDEX_OPTIONS, LOAD_OPTIONS, PAIR_OPTIONS, ROW_OPTIONS, SAVE_OPTIONS, SEARCH_OPTIONS } from './options.js';
import { readPlace, writePieces } from './places.js';
import { readVector } from './quantize.js';
import { Rows } from './rows.js';

const LIMIT = 10; // results, by default
const FEW = 64; // rows that are not worth moving

export class VectorIndex {
  #rows;
  #ids = []; // by row; undefined where one was removed
  #data = []; // by row, JSON text
  #places = new Map(); // id to row
  #metadata;
  #saving = Promise.resolve();
  #kept = null; // while a save is under way, rows that were replaced since it began
  #revision = null;
  #file = null; // that holds that revision

  /**
   * @param {{ dim: number, dtype?: 'int8' | 'fp32', metadata?: object, kernels?: 'relaxed' | 'simd128' | 'scalar' }}
   *   options
   */
  constructor(options) {
    const { dim, dtype = 'int8', metadata = {}, kernels } = readOptions(options, INDEX_OPTIONS);
    if (dim === undefined) throw new HalfclipError('input/type', 'option dim is missing: the length of the vectors');
    this.#rows = new Rows(dim, dtype, kernels);
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
    return this.#places.size;
  }

  /** What computes: `relaxed` or `simd128` WebAssembly, or `scalar` JavaScript. */
  get kernels() {
    return this.#rows.kernels;
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
    let row = this.#places.get(id);
    if (row === undefined) {
      row = this.#rows.push(values, scale);
      this.#places.set(id, row);
      this.#ids[row] = id;
    } else {
      if (this.#kept && !this.#kept.has(row)) this.#kept.set(row, this.#rows.values(row).slice());
      this.#rows.set(row, values, scale);
    }
    this.#data[row] = data;
  }

  /** Removes a vector; false if there is none. */
  remove(id) {
    checkId(id);
    const row = this.#places.get(id);
    if (row === undefined) return false;
    this.#places.delete(id);
    this.#rows.drop(row);
    this.#ids[row] = this.#data[row] = undefined;
    this.#compact();
    return true;
  }

  /** Once more than half of the rows are gone, the others move together. */
  #compact() {
    const { count } = this.#rows;
    if (this.#kept || count < FEW || this.size > count / 2) return;
    const isThere = (_, row) => this.#ids[row] !== undefined;
    this.#rows.compact((row) => isThere(null, row));
    this.#data = this.#data.filter(isThere);
    this.#ids = this.#ids.filter(isThere);
    this.#ids.forEach((id, row) => this.#places.set(id, row));
  }

  has(id) {
    return this.#places.has(checkId(id));
  }

  /** A vector as the index holds it, of length 1, and its data; undefined if there is none. */
  get(id) {
    const row = this.#places.get(checkId(id));
    return row === undefined ? undefined : { vector: this.#rows.vector(row), ...this.#dataOf(row) };
  }

  #dataOf(row) {
    if (this.#data[row] === undefined) return {};
    try {
      return { data: JSON.parse(this.#data[row]) };
    } catch (cause) {
      throw new HalfclipError('weights/corrupt', `the data of ${describe(this.#ids[row])} are no JSON`, { cause });
    }
  }

  /** All ids, in the order in which they were added. */
  *ids() {
    for (const id of this.#ids) if (id !== undefined) yield id;
  }

  /**
   * The vectors with the highest cosine to a query, best first; of equal ones that which was added first.
   * @param {ArrayLike<number>} query
   * @param {{ limit?: number, filter?: (id: string | number, data: unknown) => unknown }} [options]
   * @returns {{ id: string | number, score: number, data?: unknown }[]}
   */
  search(query, options = {}) {
    const { limit = LIMIT, filter } = readOptions(options, SEARCH_OPTIONS);
    const results = [];
    for (const hits of this.#rows.best(this.#encode(query, 'the query'), limit)) {
      for (const { score, row } of hits) {
        const result = { id: this.#ids[row], score, ...this.#dataOf(row) };
        if (result.id === undefined || (filter && !filter(result.id, result.data))) continue;
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
    const pairs = [];
    this.#rows.pairs(above, (row, other, score) => pairs.push({ row, other, score }));
    pairs.sort((a, b) => b.score - a.score || a.other - b.other || a.row - b.row);
    return pairs.slice(0, limit).map(({ row, other, score }) => ({ ids: [this.#ids[other], this.#ids[row]], score }));
  }

  /** Takes all that another index has; where both have an id, the other's counts. */
  merge(other) {
    if (!(other instanceof VectorIndex) || other.dim !== this.dim)
      throw new HalfclipError(
        'input/type',
        `merge() got ${other instanceof VectorIndex ? `an index of vectors of ${other.dim}` : describe(other)}, expected a VectorIndex of vectors of ${this.dim}`,
      );
    if (other === this) return;
    for (const [id, row] of other.#places) {
      const same = other.dtype === this.dtype;
      const held = same
        ? { values: other.#rows.values(row), scale: other.#rows.scale(row) }
        : this.#rows.encode(other.#rows.vector(row));
      this.#put(id, held, other.#data[row]);
    }
  }

  /**
   * Saves the index as it is when this is called, or later where another save is under way.
   * @param {unknown} [target] see writePieces
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Blob | undefined>}
   */
  async save(target, options = {}) {
    const { signal } = readOptions(options, SAVE_OPTIONS);
    const saved = this.#saving.then(() => underSignal(signal, (signal) => this.#save(target, signal)));
    this.#saving = saved.catch(() => {});
    return saved;
  }

  async #save(target, signal) {
    const rows = [...this.#places.values()];
    const kept = (this.#kept = new Map());
    const revision = newRevision();
    let file = null;
    try {
      const pieces = writeIndex({
        dtype: this.dtype,
        dim: this.dim,
        lines: rows.map((row) => writeEntry(this.#ids[row], this.#data[row])),
        revision,
        metadata: this.#metadata,
        row: (i) => ({ values: kept.get(rows[i]) ?? this.#rows.values(rows[i]), scale: this.#rows.scale(rows[i]) }),
      });
      const blob = await writePieces(target, startAtOnce(pieces), {
        signal,
        check: async (current) => {
          ({ file } = current);
          if (current.source && file === this.#file && (await readRevision(current.source)) !== this.#revision)
            throw new HalfclipError(
              'weights/changed',
              `${file}: was changed by somebody else since this index was loaded from it or saved there: load it, and merge() this index into it`,
            );
        },
      });
      if (file !== null) [this.#file, this.#revision] = [file, revision];
      return blob;
    } finally {
      this.#kept = null;
      this.#compact();
    }
  }

  /**
   * Loads an index that was saved.
   * @param {unknown} source see readPlace
   * @param {{ signal?: AbortSignal, fetch?: typeof fetch, salvage?: boolean }} [options] salvage: of a damaged file, take
   *   what is whole
   */
  static async load(source, options = {}) {
    const { signal, fetch, salvage = false, kernels } = readOptions(options, LOAD_OPTIONS);
    return underSignal(signal, (signal) =>
      readPlace(source, { fetch, signal }, (opened, file) =>
        VectorIndex.#read(opened, file, { signal, salvage, kernels }),
      ),
    );
  }

  static async #read(source, file, { signal, salvage, kernels }) {
    const pause = pausing(signal);
    let index;
    const { whole, count, problem, truncated } = await readIndex(source, {
      begin({ dim, dtype, metadata, revision }, rows) {
        index = new VectorIndex({ dim, dtype, metadata, kernels });
        index.#rows.reserve(rows);
        [index.#file, index.#revision] = [file, revision];
      },
      row(id, data, values, scale) {
        if (index.#places.has(id)) return false;
        index.#put(id, { values, scale }, data);
        return true;
      },
      pause,
    });
    signal.throwIfAborted();
    if (!problem) return index;
    const message = `${source.name}: ${problem}; ${whole} of ${count} vectors are whole`;
    if (!salvage)
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

/** The same pieces; what makes the first one has run already. */
function startAtOnce(pieces) {
  const first = pieces.next();
  return (function* () {
    yield first.value;
    yield* pieces;
  })();
}

const newRevision = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
