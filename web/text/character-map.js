// The precompiled map of characters that sentencepiece puts into a model (`precompiled_charsmap`): a trie of what is
// replaced, in a double array, and what replaces it.

import { encodeText } from '../base/bytes.js';

// Of a unit of the double array.
const [VALUE, LABEL] = [0x7fffffff, 0x800000ff];
const MAX_KNOWN = 1 << 15;

export class CharacterMap {
  #trie;
  #known = new Map();
  #texts; // one after the other, each with a zero behind it

  /** @param {Uint8Array} bytes is copied */
  constructor(bytes) {
    const copy = bytes.slice();
    const trieBytes = copy.length < 4 ? -1 : new DataView(copy.buffer).getUint32(0, true);
    if (trieBytes < 4 || trieBytes % 4 || trieBytes > copy.length - 4)
      throw new RangeError('its map of characters is cut off');
    this.#trie = Uint32Array.from(new Uint32Array(copy.buffer, 4, trieBytes / 4));
    this.#texts = copy.subarray(4 + trieBytes);
  }

  /**
   * What replaces the shortest text that is in the map and that this one begins with, or null. (All of this one is
   * replaced by it, also what is behind that: so do Hugging Face's tokenizers.)
   * @param {string} text of a few characters
   * @returns {string | null}
   */
  replacement(text) {
    let found = this.#known.get(text);
    if (found === undefined) {
      found = this.#search(encodeText(text));
      if (this.#known.size < MAX_KNOWN) this.#known.set(text, found);
    }
    return found;
  }

  #search(bytes) {
    const trie = this.#trie;
    let node = offsetOf(trie[0]);
    for (const byte of bytes) {
      if (byte === 0) return null;
      node ^= byte;
      if (node >= trie.length) return null;
      const unit = trie[node];
      if ((unit & LABEL) >>> 0 !== byte) return null;
      node ^= offsetOf(unit);
      if ((unit >>> 8) & 1) return node < trie.length ? this.#textAt(trie[node] & VALUE) : null;
    }
    return null;
  }

  #textAt(begin) {
    const end = this.#texts.indexOf(0, begin);
    return decoder().decode(this.#texts.subarray(begin, end < 0 ? this.#texts.length : end));
  }
}

const offsetOf = (unit) => ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;

let shared = null;
const decoder = () => (shared ??= new TextDecoder('utf-8', { ignoreBOM: true }));
