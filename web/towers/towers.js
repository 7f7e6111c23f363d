// What loadTextEncoder() and loadImageEncoder() give: how one input, an array or a stream of them is checked and gets
// to the encoder.

import { underSignal, untilAborted } from '../base/abort.js';
import { HalfclipError, describe, messageOf } from '../base/errors.js';
import { CALL_OPTIONS, EMBED_ALL_OPTIONS, EMBED_OPTIONS, PICTURE_OPTIONS, readOptions } from '../base/options.js';
import { arrayTypeOf, attempt, hasTag, isArray, isPlain } from '../base/realm.js';
import { disposed, nameInput } from '../encoder/encoder.js';
import { capturePicture } from '../picture/capture.js';
import { batched } from './batched.js';
import { Gate } from './gate.js';
import { inOrder } from './in-order.js';

// How many inputs are under way besides the one that is waited for, unless the caller says. A picture of 12 megapixels
// takes 48 MB while it is.
const PICTURES_AHEAD = 2;
const TEXTS_AHEAD = 127;

const [CALL, EACH, IN_ORDER, ALL] = ['call', 'each', 'in order', 'all'].map(Symbol);

/** What both towers have: `info`, an end, and ways to the encoder. */
class Tower {
  #encoder;
  #life = new AbortController();

  constructor(encoder) {
    this.#encoder = encoder;
  }

  /** What was loaded, and what it takes. */
  get info() {
    return this.#encoder.info;
  }

  /** Frees the memory; later calls reject with state/disposed. */
  dispose() {
    this.#life.abort(disposed());
    this.#encoder.dispose();
  }

  [CALL](method, input, options) {
    return this.#encoder[method](input, options);
  }

  /**
   * Calls a method of the encoder with a list of inputs, for one input or an array of them.
   * @param {string} method
   * @param {unknown} input
   * @param {(item: unknown, name: string) => unknown} check gives what is passed on
   * @param {unknown} options as given
   * @param {object} known see base/options.js
   */
  async [EACH](method, input, check, options = {}, known = EMBED_OPTIONS) {
    const { signal, ...others } = readOptions(options, known);
    const many = isArray(input);
    const call = (signal) => {
      const inputs = (many ? listOf(input) : [input]).map((item, i) => check(item, nameInput(i, many)));
      return this[CALL](method, inputs, { ...others, signal, many });
    };
    const outputs = await (signal ? underSignal(signal, async (signal) => call(signal)) : call());
    return many ? outputs : outputs[0];
  }

  /** See in-order.js. */
  [IN_ORDER](sources, start, ahead, signal) {
    return inOrder(sources, start, { ahead, signals: [signal, this.#life.signal] });
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

/** A text tower. Each method takes one input or an array, and gives one output or an array in the same order. */
export class TextTower extends Tower {
  /** Vectors of texts. */
  embed(texts, options) {
    return this[EACH]('embed', texts, checkText, options);
  }

  /** Vectors of texts as they come, and what is wrong with those that have none. */
  async *embedAll(texts, options = {}) {
    const { ahead = TEXTS_AHEAD, ...others } = readOptions(options, EMBED_ALL_OPTIONS);
    // Many are sent at once. If that fails, embedding each alone tells which of them it was.
    const send = batched(Math.ceil((ahead + 1) / 2), (items) => {
      const together = this[CALL](
        'embed',
        items.map(({ text }) => text),
        { ...items[0].options, many: true },
      );
      const alone = async ({ text, index, options }) =>
        (await this[CALL]('embed', [text], { ...options, many: true, first: index }))[0];
      const mayBeOthers = (error) => {
        if (isFatal(error)) throw error;
      };
      return items.map(async (item, i) => (await together.catch(mayBeOthers))?.[i] ?? alone(item));
    });
    yield* this[ALL](
      texts,
      async (text, index, options) => send({ text: checkText(text, nameInput(index, true)), index, options }),
      { ...others, ahead },
    );
  }

  /** Token ids of texts, as OpenCLIP's tokenizer gives them. */
  tokenize(texts, options) {
    return this[EACH]('tokenize', texts, checkText, options, CALL_OPTIONS);
  }

  /** Vectors of token ids. */
  embedTokens(ids, options) {
    return this[EACH]('embedTokens', ids, arrayChecker(Int32Array, this.info.contextLength), options);
  }
}

/** An image tower. Each method takes one input or an array, and gives one output or an array in the same order. */
export class ImageTower extends Tower {
  #gate = new Gate();

  /** Vectors of pictures. */
  embed(sources, options) {
    return this.#each('embedPicture', sources, options, { ...EMBED_OPTIONS, ...PICTURE_OPTIONS });
  }

  /** Vectors of pictures as they come, and what is wrong with those that have none. */
  async *embedAll(sources, options = {}) {
    const { ahead = PICTURES_AHEAD, ...others } = readOptions(options, { ...EMBED_ALL_OPTIONS, ...PICTURE_OPTIONS });
    const embed = (source, index, options) =>
      this.#send('embedPicture', source, { ...options, name: nameInput(index, true) }, ahead);
    yield* this[ALL](sources, embed, { ...others, ahead });
  }

  /** What the tower gets of pictures: Float32Array [3, H, W]. */
  preprocess(sources, options) {
    return this.#each('preprocessPicture', sources, options, { ...CALL_OPTIONS, ...PICTURE_OPTIONS });
  }

  /** Vectors of what preprocess() gives. */
  embedPixels(pixels, options) {
    const { imageSize } = this.info;
    const [height, width] = Array.isArray(imageSize) ? imageSize : [imageSize, imageSize];
    return this[EACH]('embedPixels', pixels, arrayChecker(Float32Array, 3 * height * width), options);
  }

  async #each(method, input, given = {}, known) {
    const { signal, ...options } = readOptions(given, known);
    if (!isArray(input))
      return underSignal(signal, (signal) => untilAborted(this.#one(method, input, { ...options, signal }), signal));
    const each = (source, i, signal) => this.#send(method, source, { ...options, signal, name: nameInput(i, true) });
    const outputs = [];
    for await (const output of this[IN_ORDER](listOf(input), each, PICTURES_AHEAD, signal)) outputs.push(output);
    return outputs;
  }

  /** As #send, but what may change, as a canvas does, is read now, however many calls are under way. */
  async #one(method, source, options) {
    const named = { ...options, name: nameInput(0, false) };
    const captured = hasTag(source, 'HTMLImageElement') ? undefined : await capturePicture(source, named.name, options);
    return this.#send(method, source, named, PICTURES_AHEAD, captured);
  }

  /** What the encoder makes of a picture. Few are read at a time, however many calls there are. */
  #send(method, source, options, ahead = PICTURES_AHEAD, captured = undefined) {
    return this.#gate.pass(ahead + 1, async () => {
      if (!captured) options.signal.throwIfAborted();
      const picture = captured ?? (await capturePicture(source, options.name, options));
      return this[CALL](method, picture, { ...options, own: picture !== source });
    });
  }
}

/** The items of an array as they are now, the holes too. */
function listOf(array) {
  try {
    return Array.from(array);
  } catch (error) {
    throw new HalfclipError('input/type', `the array of inputs cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function checkText(text, name) {
  if (typeof text !== 'string')
    throw new HalfclipError('input/type', `${name} is ${describe(text)}, expected a string`);
  return text;
}

function arrayChecker(Type, length) {
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

/** Whether whatever comes next would fail as well. */
const isFatal = (error) =>
  !(error instanceof HalfclipError) || error.code === 'state/disposed' || error.code.startsWith('model/');
