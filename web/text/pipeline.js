// A tokenizer of Hugging Face's, from a text to ids without those around it: added tokens, normalizer, pre-tokenizer,
// model.

import { AddedTokens } from './added-tokens.js';
import { BytePairs } from './bpe.js';
import { NumberReader, unpack } from './compact.js';
import { makeNormalizer } from './normalizers.js';
import { makePreTokenizer } from './pre-tokenizers.js';
import { TokenTable } from './token-table.js';
import { Unigram } from './unigram.js';
import { WordPiece } from './word-piece.js';

const CACHED = { words: 20_000, units: 32 };

export class Pipeline {
  /** What the compact form says besides: special tokens, what stands around a text. */
  settings;
  #added; // those that are found first
  #addedToNormalized;
  #normalize;
  #preTokenize;
  #tokens;
  #model;
  #known = new Map(); // words that have come before

  /** @param {Uint8Array} bytes in the form of compact.js, of which nothing is kept */
  constructor(bytes) {
    const { settings, sections } = unpack(bytes);
    const { normalizer, pre_tokenizer, added, maps } = settings;
    this.settings = settings;
    const mapAt = (index) => {
      const begin = maps.slice(0, index).reduce((sum, length) => sum + length, 0);
      return sections.maps.subarray(begin, begin + maps[index]);
    };
    this.#normalize = makeNormalizer(normalizer, mapAt);
    this.#preTokenize = makePreTokenizer(pre_tokenizer);
    this.#added = new AddedTokens(added.filter(({ normalized }) => !normalized));
    this.#addedToNormalized = new AddedTokens(
      added.filter(({ normalized }) => normalized).map((token) => ({ ...token, text: this.#normalize(token.text) })),
    );
    this.#tokens = readTokens(sections);
    this.#model = MODELS[settings.model.type](this.#tokens, settings.model, sections);
  }

  /** The id of a token of the vocabulary or beside it, or -1. */
  idOf(token) {
    return this.settings.added.find(({ text }) => text === token)?.id ?? this.#tokens.find(token);
  }

  /**
   * The ids of a text.
   * @param {string} text
   * @returns {number[]}
   */
  encode(text) {
    const ids = [];
    this.#added.split(text).forEach((piece, i) => {
      if (typeof piece === 'number') return void ids.push(piece);
      this.#addedToNormalized.split(this.#normalize(piece)).forEach((part, k) => {
        if (typeof part === 'number') ids.push(part);
        else for (const word of this.#preTokenize([part], i === 0 && k === 0)) this.#encodeWord(word, ids);
      });
    });
    return ids;
  }

  #encodeWord(word, ids) {
    if (word.length > CACHED.units) return this.#model.encode(word, ids);
    let known = this.#known.get(word);
    if (!known) {
      this.#model.encode(word, (known = []));
      if (this.#known.size >= CACHED.words) this.#known.clear();
      this.#known.set(word, known);
    }
    for (const id of known) ids.push(id);
  }
}

function readTokens({ tokens, lengths }) {
  const reader = new NumberReader(lengths);
  const read = new Uint32Array(reader.count());
  for (let i = 0; i < read.length; i++) read[i] = reader.next();
  // The text of all is read at once: a string for each would take longer than everything else here.
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(tokens.slice());
  const table = new TokenTable(text, read);
  if (table.starts[table.size] !== text.length) throw new RangeError('its lengths are not those of its tokens');
  return table;
}

const MODELS = {
  BPE(tokens, model, { merges }) {
    const reader = new NumberReader(merges);
    const count = reader.count() >> 1;
    const [made, left] = [new Uint32Array(count), new Uint32Array(count)];
    for (let rank = 0, id = 0; rank < count; rank++) {
      id += reader.nextSigned();
      made[rank] = id;
      left[rank] = reader.next();
      const isPart = id >= 0 && id < tokens.size && left[rank] < tokens.starts[id + 1] - tokens.starts[id];
      if (!isPart) throw new RangeError('its merges are not of its tokens');
    }
    return new BytePairs(tokens, { made, left }, model);
  },

  Unigram(tokens, model, { scores }) {
    const copy = scores.slice().buffer;
    const numbers = model.doubles ? new Float64Array(copy) : new Float32Array(copy);
    if (numbers.length !== tokens.size) throw new RangeError('its scores are not those of its tokens');
    return new Unigram(tokens, numbers, model);
  },

  WordPiece: (tokens, model) => new WordPiece(tokens, model),
};
