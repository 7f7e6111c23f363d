// Where Node.js keeps the cache's entries: a folder with one file for each. A file's time of modification is the time
// of its last use.

import * as fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { entryFile, isAbandoned, isFormerEntry, isMarked, nameOfEntry, temporaryFile } from '../cache/names.js';

/**
 * @param {string} [dir] default: halfclip in XDG_CACHE_HOME or ~/.cache
 */
export function openFolder(dir) {
  const home = process.env.XDG_CACHE_HOME;
  return new FolderStorage(
    path.resolve(
      dir ?? path.join(home && path.isAbsolute(home) ? home : path.join(os.homedir(), '.cache'), 'halfclip'),
    ),
  );
}

class FolderStorage {
  constructor(dir) {
    this.dir = dir;
  }

  #place(name) {
    return path.join(this.dir, entryFile(name));
  }

  /** A reader of an entry, see cache/tower-cache.js; rejects if there is none. */
  open(name) {
    return this.#openPlace(this.#place(name));
  }

  /** The file of an entry that grows in its place, see cache/tower-cache.js. */
  async grow(name, create) {
    if (create) await this.#make(this.dir);
    const { O_RDWR, O_CREAT } = fs.constants;
    return this.#openPlace(this.#place(name), create ? O_RDWR | O_CREAT : O_RDWR);
  }

  async #openPlace(place, flags = fs.constants.O_RDONLY) {
    // Of a FIFO, opening it would wait for a writer; a link may lead to anybody's file.
    const { O_NONBLOCK = 0, O_NOFOLLOW = 0 } = fs.constants;
    const file = await fs.open(place, flags | O_NONBLOCK | O_NOFOLLOW, 0o600);
    let size;
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw new TypeError(`${place} is not a file`);
      ({ size } = stat);
    } catch (error) {
      await file.close();
      throw error;
    }
    let at = 0;
    const read = async (view, position) => {
      let got = 0;
      for (let n = 1; n && got < view.length; got += n)
        n = (await file.read(view, got, view.length - got, position + got)).bytesRead;
      return got;
    };
    let ahead = null; // what comes next, read while the caller works on what it has got
    // There is never more than one read under way: what it has read is copied before the next one begins.
    let block = new Uint8Array(0);
    const readBlock = async (length) => {
      if (block.length < length) block = new Uint8Array(length);
      return block.subarray(0, await read(block.subarray(0, length), at));
    };
    return {
      size,
      async bytes(begin, end) {
        const all = new Uint8Array(end - begin);
        return all.subarray(0, await read(all, begin));
      },
      async fill(view) {
        const bytes = await (ahead ?? readBlock(view.length));
        const part = bytes.subarray(0, view.length);
        view.set(part);
        at += part.length;
        ahead = at < size ? readBlock(view.length) : null;
        ahead?.catch(() => {}); // reported when it is asked for
        return part.length;
      },
      async write(bytes, position) {
        for (let got = 0; got < bytes.length;)
          got += (await file.write(bytes, got, bytes.length - got, position + got)).bytesWritten;
      },
      close: () => file.close(),
    };
  }

  /**
   * Writes an entry beside its place and moves it there whole: no reader ever sees half of it, and of two writers the
   * last one wins.
   */
  async write(name, pieces, signal) {
    await this.#make(this.dir);
    const temporary = path.join(this.dir, temporaryFile(name));
    const file = await fs.open(temporary, 'wx', 0o600);
    try {
      try {
        for await (const piece of pieces) {
          signal?.throwIfAborted();
          for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
        }
      } finally {
        await file.close();
      }
      signal?.throwIfAborted();
      await fs.rename(temporary, this.#place(name));
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw error;
    }
  }

  /**
   * Makes a folder, and those above it. Node.js's own way to do that never ends where the system refuses, as below
   * /proc.
   */
  async #make(dir) {
    const make = () => fs.mkdir(dir, 0o700).catch((error) => error.code);
    const above = path.dirname(dir);
    if ((await make()) === 'ENOENT' && above !== dir) {
      await this.#make(above);
      await make();
    }
  }

  async touch(name) {
    const now = new Date();
    // Not every runtime can leave links alone, and entries are none.
    await (fs.lutimes ?? fs.utimes)(this.#place(name), now, now);
  }

  /** All entries: { name, size, used }, the time of last use in milliseconds. */
  async list() {
    const entries = [];
    for (const { file, place, stat } of await this.#files()) {
      const name = nameOfEntry(file);
      if (name && (await this.#isMarked(place))) entries.push({ name, size: stat.size, used: stat.mtimeMs });
    }
    return entries;
  }

  /** Removes what writers left behind that were killed, and entries that are of no use any more. */
  async sweep() {
    for (const { file, place, stat } of await this.#files()) {
      const isWaste = isAbandoned(file, stat.mtimeMs) || (isFormerEntry(file) && (await this.#isMarked(place)));
      if (isWaste) await fs.rm(place, { force: true });
    }
  }

  /** What lies in the folder: files, not links to some. */
  async #files() {
    const names = await fs.readdir(this.dir).catch((error) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const files = [];
    for (const file of names) {
      const place = path.join(this.dir, file);
      const stat = await fs.lstat(place).catch(() => null); // another process may have removed it
      if (stat?.isFile()) files.push({ file, place, stat });
    }
    return files;
  }

  async #isMarked(place) {
    const reader = await this.#openPlace(place).catch(() => null);
    try {
      return Boolean(reader && (await isMarked(reader)));
    } catch {
      return false;
    } finally {
      await reader?.close();
    }
  }

  async remove(name) {
    await fs.rm(this.#place(name), { force: true });
  }
}
