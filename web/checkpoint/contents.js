// What a file holds, as C says it of the names and shapes in the file's directory.

import { HalfclipError } from '../base/errors.js';
import { TOWERS } from '../wasm/interface.js';

/**
 * Lets `ask` ask about a directory.
 * @template T
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {string} directory JSON text
 * @param {string} name of the file, for messages
 * @param {(contents: Contents) => T} ask
 * @returns {T}
 */
export function withContents(wasm, directory, name, ask) {
  const { exports } = wasm;
  const checkpoint = wasm.with(directory, 'the directory', exports.hc_wasm_checkpoint_new);
  if (!checkpoint) throw new HalfclipError('weights/format', `${name}: its list of tensors cannot be read`);
  try {
    return ask(new Contents(wasm, checkpoint));
  } finally {
    exports.hc_wasm_checkpoint_free(checkpoint);
  }
}

class Contents {
  #wasm;
  #checkpoint;

  constructor(wasm, checkpoint) {
    this.#wasm = wasm;
    this.#checkpoint = checkpoint;
  }

  /** What says that its towers were trained with QuickGELU; null if nothing does. */
  get quickGelu() {
    const reason = this.#wasm.exports.hc_wasm_checkpoint_quick_gelu(this.#checkpoint);
    return reason ? this.#wasm.string(reason) : null;
  }

  /**
   * The tower that a tensor belongs to.
   * @param {string} name
   * @returns {'image' | 'text' | 'neither'}
   */
  towerOf(name) {
    const ask = (pointer) => this.#wasm.exports.hc_wasm_checkpoint_tower(this.#checkpoint, pointer);
    const tower = this.#wasm.with(`${name}\0`, 'a name', ask);
    return Object.keys(TOWERS).find((name) => TOWERS[name] === tower) ?? 'neither';
  }

  /**
   * How far the file is from the tower that a config asks for: 0 if it fits, 1 if nothing of it is there; null for a
   * tower that cannot be computed.
   * @param {'image' | 'text'} tower
   * @param {string} config JSON text
   */
  distanceTo(tower, config) {
    const { exports } = this.#wasm;
    const measure = (pointer, length) =>
      exports.hc_wasm_checkpoint_fit(this.#checkpoint, TOWERS[tower], pointer, length);
    const distance = this.#wasm.with(config, 'a config', measure);
    return distance < 0 ? null : distance;
  }
}

/**
 * Of names alone, those that may be of a tower.
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {'image' | 'text' | 'video'} tower
 * @param {string[]} names
 * @param {string} file for messages
 */
export function namesFor(wasm, tower, names, file) {
  const empty = { dtype: 'F32', shape: [0], data_offsets: [0, 0] };
  const directory = JSON.stringify(Object.fromEntries(names.map((name) => [name, empty])));
  const other = tower === 'text' ? 'image' : 'text';
  return withContents(wasm, directory, file, (contents) => names.filter((name) => contents.towerOf(name) !== other));
}
