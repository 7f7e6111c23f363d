// An encoder on this thread: a loaded tower, and what it does with texts or pictures.

import { Pictures } from './pictures.js';
import { Texts } from './texts.js';

export class Encoder {
  /**
   * @param {import('./loaded-tower.js').LoadedTower} tower
   * @param {object} options of loadEncoder, places among them
   * @param {{ fetch?: typeof fetch, retry: object, limits: object }} network how pictures and tokenizers are fetched
   */
  constructor(tower, options, network) {
    this.tower = tower;
    this.texts = new Texts(tower, options, network);
    this.pictures = new Pictures(tower, network);
  }

  get info() {
    return this.tower.info;
  }

  /**
   * @param {Function} call one of calls.js
   * @param {unknown} input
   * @param {object} options
   */
  call(call, input, options) {
    return call(this, input, options);
  }

  dispose() {
    this.tower.release();
    this.texts.release();
  }
}
