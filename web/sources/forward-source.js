// Weights that come in one piece, from front to back.

import { concatenate } from '../base/bytes.js';
import { Source } from './source.js';

/** A stream of the whole file: what lies before a range is read and dropped. */
export class ForwardSource extends Source {
  forward = true;
  #chunks;
  #source;
  #tap;
  #rest = new Uint8Array(0);
  #at = 0; // of #rest in the file

  /**
   * @param {AsyncGenerator<Uint8Array>} chunks
   * @param {object} source what the stream is of
   * @param {(chunk: Uint8Array) => void} [tap] sees every chunk once
   */
  constructor(chunks, source, tap) {
    super(source.name, source.size);
    this.#chunks = chunks;
    this.#source = source;
    this.#tap = tap;
  }

  get versions() {
    return this.#source.versions;
  }

  sibling(name) {
    return this.#source.sibling(name);
  }

  verify() {
    return this.#source.verify();
  }

  recheck() {
    return this.#source.recheck();
  }

  async reopen() {
    return this.#source.reopen?.() ?? null;
  }

  async #next() {
    const { done, value } = await this.#chunks.next();
    if (done) return null;
    this.received += value.length;
    this.#tap?.(value);
    return value;
  }

  async peek(n) {
    const parts = [this.#rest];
    let length = this.#rest.length;
    for (let chunk; length < n && (chunk = await this.#next()); length += chunk.length) parts.push(chunk.slice());
    this.#rest = concatenate(parts);
    return this.#rest.subarray(0, n);
  }

  async *read(begin, end) {
    for (;;) {
      const skip = Math.min(this.#rest.length, Math.max(0, begin - this.#at));
      this.#rest = this.#rest.subarray(skip);
      this.#at += skip;
      if (this.#rest.length) {
        const part = this.#rest.subarray(0, Math.max(0, end - this.#at));
        this.#rest = this.#rest.subarray(part.length);
        this.#at += part.length;
        if (part.length) yield part;
      }
      if (this.#at >= end) return;
      if (this.#rest.length) continue;
      const chunk = await this.#next();
      if (!chunk) return;
      this.#rest = chunk;
    }
  }

  async close() {
    await this.#source.close(); // first, so that nothing waits for the network any more
    await this.#chunks.return();
  }
}

/** The same source, read whole: `tap` sees every byte in order once the reader has read on to `Infinity`. */
export const tapSource = (source, tap) => new ForwardSource(source.read(0, Infinity), source, tap);
