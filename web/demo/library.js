// The pictures that the page knows, in its worker: a record of each, its thumbnail and its vector, and when they are
// written.
//
// What is new waits for the next commit, which writes thumbnails, then records, then vectors: a page that is closed in
// between loses a moment's work and no more, for what has no vector is embedded again.

import { Places } from './places.js';
import { openThumbnails } from './thumbnails.js';
import { Vectors, removeVectors } from './vectors.js';

/** What a picture is recognised by when its folder is read again. */
export const identity = ({ path, size, modified }) => JSON.stringify([path, size, modified]);

export class Library {
  #database;
  #thumbnails;
  #records = new Map();
  #identities = new Map();
  #fresh = new Map(); // thumbnails that are not written yet
  #changed = new Set(); // records that are not written yet
  #last = 0;
  #committing = Promise.resolve();

  /** @param {Awaited<ReturnType<import('./database.js').openDatabase>>} database */
  static async open(database) {
    const library = new Library();
    library.#database = database;
    library.#thumbnails = await openThumbnails();
    library.places = new Places(await database.all('folders'));
    for (const record of await database.all('pictures')) library.#put(record);
    return library;
  }

  /** Whether pictures are still there when the page is opened again. */
  get isKept() {
    return this.#thumbnails !== null;
  }

  #put(record) {
    this.#records.set(record.id, record);
    this.#identities.set(identity(record), record.id);
    this.#last = Math.max(this.#last, record.id);
  }

  get records() {
    return [...this.#records.values()];
  }

  get size() {
    return this.#records.size;
  }

  get(id) {
    return this.#records.get(id);
  }

  /**
   * Adds a picture, unless it is there: then only its file is remembered.
   * @param {{ name: string, path: string, source: object, size: number, modified: number, file?: File }} picture
   * @returns {object | null} its record, if it is new
   */
  add({ file, ...picture }) {
    const known = this.#identities.get(identity(picture));
    if (known !== undefined) {
      if (file) this.places.remember(known, file);
      return null;
    }
    const record = { id: this.#last + 1, hidden: false, ...picture };
    this.#put(record);
    this.#changed.add(record.id);
    if (file) this.places.remember(record.id, file);
    return record;
  }

  /** The number of a picture that is there, by what it is recognised by. */
  idOf(picture) {
    return this.#identities.get(identity(picture));
  }

  /** Changes what is known of a picture. */
  update(id, changes) {
    const record = this.#records.get(id);
    if (!record) return;
    Object.assign(record, changes);
    this.#changed.add(id);
  }

  /** Opens the vectors of a model, in place of another's. */
  async useModel(key) {
    await this.commit();
    this.vectors = await Vectors.open(key, this.isKept);
    this.vectors.keepOnly((id) => this.#records.has(id));
  }

  async addFolder(handle) {
    const { folder, isNew } = await this.places.folderOf(handle);
    if (isNew) await this.#database.write({ folders: { put: [folder] } });
    return folder;
  }

  setThumbnail(id, blob) {
    if (this.#records.has(id)) this.#fresh.set(id, blob);
  }

  hasThumbnail(id) {
    return this.#fresh.has(id) || Boolean(this.#records.get(id)?.thumbnail);
  }

  /** @returns {Promise<Blob | null>} */
  async thumbnail(id) {
    if (this.#fresh.has(id)) return this.#fresh.get(id);
    const { thumbnail } = this.#records.get(id) ?? {};
    return thumbnail ? this.#thumbnails.read(thumbnail) : null;
  }

  /** Writes what changed. Rejects where the disk is full; then all of it still waits. */
  commit() {
    const work = this.#committing.then(() => this.#commit());
    this.#committing = work.catch(() => {});
    return work;
  }

  async #commit() {
    const fresh = [...this.#fresh];
    if (this.#thumbnails && fresh.length > 0) {
      const written = await this.#thumbnails.write(fresh.map(([, blob]) => blob));
      fresh.forEach(([id], i) => {
        this.update(id, { thumbnail: written[i] });
        this.#fresh.delete(id);
      });
    }
    const changed = [...this.#changed];
    this.#changed.clear();
    const put = changed.map((id) => this.#records.get(id)).filter(Boolean);
    if (put.length > 0) {
      try {
        await this.#database.write({ pictures: { put } });
      } catch (error) {
        for (const id of changed) this.#changed.add(id);
        throw error;
      }
    }
    await this.vectors?.save();
  }

  async remove(ids) {
    for (const id of ids) {
      const record = this.#records.get(id);
      if (!record) continue;
      this.#identities.delete(identity(record));
      this.#records.delete(id);
      this.#fresh.delete(id);
      this.#changed.delete(id);
    }
    this.places.forget(ids);
    this.vectors.remove(ids);
    await this.#database.write({ pictures: { remove: ids } });
    await this.vectors.save();
  }

  /** Gives back what thumbnails of removed pictures, and pages that were closed while they wrote, have left. */
  sweep() {
    return this.#thumbnails?.sweep(this.records.map(({ thumbnail }) => thumbnail).filter(Boolean));
  }

  /** Forgets all pictures and folders, by every model. */
  async removeAll(key) {
    await this.#committing;
    for (const map of [this.#records, this.#identities, this.#fresh, this.#changed]) map.clear();
    this.places.forgetAll();
    await this.#database.write({ pictures: { clear: true }, folders: { clear: true } });
    if (this.isKept) {
      await this.#thumbnails.removeAll();
      await removeVectors();
    }
    this.vectors = await Vectors.open(key, this.isKept);
  }
}
