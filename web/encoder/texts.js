// What an encoder does with texts: token ids of them, and vectors of either.

import { createTokenizer } from '../text/tokenizer.js';

export class Texts {
  #tower;
  #places;
  #tokenizer = null;

  /**
   * @param {import('./loaded-tower.js').LoadedTower} tower
   * @param {Record<string, string[]>} places from findAssets
   */
  constructor(tower, places) {
    this.#tower = tower;
    this.#places = places;
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

  release() {
    this.#tokenizer = null;
  }

  async #idsOf(texts) {
    const tower = this.#tower;
    if (!this.#tokenizer) {
      const name = tower.info.model ?? 'the model';
      const tokenizer = await createTokenizer(tower.wasm(), tower.textCfg, tower.vocabulary, name, this.#places);
      tower.wasm(); // it may have been released meanwhile
      this.#tokenizer = tokenizer;
    }
    return this.#tokenizer.tokenize(texts, tower.info.contextLength);
  }
}
