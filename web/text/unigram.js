// A unigram language model (Kudo, "Subword regularization", 2018): of all ways to cut a word into tokens the one whose
// scores, logarithms of probabilities, have the largest sum. As Hugging Face's tokenizers find it, ties included.

import { byteTokens, idsOfBytes } from './byte-tokens.js';

const UNKNOWN_PENALTY = 10;

export class Unigram {
  #tokens;
  #scores;
  #unknown;
  #unknownScore;
  #bytes; // the ids of the tokens of single bytes, or null
  // For each place of a word: how well it can be cut up to there, and where the last token begins and which it is.
  #best = new Float64Array(256);
  #begins = new Int32Array(256);
  #last = new Int32Array(256);
  #ids = [];
  #ends = [];

  /**
   * @param {import('./token-table.js').TokenTable} tokens
   * @param {Float32Array | Float64Array} scores of each
   * @param {{ unknown: number, byteFallback: boolean }} settings unknown: the id of what has no token
   */
  constructor(tokens, scores, { unknown, byteFallback }) {
    this.#tokens = tokens;
    this.#scores = scores;
    this.#unknown = unknown;
    this.#unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
    this.#bytes = byteFallback ? byteTokens(tokens) : null;
  }

  /** Pushes the ids of a word. */
  encode(word, out) {
    const n = word.length;
    if (n >= this.#best.length) {
      this.#best = new Float64Array(2 * n);
      this.#begins = new Int32Array(2 * n);
      this.#last = new Int32Array(2 * n);
    }
    const [best, begins, last, ids, ends] = [this.#best, this.#begins, this.#last, this.#ids, this.#ends];
    begins.fill(-1, 0, n + 1);
    best[0] = 0;
    for (let at = 0, width; at < n; at += width) {
      width = word.codePointAt(at) > 0xffff ? 2 : 1;
      const count = this.#tokens.prefixes(word, at, n, ids, ends);
      let isSingle = false;
      for (let k = 0; k < count; k++) {
        const end = ends[k];
        const score = this.#scores[ids[k]] + best[at];
        if (begins[end] < 0 || score > best[end]) {
          best[end] = score;
          begins[end] = at;
          last[end] = ids[k];
        }
        isSingle ||= end === at + width;
      }
      const end = at + width;
      const score = this.#unknownScore + best[at];
      if (!isSingle && (begins[end] < 0 || score > best[end])) {
        best[end] = score;
        begins[end] = at;
        last[end] = this.#unknown;
      }
    }
    this.#collect(word, out);
  }

  /** Pushes the tokens of the best way, of neighbours that are unknown only one. */
  #collect(word, out) {
    const first = out.length;
    for (let end = word.length, unknownEnd = -1; end > 0;) {
      const begin = this.#begins[end];
      const isUnknown = this.#last[end] === this.#unknown;
      if (isUnknown && unknownEnd < 0) unknownEnd = end;
      if (!isUnknown) out.push(this.#last[end]);
      const goesOn = isUnknown && begin > 0 && this.#last[begin] === this.#unknown;
      if (isUnknown && !goesOn) {
        this.#pushUnknown(word.slice(begin, unknownEnd), out);
        unknownEnd = -1;
      }
      end = begin;
    }
    reverse(out, first);
  }

  /** From back to front, as all that #collect() pushes. */
  #pushUnknown(text, out) {
    const known = this.#tokens.find(text);
    if (known >= 0) return void out.push(known);
    const bytes = idsOfBytes(this.#bytes, text);
    if (!bytes) out.push(this.#unknown);
    else for (const id of bytes.reverse()) out.push(id);
  }
}

function reverse(array, from) {
  for (let i = from, j = array.length - 1; i < j; i++, j--) [array[i], array[j]] = [array[j], array[i]];
}
