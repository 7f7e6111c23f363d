// Weights in a file, read by ranges.

import { constants, open } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { HalfclipError } from '../base/errors.js';
import { CHUNK, Source } from '../sources/source.js';

class FileSource extends Source {
  #file;
  #place;
  #stat;

  constructor(place, file, stat) {
    super(place, stat.size);
    this.#place = place;
    this.#file = file;
    this.#stat = stat;
  }

  async *read(begin, end) {
    const buffer = new Uint8Array(CHUNK);
    for (let at = begin; at < end;) {
      const { bytesRead } = await this.#file.read(buffer, 0, Math.min(CHUNK, end - at), at);
      if (!bytesRead) return;
      at += bytesRead;
      this.received += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  sibling(name) {
    return openFile(
      path.join(path.dirname(this.#place.startsWith('file:') ? fileURLToPath(this.#place) : this.#place), name),
    );
  }

  async verify() {
    const { size, mtimeMs } = await this.#file.stat();
    if (size === this.#stat.size && mtimeMs === this.#stat.mtimeMs) return;
    throw new HalfclipError('weights/changed', `${this.#place}: the file changed while it was read`);
  }

  close() {
    return this.#file.close();
  }
}

/** A file as a source. */
export async function openFile(place) {
  let file;
  try {
    // A FIFO would be waited for.
    file = await open(place.startsWith('file:') ? new URL(place) : place, constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) throw new HalfclipError('weights/not-found', `${place}: is not a file`);
    return new FileSource(place, file, stat);
  } catch (error) {
    await file?.close();
    if (error instanceof HalfclipError) throw error;
    throw new HalfclipError(
      'weights/not-found',
      `${place}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
      { cause: error },
    );
  }
}
