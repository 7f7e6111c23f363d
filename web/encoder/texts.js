// What an encoder does with texts: token ids of them, and vectors of either.

import { isCompact } from '../text/compact.js';
import { createHuggingFaceTokenizer } from '../text/hugging-face.js';
import { createTokenizer } from '../text/tokenizer.js';
import { readTokenizer, usualPlaces } from './tokenizer-files.js';

export class Texts {
  #tower;
  #options;
  #network;
  #tokenizer = null;

  /**
   * @param {import('./loaded-tower.js').LoadedTower} tower
   * @param {{ places: Record<string, string[]>, weights: object, tokenizer?: object, language?: string, hub?: string,
   *   maxTokens?: number }}
   *   options of loadEncoder
   * @param {{ fetch?: typeof fetch, retry: object, limits: object }} network
   */
  constructor(tower, options, network) {
    this.#tower = tower;
    this.#options = options;
    this.#network = network;
  }

  /** The vector of each text. */
  embed(texts, options = {}) {
    const hint = ': the vocabulary does not fit the model';
    return this.#tower.embedAll(texts, options, (batch) => this.#idsOf(batch), hint);
  }

  /** Int32Array(contextLength) of each text. */
  tokenize(texts, { signal } = {}) {
    return this.#tower.inTurn(signal, async () => {
      const ids = [];
      for await (const batch of this.#tower.batches(texts, signal)) ids.push(...(await this.#idsOf(batch)));
      return ids;
    });
  }

  /** The vector of each Int32Array(contextLength). */
  embedTokens(ids, options = {}) {
    return this.#tower.embedAll(ids, options);
  }

  /** Makes the tokenizer, which otherwise the first text does. */
  async prepare(signal) {
    const tokenizer = await this.#makeTokenizer(signal);
    this.#tower.wasm(signal); // it may have been released meanwhile
    this.#tokenizer = tokenizer;
  }

  /**
   * The tokenizer of Hugging Face's that these texts need, in the form that a shard carries; null where it is CLIP's
   * own, or came with the weights.
   * @param {AbortSignal} [signal]
   * @returns {Promise<Uint8Array | null>}
   */
  async readVocabulary(signal) {
    const { tokenizer, weights, hub } = this.#options;
    const network = { ...this.#network, signal };
    if (tokenizer) return readTokenizer([tokenizer], network);
    const { hf_tokenizer_name: named } = this.#tower.textCfg;
    if (!named || this.#tower.vocabulary) return null;
    return readTokenizer(usualPlaces(weights, named, hub), network);
  }

  release() {
    this.#tokenizer = null;
  }

  async #makeTokenizer(signal) {
    const tower = this.#tower;
    const name = tower.info.model ?? 'the model';
    const read = await this.readVocabulary(signal);
    const wasm = tower.wasm(signal);
    const own = tower.vocabulary;
    const bytes = read ?? (own && wasm.bytes(own.pointer, own.length));
    if (bytes && isCompact(bytes)) return createHuggingFaceTokenizer(wasm, this.#textCfg(), bytes, name);
    return createTokenizer(wasm, this.#textCfg(), own, name, this.#options.places);
  }

  /** OpenCLIP's text_cfg, with the language that was asked for. */
  #textCfg() {
    const { textCfg } = this.#tower;
    const { language } = this.#options;
    return language === undefined
      ? textCfg
      : { ...textCfg, tokenizer_kwargs: { ...textCfg.tokenizer_kwargs, language } };
  }

  async #idsOf(texts) {
    if (!this.#tokenizer) await this.prepare();
    const { contextLength } = this.#tower.info;
    const { maxTokens } = this.#options;
    const tokenize = (texts, length) => this.#tokenizer.tokenize(texts, length);
    if (!(maxTokens < contextLength)) return tokenize(texts, contextLength);
    const [padding] = tokenize([''], contextLength);
    return tokenize(texts, maxTokens).map((ids) => {
      const padded = padding.slice().fill(padding.at(-1));
      padded.set(ids);
      return padded;
    });
  }
}
