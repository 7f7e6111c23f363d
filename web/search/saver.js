// Saves an index, and remembers what its file has: what has changed since is added to that, or all of it written again.

import { HalfclipError } from '../base/errors.js';
import { changePlace, nameOfPlace, writePieces } from './places.js';
import { readRevision } from './read-index.js';
import { Snapshot } from './snapshot.js';
import { appendIndex, writeIndex } from './write-index.js';

const FEW = 64; // rows that are not worth moving

export class Saver {
  #rows;
  #entries;
  #last = Promise.resolve(); // save
  #snapshot = null; // while a save is under way
  #users = 0; // that know rows by their numbers
  #file = null; // that the index was loaded from or saved in last
  #revisions = new Set(); // what it is called there, or may be where a save failed
  #stored = null; // rows that the file has, under the same numbers; null: it has others
  #changed = new Set(); // of these, what has changed since

  /**
   * @param {import('./rows.js').Rows} rows
   * @param {import('./entries.js').Entries} entries
   */
  constructor(rows, entries) {
    this.#rows = rows;
    this.#entries = entries;
  }

  /** The index is that of a file now, in which it is called `revision`; stored: rows that this has, or null. */
  loaded(file, revision, stored) {
    if (file === null) return;
    this.#file = file;
    this.#revisions = new Set([revision]);
    this.#stored = stored;
  }

  /** To be called before a row changes. */
  changes(row) {
    this.#snapshot?.keep(row);
    if (this.#stored !== null && row < this.#stored) this.#changed.add(row);
  }

  /** Once more than half of the rows are gone, the others move together. */
  compact() {
    const { count } = this.#rows;
    if (this.#snapshot || this.#users || count < FEW || this.#entries.size > count / 2) return;
    this.#renumber();
  }

  /** Does `work`, while which rows keep their numbers, also where a caller's function changes the index. */
  whileNumbered(work) {
    this.#users++;
    try {
      return work();
    } finally {
      this.#users--;
      this.compact();
    }
  }

  #renumber() {
    if (this.#entries.size === this.#rows.count) return;
    this.#rows.compact(this.#entries.has);
    this.#entries.compact();
    this.#stored = null;
    this.#changed.clear();
  }

  /**
   * Saves the index as it is when this is called, or later where another save is under way.
   * @param {unknown} target see writePieces
   * @param {() => string} metadata as JSON
   * @param {AbortSignal} signal
   * @returns {Promise<Blob | undefined>}
   */
  save(target, metadata, signal) {
    const saved = this.#last.then(() => this.#save(target, metadata, signal));
    this.#last = saved.catch(() => {});
    return saved;
  }

  async #save(target, metadata, signal) {
    const about = { metadata: JSON.parse(metadata()) };
    const file = nameOfPlace(target);
    if (file === null) return this.#whileKept(() => this.#writeAll(target, about, newRevision(), signal));
    const isSame = file === this.#file;
    if (!isSame || this.#stored === null) this.#renumber();
    const [stored, changed] = isSame ? [this.#stored, this.#changed] : [null, new Set()];
    return this.#whileKept(async (snapshot) => {
      const revision = newRevision();
      [this.#stored, this.#changed] = [snapshot.count, new Set()];
      if (isSame) this.#revisions.add(revision);
      try {
        const check = (found) => isSame && this.#check(file, found);
        const isAdded =
          stored !== null && (await this.#add(target, { stored, changed, about, revision, check, signal }));
        if (!isAdded) await this.#writeAll(target, about, revision, signal, check);
        this.#file = file;
        this.#revisions = new Set([revision]);
        // Without those that were removed rows have other numbers there.
        if (!isAdded && snapshot.all().length < snapshot.count) this.#stored = null;
      } catch (error) {
        this.#stored = null; // how much of it is there, nobody knows
        throw error;
      }
    });
  }

  /** Does `work` with the index as it is now, of which it stays a copy. */
  async #whileKept(work) {
    this.#snapshot = new Snapshot(this.#rows, this.#entries);
    try {
      return await work(this.#snapshot);
    } finally {
      this.#snapshot = null;
      this.compact();
    }
  }

  #check(file, found) {
    if (this.#revisions.has(found)) return;
    throw new HalfclipError(
      'weights/changed',
      `${file}: was changed by somebody else since this index was loaded from it or saved there: load it, and merge() this index into it`,
    );
  }

  #writeAll(target, about, revision, signal, check) {
    const snapshot = this.#snapshot;
    const pieces = writeIndex({ ...snapshot.part(snapshot.all()), ...about }, revision);
    return writePieces(target, startAtOnce(pieces), {
      signal,
      check: async ({ source }) => {
        if (source) check(await readRevision(source));
      },
    });
  }

  /** Adds what has changed to the file; false where all of it has to be written. */
  #add(target, { stored, changed, about, revision, check, signal }) {
    const snapshot = this.#snapshot;
    const isThere = (row) => snapshot.line(row) !== undefined;
    const old = [...changed].sort((a, b) => a - b);
    const rows = old.filter(isThere);
    for (let row = stored; row < snapshot.count; row++) if (isThere(row)) rows.push(row);
    const removed = old.filter((row) => !isThere(row));
    const saved = { ...snapshot.part(rows), ...about, removed, size: this.#entries.size };
    return changePlace(target, signal, (file) => appendIndex(file, saved, revision, { check, signal }));
  }
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
