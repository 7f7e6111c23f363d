// Byte-pair encoding (Sennrich et al., "Neural machine translation of rare words with subword units", 2016), as Hugging
// Face's tokenizers do it: by characters, in order of rank, with bytes in place of characters that have no token.

import { byteTokens, idsOfBytes } from './byte-tokens.js';

// A queued merge is rank * PLACES + place, exact as a double.
const PLACES = 2 ** 31;

export class BytePairs {
  #tokens;
  #settings;
  #bytes; // the ids of the tokens of single bytes, or null
  #unknown; // the id of what has no token, or -1
  // Merges by rank: which tokens, and what they make; and a hash table of the pairs.
  #left;
  #right;
  #made;
  #slots;
  #seed = Math.floor(Math.random() * 2 ** 32) | 0; // so that nobody who writes a vocabulary knows what will collide
  // One word while it is merged: a doubly linked list.
  #ids = [];
  #next = [];
  #previous = [];
  #queue = [];

  /**
   * @param {import('./token-table.js').TokenTable} tokens
   * @param {{ made: Uint32Array, left: Uint32Array }} merges by rank: the token that a merge makes, and how many UTF-16
   *   units of it are its left part
   * @param {{ unknown: number, fuse: boolean, byteFallback: boolean, whole: boolean }} settings unknown: an id or -1;
   *   fuse: whether neighbours without a token are one; whole: a word that is a token is not taken apart
   */
  constructor(tokens, { made, left }, settings) {
    this.#tokens = tokens;
    this.#settings = settings;
    this.#unknown = settings.unknown;
    this.#bytes = settings.byteFallback ? byteTokens(tokens) : null;
    const count = made.length;
    this.#made = made;
    this.#left = new Uint32Array(count);
    this.#right = new Uint32Array(count);
    let slots = 16;
    while (slots < 2 * count) slots *= 2;
    this.#slots = new Int32Array(slots);
    for (let rank = 0; rank < count; rank++) {
      const begin = tokens.starts[made[rank]];
      const end = tokens.starts[made[rank] + 1];
      const a = tokens.find(tokens.text, begin, begin + left[rank]);
      const b = tokens.find(tokens.text, begin + left[rank], end);
      this.#left[rank] = a;
      this.#right[rank] = b;
      this.#slots[this.#slotOf(a, b)] = rank + 1; // of equal pairs the last counts
    }
  }

  /** Pushes the ids of a word. */
  encode(word, out) {
    if (!word) return;
    if (this.#settings.whole) {
      const id = this.#tokens.find(word);
      if (id >= 0) return void out.push(id);
    }
    const count = this.#split(word);
    this.#merge(count);
    for (let i = 0; i < count && i >= 0; i = this.#next[i]) out.push(this.#ids[i]);
  }

  /** Puts the tokens of a word's characters into the list; returns how many there are. */
  #split(word) {
    const { fuse } = this.#settings;
    const ids = this.#ids;
    let count = 0;
    let unknowns = 0; // that have come and are not in the list
    const settle = () => {
      if (unknowns) ids[count++] = this.#unknown;
      unknowns = 0;
    };
    for (let at = 0, end; at < word.length; at = end) {
      end = at + (word.codePointAt(at) > 0xffff ? 2 : 1);
      const id = this.#tokens.find(word, at, end);
      if (id >= 0) {
        settle();
        ids[count++] = id;
        continue;
      }
      const bytes = idsOfBytes(this.#bytes, word.slice(at, end));
      if (bytes) {
        for (const byte of bytes) ids[count++] = byte;
      } else if (this.#unknown >= 0) {
        if (!fuse) settle();
        unknowns++;
      }
    }
    settle();
    return count;
  }

  #merge(count) {
    const [ids, next, previous, queue] = [this.#ids, this.#next, this.#previous, this.#queue];
    queue.length = 0;
    for (let i = 0; i < count; i++) {
      next[i] = i + 1 < count ? i + 1 : -1;
      previous[i] = i - 1;
    }
    for (let i = 0; i + 1 < count; i++) this.#offer(i);
    while (queue.length) {
      const best = pop(queue);
      const rank = Math.floor(best / PLACES);
      const at = best % PLACES;
      const other = ids[at] < 0 ? -1 : next[at];
      if (other < 0) continue;
      // What was queued may be another pair by now; it counts if it still makes the same token.
      const now = this.#slots[this.#slotOf(ids[at], ids[other])] - 1;
      if (now < 0 || this.#made[now] !== this.#made[rank]) continue;
      ids[at] = this.#made[rank];
      ids[other] = -1;
      next[at] = next[other];
      if (next[at] >= 0) previous[next[at]] = at;
      if (previous[at] >= 0) this.#offer(previous[at]);
      this.#offer(at);
    }
  }

  /** Queues the merge of the token at a place with its next one, if they have one. */
  #offer(at) {
    const other = this.#next[at];
    if (other < 0) return;
    const rank = this.#slots[this.#slotOf(this.#ids[at], this.#ids[other])] - 1;
    if (rank >= 0) push(this.#queue, rank * PLACES + at);
  }

  #slotOf(a, b) {
    const mask = this.#slots.length - 1;
    let hash = Math.imul(a ^ this.#seed, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x2c1b3c6d);
    for (let slot = (hash ^ (hash >>> 13)) & mask; ; slot = (slot + 1) & mask) {
      const rank = this.#slots[slot] - 1;
      if (rank < 0 || (this.#left[rank] === a && this.#right[rank] === b)) return slot;
    }
  }
}

// A heap, the least first.

function push(heap, value) {
  let i = heap.length;
  heap.push(value);
  for (let parent; i > 0 && heap[(parent = (i - 1) >> 1)] > value; i = parent) heap[i] = heap[parent];
  heap[i] = value;
}

function pop(heap) {
  const least = heap[0];
  const value = heap.pop();
  const n = heap.length;
  if (!n) return least;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child + 1 < n && heap[child + 1] < heap[child]) child++;
    if (child >= n || heap[child] >= value) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = value;
  return least;
}
