// A tokenizer as bytes, in the form in which a text shard carries it (the tensor halfclip.tokenizer) and from which it
// starts fast:
//
//   "HCTOKEN1" | length of the settings, uint32 | settings, JSON text | the sections, in the order and with the lengths
//     that `sections` of the settings has
//
// tokens: the text of all tokens in the order of their ids, UTF-8. lengths: of each in UTF-16 units, LEB128; 0: the id
// has no token. scores: of each, float32, or float64 where `settings.doubles` says so. merges: by rank, the token that
// each makes, as the difference to the one before in zigzag order, and the length of its left part in UTF-16 units,
// both LEB128. maps: precompiled maps of characters, as they are; `settings.maps` has their lengths.

import { concatenate, decodeText, encodeText } from '../base/bytes.js';

const MARK = 'HCTOKEN1';
const HEAD = MARK.length + 4;

/** Whether bytes are a tokenizer in this form; else they may be CLIP's merges. */
export const isCompact = (bytes) => decodeText(bytes.slice(0, MARK.length)) === MARK;

/**
 * @param {object} settings JSON data
 * @param {Record<string, Uint8Array>} sections
 * @returns {Uint8Array}
 */
export function pack(settings, sections) {
  const lengths = Object.fromEntries(Object.entries(sections).map(([name, { length }]) => [name, length]));
  const text = encodeText(JSON.stringify({ ...settings, sections: lengths }));
  const head = new Uint8Array(HEAD);
  head.set(encodeText(MARK));
  new DataView(head.buffer).setUint32(MARK.length, text.length, true);
  return concatenate([head, text, ...Object.values(sections)]);
}

/**
 * What pack() was given; the sections are views of `bytes`. Throws a RangeError or a SyntaxError where they are cut off.
 * @param {Uint8Array} bytes
 */
export function unpack(bytes) {
  const end = HEAD + new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(MARK.length, true);
  const settings = JSON.parse(decodeText(bytes.slice(HEAD, end)));
  const sections = {};
  let at = end;
  for (const [name, length] of Object.entries(settings.sections)) {
    sections[name] = bytes.subarray(at, (at += length));
    if (sections[name].length !== length) throw new RangeError(`its ${name} are cut off`);
  }
  return { settings, sections };
}

/** Numbers of up to 32 bits, the small ones in one byte. */
export class NumberWriter {
  #bytes = new Uint8Array(1024);
  #n = 0;

  put(number) {
    if (this.#n + 5 > this.#bytes.length) {
      const longer = new Uint8Array(2 * this.#bytes.length);
      longer.set(this.#bytes);
      this.#bytes = longer;
    }
    for (; number > 127; number >>>= 7) this.#bytes[this.#n++] = (number & 127) | 128;
    this.#bytes[this.#n++] = number;
  }

  putSigned(number) {
    this.put(((number << 1) ^ (number >> 31)) >>> 0);
  }

  get bytes() {
    return this.#bytes.slice(0, this.#n);
  }
}

/** What NumberWriter wrote. */
export class NumberReader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  /** How many numbers there are. */
  count() {
    let count = 0;
    for (const byte of this.#bytes) if (byte < 128) count++;
    return count;
  }

  next() {
    let number = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#at++];
      number |= (byte & 127) << shift;
      if (!(byte & 128)) break;
    }
    return number >>> 0;
  }

  nextSigned() {
    const number = this.next();
    return (number >>> 1) ^ -(number & 1);
  }
}
