// Weights that are at hand: bytes, and Blobs.

import { HalfclipError } from '../base/errors.js';
import { CHUNK, Source } from './source.js';

export class BytesSource extends Source {
  #bytes;

  constructor(bytes) {
    super('the bytes of weights', bytes.length);
    this.#bytes = bytes;
  }

  async *read(begin, end) {
    const last = Math.min(end, this.size);
    for (let at = begin; at < last; at += CHUNK) {
      if (this.#bytes.length !== this.size)
        throw new HalfclipError(
          'weights/changed',
          `${this.name}: their memory was transferred or resized while they were read`,
        );
      const chunk = this.#bytes.subarray(at, Math.min(last, at + CHUNK));
      this.received += chunk.length;
      yield chunk;
    }
  }
}

export class BlobSource extends Source {
  #blob;

  constructor(blob, name) {
    super(name, blob.size);
    this.#blob = blob;
  }

  async *read(begin, end) {
    const last = Math.min(end, this.size);
    for (let at = begin; at < last; at += CHUNK) {
      let bytes;
      try {
        bytes = await this.#blob.slice(at, Math.min(last, at + CHUNK)).arrayBuffer();
      } catch (error) {
        throw new HalfclipError(
          'weights/changed',
          `${this.name}: cannot be read any more, it was changed or removed: ${error.message}`,
          { cause: error },
        );
      }
      this.received += bytes.byteLength;
      yield new Uint8Array(bytes);
    }
  }
}
