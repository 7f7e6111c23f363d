// A file that is written beside its place and moved there whole: no reader ever sees half of it, and nothing is left of
// one that fails.

import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

import { atOption } from './options.js';

export class SafeFile {
  #path;
  #temporary;
  #file;

  /** @param {string} path as the option --out gives it */
  constructor(path) {
    this.#path = path;
    this.#temporary = `${path}.${process.pid}.tmp`;
    this.#try(() => (this.#file = openSync(this.#temporary, 'wx')));
  }

  /** Where it is until it is complete. */
  get temporary() {
    return this.#temporary;
  }

  /**
   * @param {string | Uint8Array} data
   * @param {number} [position] in the file, instead of behind what was written
   */
  write(data, position = null) {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    this.#try(() => {
      for (let at = 0; at < bytes.length;)
        at += writeSync(this.#file, bytes, at, bytes.length - at, position === null ? null : position + at);
    });
  }

  /** Moves it to its place. */
  commit() {
    this.#try(() => {
      this.#close();
      renameSync(this.#temporary, this.#path);
    });
  }

  /** Leaves nothing behind. */
  discard() {
    this.#close();
    rmSync(this.#temporary, { force: true });
  }

  #close() {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #try(work) {
    try {
      work();
    } catch (error) {
      if (error.code !== 'ENOTDIR') this.discard();
      throw atOption('out', this.#path, error);
    }
  }
}
