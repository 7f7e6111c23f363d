// What both towers have: how one input, an array or a stream of them is checked and gets to the encoder.

import { underSignal } from '../base/abort.js';
import { HalfclipError, describe, isFatal, messageOf } from '../base/errors.js';
import { EMBED_OPTIONS, readOptions } from '../base/options.js';
import { arrayTypeOf, attempt, isArray, isPlain } from '../base/realm.js';
import { disposed, nameInput } from '../encoder/messages.js';
import { inOrder } from './in-order.js';

// What the two towers share and callers do not see.
export const [CALL, EACH, IN_ORDER, ALL] = ['call', 'each', 'in order', 'all'].map(Symbol);

/** `info`, an end, and ways to the encoder. */
export class Tower {
  #encoder;
  #underWay = new Set(); // a signal for each run: Node.js warns of one that many wait for
  #isDisposed = false;

  constructor(encoder) {
    this.#encoder = encoder;
  }

  /** What was loaded, and what it takes. */
  get info() {
    return this.#encoder.info;
  }

  /** Frees the memory; later calls reject with state/disposed. */
  dispose() {
    this.#isDisposed = true;
    for (const run of this.#underWay) run.abort(disposed());
    this.#encoder.dispose();
  }

  /** @param {Function} call one of encoder/calls.js */
  [CALL](call, input, options) {
    return this.#encoder.call(call, input, options);
  }

  /**
   * What the encoder makes of a list of inputs, for one input or an array of them.
   * @param {Function} call one of encoder/calls.js
   * @param {unknown} input
   * @param {(item: unknown, name: string) => unknown} check gives what is passed on
   * @param {unknown} options as given
   * @param {object} known see base/options.js
   */
  async [EACH](call, input, check, options = {}, known = EMBED_OPTIONS) {
    const { signal, ...others } = readOptions(options, known);
    const many = isArray(input);
    const run = (signal) => {
      const inputs = (many ? listOf(input) : [input]).map((item, i) => check(item, nameInput(i, many)));
      return this[CALL](call, inputs, { ...others, signal, many });
    };
    const outputs = await (signal ? underSignal(signal, async (signal) => run(signal)) : run());
    return many ? outputs : outputs[0];
  }

  /** See in-order.js. */
  async *[IN_ORDER](sources, start, ahead, signal) {
    const run = new AbortController();
    if (this.#isDisposed) run.abort(disposed());
    this.#underWay.add(run);
    try {
      yield* inOrder(sources, start, { ahead, signals: [signal, run.signal] });
    } finally {
      this.#underWay.delete(run);
    }
  }

  /**
   * One outcome a source, in order; what is wrong with one is told in its place.
   * @param {(source: unknown, index: number, options: object) => Promise<Float32Array>} embed
   */
  async *[ALL](sources, embed, { signal, ahead, onProgress, ...options }) {
    const outcome = async (source, index, signal) => {
      try {
        return { index, source, vector: await embed(source, index, { ...options, signal }) };
      } catch (error) {
        if (isFatal(error)) throw error;
        return { index, source, error };
      }
    };
    const total = attempt(() => [sources.length, sources.size].find(Number.isInteger));
    for await (const result of this[IN_ORDER](sources, outcome, ahead, signal)) {
      onProgress?.({ phase: 'embed', loaded: result.index + 1, total });
      yield result;
    }
  }
}

Tower.prototype[Symbol.dispose ?? Symbol.for('Symbol.dispose')] = Tower.prototype.dispose;

/** The items of an array as they are now, the holes too. */
export function listOf(array) {
  try {
    return Array.from(array);
  } catch (error) {
    throw new HalfclipError('input/type', `the array of inputs cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** A function that checks ids or pixels, each of one length. */
export function arrayChecker(Type, length) {
  return (array, name) => {
    if (arrayTypeOf(array) !== Type.name || array.length !== length) {
      throw new HalfclipError(
        'input/type',
        `${name} is ${describe(array)}, expected ${describe(new Type(0)).replace(/ of.*/, '')} of length ${length}`,
      );
    }
    return isPlain(array.buffer) ? array : new Type(array);
  };
}
