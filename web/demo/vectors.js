// The vectors of the pictures by one model: an index of halfclip/index, with pictures' numbers as ids, in a file of the
// origin private file system.

import { VectorIndex } from '../vector-index.js';

const fileOf = (key) => `halfclip-pictures-${key}.index`;

export class Vectors {
  #file;
  #index = null; // until the first vector says how long they are
  #changed = false;

  /**
   * Opens what is kept; of a damaged file what is whole.
   * @param {string} key of the model, of letters, digits and dashes
   * @param {boolean} isKept whether there is a place for files
   */
  static async open(key, isKept) {
    const vectors = new Vectors();
    vectors.#file = isKept ? fileOf(key) : null;
    if (isKept) vectors.#index = await loadIfThere(vectors.#file);
    return vectors;
  }

  get size() {
    return this.#index?.size ?? 0;
  }

  has(id) {
    return this.#index?.has(id) ?? false;
  }

  get(id) {
    return this.#index?.get(id)?.vector;
  }

  set(id, vector) {
    this.#index ??= new VectorIndex({ dim: vector.length });
    this.#index.replace(id, vector);
    this.#changed = true;
  }

  remove(ids) {
    for (const id of ids) this.#changed = this.#index?.remove(id) || this.#changed;
  }

  /** Removes all but these pictures' vectors. */
  keepOnly(isThere) {
    if (this.#index) this.remove([...this.#index.ids()].filter((id) => !isThere(id)));
  }

  /** @returns {{ id: number, score: number }[]} all pictures, best first, or those that the filter lets through */
  search(query, { limit = this.size, filter } = {}) {
    return this.#index && limit > 0 ? this.#index.search(query, { limit, filter }) : [];
  }

  duplicates(above) {
    return this.#index?.duplicates({ above, limit: 20_000 }) ?? [];
  }

  /** An index of some pictures, with what the caller says of each. */
  async subset(entries, metadata) {
    if (!this.#index) throw new Error('There is nothing to export yet.');
    const index = new VectorIndex({ dim: this.#index.dim, metadata });
    for (const { id, name, data } of entries) if (this.has(id)) index.replace(name, this.get(id), { data });
    return index.save();
  }

  /** Writes the file, if something changed. If another tab wrote it meanwhile, what that has is kept, too. */
  async save() {
    if (!this.#changed || !this.#file) return;
    this.#changed = false;
    try {
      await this.#index.save(this.#file);
    } catch (error) {
      this.#changed = true;
      if (error.code !== 'weights/changed') throw error;
      const theirs = await VectorIndex.load(this.#file, { salvage: true });
      theirs.merge(this.#index);
      this.#index = theirs;
      await this.save();
    }
  }
}

async function loadIfThere(file) {
  try {
    return await VectorIndex.load(file, { salvage: true });
  } catch (error) {
    // Nothing was saved yet, or nothing of it is left: the pictures are embedded again.
    if (/^weights\/(not-found|corrupt|truncated|format)$/.test(error.code)) return null;
    throw error;
  }
}

/** Removes the vectors of a model, or of all. */
export async function removeVectors(key) {
  const root = await navigator.storage.getDirectory();
  for await (const name of root.keys()) {
    const isOurs = key === undefined ? /^halfclip-pictures-.*\.index/.test(name) : name === fileOf(key);
    if (isOurs) await root.removeEntry(name).catch(() => {});
  }
}
