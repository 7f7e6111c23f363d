// A tower at fp32 that is rounded to 4 bits for given inputs, some tensors of it to 8: hc_calibration in halfclip.h, on
// a tower in the module that has it.

import { concatenate } from '../base/bytes.js';
import { breathe } from '../base/platform.js';
import { writeShard } from '../encoder/write-shard.js';
import { readCalibrated, readOperation } from '../wasm/interface.js';
import { exhausted } from '../wasm/memory.js';
import { detectSimd } from '../wasm/simd.js';

/** The module with hc_calibration for this engine, which lies beside the command line; it is one for several threads. */
export const findModule = () => new URL(`halfclip-calibrate-${detectSimd()}-threads.wasm`, import.meta.url).href;

export class Calibration {
  #tower;
  #wasm;
  #pointer;

  /** @param {import('../encoder/loaded-tower.js').LoadedTower} tower at fp32, in that module; nothing else uses it */
  constructor(tower) {
    this.#tower = tower;
    this.#wasm = tower.wasm();
    this.#pointer = this.#wasm.exports.hc_calibration_new(tower.encoder);
    if (!this.#pointer) throw exhausted('a calibration');
    this.#check();
  }

  /** The tensors that are rounded: hc_calibrated, with their `index`. */
  get tensors() {
    return readCalibrated(this.#wasm, this.#pointer)
      .map((tensor, index) => ({ ...tensor, index }))
      .filter(({ bits }) => bits);
  }

  /** Holds a tensor at 4 or 8 bits. */
  choose(index, bits) {
    this.#wasm.exports.hc_calibration_choose(this.#pointer, index, bits);
    this.#check();
  }

  /**
   * Rounds every matrix for what it multiplies when the tower embeds these inputs.
   * @param {(Float32Array | Int32Array | Float32Array[])[]} inputs of a video tower each is a list of frames
   * @param {{ signal: AbortSignal, tell: (done: number, of: number) => void }} options
   */
  async round(inputs, { signal, tell }) {
    const { exports } = this.#wasm;
    for (const [input, count] of this.#parcels(inputs)) {
      this.#wasm.with(input, 'inputs', (at) => exports.hc_calibration_add(this.#pointer, at, count));
      this.#check();
    }
    let all = 0;
    while (readOperation(this.#wasm, this.#tower.encoder, all)) all++;
    for (let done = 1, more = 1; more; done++) {
      tell(done, all);
      await breathe();
      signal.throwIfAborted();
      more = exports.hc_calibration_step(this.#pointer);
    }
    this.#check();
  }

  /** Pictures one by one, which are large; the frames of a video, and all texts, together, so that they fill batches. */
  #parcels(inputs) {
    const { tower } = this.#tower.info;
    if (tower === 'image') return inputs.map((input) => [input, 1]);
    if (tower === 'video') return inputs.map((frames) => [concatenate(frames, Float32Array), frames.length]);
    return [[concatenate(inputs, Int32Array), inputs.length]];
  }

  /** Writes the shard; see writeShard. */
  write(write, vocabulary) {
    const produce = (wasm, at, length) => wasm.exports.hc_wasm_calibration_write(this.#pointer, at, length);
    return writeShard(this.#tower, write, vocabulary, produce);
  }

  #check() {
    const { exports } = this.#wasm;
    const message = this.#wasm.string(exports.hc_calibration_message(this.#pointer));
    this.#wasm.check(exports.hc_calibration_status(this.#pointer), message);
  }
}
