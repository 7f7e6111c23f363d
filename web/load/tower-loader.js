// The loader in C, as JavaScript drives it: it is shown what the file holds, says which bytes it wants, and takes them.
// What is wrong is said with the names of the file and of the model.

import { concatenate, decodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { readBytes } from '../sources/source.js';
import { DTYPES, TOWERS } from '../wasm/interface.js';

const STAGING = 1 << 19; // bytes: how much of the file is in WebAssembly's memory at once, besides its header

export class TowerLoader {
  #wasm;
  #loader;
  #name;
  #model;
  #config;
  #staging = 0; // pointer

  /**
   * @param {import('../wasm/instance.js').Wasm} wasm
   * @param {{ tower: 'image' | 'text' | 'video', model: string | null, config: string | null, dtype: string, imageSize?:
   *   [number, number], temporal?: number }} options
   * @param {string} name of the file
   */
  constructor(wasm, { tower, model, config, dtype, imageSize, temporal }, name) {
    this.#wasm = wasm;
    this.#name = name;
    this.#model = model;
    this.#config = config;
    const start = (pointer, length) => wasm.newLoader(TOWERS[tower], pointer, length, DTYPES[dtype]);
    this.#loader = config === null ? start(0, 0) : wasm.with(config, 'the config', start);
    if (imageSize) wasm.exports.hc_loader_set_image_size(this.#loader, ...imageSize);
    this.#check();
    if (temporal) wasm.exports.hc_loader_set_temporal(this.#loader, temporal);
  }

  /** Shows it the directory of a file that is not one in safetensors. */
  readDirectory(directory) {
    this.#show(directory, 'the directory', this.#wasm.exports.hc_loader_directory);
    return 0;
  }

  /**
   * Shows it the header of a safetensors file.
   * @returns {Promise<number>} how long that is
   */
  async readHeader(source) {
    const { exports } = this.#wasm;
    if (source.size !== undefined) exports.hc_wasm_file_size(this.#loader, source.size);
    this.#check();
    let header = new Uint8Array(0);
    for (let need; (need = exports.hc_wasm_header_need(this.#loader));) {
      header = concatenate([header, await readBytes(source, header.length, need)]);
      this.#show(header, 'the header', exports.hc_loader_header);
      if (header.length < need) throw this.truncated(header.length, need);
    }
    return header.length;
  }

  /** The byte ranges that the tower needs of the file, in its order. */
  planRanges() {
    const { exports } = this.#wasm;
    this.#wasm.startThreads(this.#loader);
    const count = exports.hc_wasm_ranges(this.#loader, 0, 0);
    const out = this.#wasm.alloc(16 * count + 16, 'ranges');
    exports.hc_wasm_ranges(this.#loader, out, count);
    const numbers = this.#wasm.doubles(out, 2 * count).slice();
    this.#wasm.free(out);
    this.#check();
    return Array.from({ length: count }, (_, i) => ({ begin: numbers[2 * i], end: numbers[2 * i + 1] }));
  }

  /**
   * Hands it bytes of the file.
   * @param {number} offset in the file
   * @param {Uint8Array} chunk
   * @param {() => Promise<void>} pause from pausing()
   */
  async push(offset, chunk, pause) {
    const wasm = this.#wasm;
    this.#staging ||= wasm.alloc(STAGING, 'staging');
    for (let at = 0, n; at < chunk.length; at += n) {
      await pause();
      await this.#convert(pause);
      const { pointer, length } = wasm.place(this.#loader, offset + at, chunk.length - at);
      n = pointer ? length : Math.min(length, STAGING);
      wasm.bytes(pointer || this.#staging, n).set(chunk.subarray(at, at + n));
      wasm.exports.hc_wasm_push(this.#loader, offset + at, pointer || this.#staging, n);
      this.#check();
    }
  }

  /** Waits until all that has come is converted. */
  async settle(pause) {
    if (this.#staging) this.#wasm.free(this.#staging);
    this.#staging = 0;
    await this.#convert(pause);
  }

  /** The pointer to the encoder. */
  finish() {
    const encoder = this.#wasm.exports.hc_loader_finish(this.#loader);
    this.#check();
    this.#wasm.exports.hc_loader_free(this.#loader);
    return encoder;
  }

  truncated(length, expected) {
    const message = `${this.#name}: ends after ${length} bytes, expected at least ${expected}`;
    return new HalfclipError('weights/truncated', message);
  }

  async #convert(pause) {
    while (this.#wasm.exports.hc_loader_settle(this.#loader)) await pause();
    this.#check();
  }

  /**
   * Calls `take` of C with a header or a directory. A mismatch keeps the directory, for explaining() in
   * models/closest.js.
   */
  #show(data, what, take) {
    this.#wasm.with(data, what, (pointer, length) => take(this.#loader, pointer, length));
    try {
      this.#check();
    } catch (error) {
      if (error.code !== 'weights/mismatch' || this.#config === null) throw error;
      const directory = typeof data === 'string' ? data : decodeText(data.subarray(8));
      throw Object.assign(error, { directory });
    }
  }

  /** Throws what the loader says is wrong. */
  #check() {
    const wasm = this.#wasm;
    const status = wasm.exports.hc_loader_status(this.#loader);
    if (!status) return;
    const code = wasm.string(wasm.exports.hc_status_code(status));
    const message = wasm.string(wasm.exports.hc_loader_message(this.#loader));
    wasm.check(status, `${this.#placeOf(code)}: ${message}`);
  }

  /** What a failure is about: the file, the model, or how they go together. */
  #placeOf(code) {
    if (this.#config === null) return this.#name;
    const model = this.#model === null ? 'option model' : `model ${JSON.stringify(this.#model)}`;
    if (code.startsWith('model/')) return model;
    return code === 'weights/mismatch' ? `${this.#name} as ${model}` : this.#name;
  }
}
