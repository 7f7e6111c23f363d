// What weights are read from, by ranges.
//
// A source has
//   name, size      for messages; in bytes, or undefined
//   peek(n)         its first bytes
//   read(begin, end)
//                   an async iterator over the chunks of bytes [begin, end), which ends early where the file does and
//                     may reuse a chunk's memory for the next one
//   fetched         bytes read so far
//   parallel        how many ranges may be read at once
//   forward         whether it is a stream, whose ranges must go forward and whose gaps are read too
//   reopen()        of a stream: the same file by ranges, or null
//   sibling(name)   a file beside it
//   verify()        throws if the file was changed meanwhile; recheck() asks a server once more for that
//   versions        what tells this version of it and of its siblings from others: { url, etag, modified, size } of
//                   each, none where nothing does
//   close()

import { concatenate, decodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { tooLarge } from '../network/limits.js';

/** Bytes that are read at once. */
export const CHUNK = 1 << 19;

/** The bytes of a source's range, in one piece. */
export async function readBytes(source, begin, end) {
  const parts = [];
  for await (const chunk of source.read(begin, end)) parts.push(chunk.slice());
  return concatenate(parts);
}

/**
 * The text of a source that is to be small.
 * @param {object} source
 * @param {string} code of the error where it is not
 * @param {Record<string, number>} limits from completeLimits
 * @param {'json' | 'tokenizer'} [kind] which of them
 */
export async function readText(source, code, limits, kind = 'json') {
  const bytes = await readBytes(source, 0, limits[kind] + 1);
  if (bytes.length > limits[kind]) throw tooLarge(code, source.name, kind, limits[kind]);
  return decodeText(bytes);
}

export class Source {
  parallel = 1;
  forward = false;
  received = 0;

  constructor(name, size) {
    this.name = name;
    this.size = size;
  }

  get fetched() {
    return this.received;
  }

  async peek(n) {
    const before = this.received;
    const head = await readBytes(this, 0, n);
    this.received = before; // they are read again
    return head;
  }

  async sibling(name) {
    throw new HalfclipError(
      'weights/not-found',
      `${this.name} names the file ${name} beside it, which cannot be found from ${this.name}: give a URL or a path`,
    );
  }

  async verify() {}

  recheck() {
    return this.verify();
  }

  get versions() {
    return [];
  }

  async close() {}
}
