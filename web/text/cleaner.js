// What OpenCLIP does to a text before a tokenizer gets it (src/text/clean.h), and Python's " ".join(text.split()).

import { HalfclipError, describe } from '../base/errors.js';
import { CLEANS } from '../wasm/interface.js';
import { exhausted } from '../wasm/memory.js';

const SPACES = /[\p{White_Space}\x1c-\x1f]+/u; // Python's

export class Cleaner {
  #wasm;
  #cleaner;

  /**
   * @param {import('../wasm/instance.js').Wasm} wasm
   * @param {string} mode OpenCLIP's `clean`
   * @param {string} name of the model, for messages
   */
  constructor(wasm, mode, name) {
    if (!Object.hasOwn(CLEANS, mode))
      throw new HalfclipError(
        'model/unsupported',
        `${name}: its tokenizer with clean ${JSON.stringify(mode)} is not built in`,
      );
    this.#wasm = wasm;
    this.#cleaner = wasm.exports.hc_wasm_cleaner(CLEANS[mode]);
    if (!this.#cleaner) throw exhausted('the tokenizer');
  }

  /** @param {string} text */
  clean(text) {
    const wasm = this.#wasm;
    const out = wasm.alloc(8, 'a length');
    try {
      const pointer = wasm.with(text, 'a text', (at, length) =>
        wasm.exports.hc_wasm_clean(this.#cleaner, at, length, out),
      );
      const [status, length] = wasm.ints(out, 2);
      wasm.check(status, `cannot tokenize ${describe(text)}`);
      const cleaned = new TextDecoder('utf-8', { ignoreBOM: true }).decode(wasm.bytes(pointer, length).slice());
      wasm.free(pointer);
      return cleaned.split(SPACES).filter(Boolean).join(' ');
    } finally {
      wasm.free(out);
    }
  }
}
