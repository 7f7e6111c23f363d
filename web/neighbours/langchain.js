// LangChain.js: the two towers of a model as its Embeddings, so that texts and pictures lie in one store. Each tower is
// loaded when something first needs it.

import { Embeddings } from '@langchain/core/embeddings';
import { HalfclipError, loadImageEncoder, loadTextEncoder } from 'halfclip';

const LOADERS = { text: loadTextEncoder, image: loadImageEncoder };

export class HalfclipEmbeddings extends Embeddings {
  #options;
  #given; // towers, or the options that one tower has otherwise
  #loads = new Map(); // promises of towers that were loaded here, by their names
  #disposed = false;

  /**
   * @param {object} [options] those of loadTextEncoder and loadImageEncoder, for both, and LangChain's
   * @param {object} [options.text] a text encoder that is loaded, which stays the caller's; or options for this tower alone
   * @param {object} [options.image] the same of the image encoder
   */
  constructor({ text = {}, image = {}, maxConcurrency, maxRetries, onFailedAttempt, ...options } = {}) {
    super({ maxConcurrency, maxRetries, onFailedAttempt });
    this.#options = options;
    this.#given = { text, image };
  }

  /** Vectors of texts, of length 1. */
  async embedDocuments(documents) {
    return this.#embedArray('text', documents);
  }

  /** The vector of a text. */
  async embedQuery(document) {
    return Array.from(await (await this.#tower('text')).embed(document));
  }

  /** Vectors of pictures, of whatever embed() of an image encoder takes; for a store's addVectors(). */
  async embedImages(images, options) {
    return this.#embedArray('image', images, options);
  }

  /** The vector of a picture; for a store's similaritySearchVectorWithScore(). */
  async embedImageQuery(image, options) {
    return Array.from(await (await this.#tower('image')).embed(image, options));
  }

  /** Frees the towers that were loaded here; later calls reject with state/disposed. */
  dispose() {
    this.#disposed = true;
    for (const load of this.#loads.values()) {
      load.then(
        (tower) => tower.dispose(),
        () => {}, // whoever waits for it hears of it
      );
    }
    this.#loads.clear();
  }

  async #embedArray(name, inputs, options) {
    if (!Array.isArray(inputs))
      throw new HalfclipError(
        'input/type',
        `the inputs are ${typeof inputs}, expected an array: embed${name === 'text' ? '' : 'Image'}Query() takes one`,
      );
    const vectors = await (await this.#tower(name)).embed(inputs, options);
    return vectors.map((vector) => Array.from(vector));
  }

  async #tower(name) {
    this.#checkOpen();
    const given = this.#given[name];
    if (typeof given.embed === 'function') return given;
    let load = this.#loads.get(name);
    if (!load) {
      load = LOADERS[name]({ ...this.#options, ...given });
      this.#loads.set(name, load);
    }
    try {
      const tower = await load;
      this.#checkOpen();
      return tower;
    } catch (error) {
      if (this.#loads.get(name) === load) this.#loads.delete(name); // the next call tries again
      throw error;
    }
  }

  #checkOpen() {
    if (this.#disposed) throw new HalfclipError('state/disposed', 'these embeddings were disposed of: make others');
  }
}

HalfclipEmbeddings.prototype[Symbol.dispose ?? Symbol.for('Symbol.dispose')] = HalfclipEmbeddings.prototype.dispose;
