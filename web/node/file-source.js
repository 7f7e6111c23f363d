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
    // One is read while the other one is looked at.
    const buffers = [0, 1].map(() => new Uint8Array(Math.min(CHUNK, end - begin)));
    const start = (at) => {
      buffers.reverse();
      const reading = this.#file.read(buffers[0], 0, Math.min(buffers[0].length, end - at), at);
      reading.catch(() => {}); // of which nobody hears who has stopped before
      return reading;
    };
    let next = null;
    try {
      for (let at = begin; at < end;) {
        const { bytesRead, buffer } = await (next ?? start(at));
        next = null;
        if (!bytesRead) return;
        at += bytesRead;
        this.received += bytesRead;
        if (at < end) next = start(at);
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await next?.catch(() => {});
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
export const openFile = async (place) => (await openAs(place, constants.O_RDONLY)).source;

/** A file as a source, whose close() closes it, and what changes it: see changeFile in replace-file.js. */
export async function openToChange(place) {
  const { source, file } = await openAs(place, constants.O_RDWR);
  return {
    source,
    truncate: (length) => file.truncate(length),
    async write(bytes, at) {
      for (let done = 0; done < bytes.length;)
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    },
    sync: () => file.sync(),
  };
}

async function openAs(place, mode) {
  let file;
  try {
    // A FIFO would be waited for.
    file = await open(place.startsWith('file:') ? new URL(place) : place, mode | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) throw new HalfclipError('weights/not-found', `${place}: is not a file`);
    return { source: new FileSource(place, file, stat), file };
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
