/**
 * halfclip: half of CLIP, an image encoder or a text encoder, loaded alone.
 * @module
 */

import { underSignal } from './abort.js';
import { askToPersist, completeCache } from './cache.js';
import { Encoder, nameInput } from './encoder.js';
import { HalfclipError, describe, messageOf } from './errors.js';
import { capturePicture } from './image-source.js';
import { resolveModel } from './model.js';
import { CALL_OPTIONS, EMBED_OPTIONS, LOAD_OPTIONS, readOptions } from './options.js';
import { isPage } from './platform.js';
import { arrayTypeOf, isArray, isPlain } from './realm.js';
import { completeRetry } from './retry.js';
import { WorkerEncoder } from './worker-client.js';

export { HalfclipError };

/**
 * Loads an image encoder.
 * @param {import('./index.js').LoadOptions} options
 * @returns {Promise<ImageTower>}
 */
export async function loadImageEncoder(options) {
  return new ImageTower(await load('image', options));
}

/**
 * Loads a text encoder.
 * @param {import('./index.js').LoadOptions} options
 * @returns {Promise<TextTower>}
 */
export async function loadTextEncoder(options) {
  return new TextTower(await load('text', options));
}

/**
 * The cosine of the angle between two vectors of finite numbers: 1 for the same direction. 0 if either is all zeros.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b of the same length
 */
export function cosineSimilarity(a, b) {
  const isVector = (value) => value !== null && typeof value === 'object' && value.length !== undefined;
  let cause;
  try {
    if (isVector(a) && isVector(b) && a.length === b.length) return cosine(a, b);
  } catch (error) {
    cause = error; // BigInts, for example
  }
  throw new HalfclipError('input/type', `cosineSimilarity() got ${describe(a)} and ${describe(b)}, expected two vectors of numbers of the same length`, { cause });
}

function cosine(a, b) {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / (Math.sqrt(aa) * Math.sqrt(bb) || 1); // aa * bb could leave the range of a number
}

async function load(tower, options) {
  const { model, weights, signal, onProgress, ...given } = readOptions(options, LOAD_OPTIONS);
  const { dtype = 'auto', threads = 'auto', worker, integrity, fetch, hub, simd, dot } = given;
  const retry = completeRetry(given.retry);
  const keep = completeCache(given.cache);
  const cache = keep.mode;
  return underSignal(signal, async (signal, stop) => {
    const { name, config, weights: place } = await resolveModel(model, weights, tower, { hub, fetch, cache, keep, retry, signal });
    const core = { tower, model: name, config, weights: place, dtype, threads, cache, keep, retry, integrity, simd, dot };
    const hooks = { fetch, signal, onProgress: onProgress && stopping(onProgress, stop) };
    askToPersist(keep);
    const thread = (worker ?? isPage) && (await startWorker(signal, worker === true));
    return thread ? thread.load(core, hooks) : Encoder.load(core, hooks);
  });
}

/** A callback that hands what it throws to `stop`. */
const stopping = (callback, stop) => (value) => {
  try {
    callback(value);
  } catch (error) {
    stop(error);
  }
};

/** A worker, or null where a page may not have one (the module is of another origin, or a policy forbids it) and nobody asked for it. */
async function startWorker(signal, required) {
  try {
    return await WorkerEncoder.start(signal);
  } catch (error) {
    if (required || signal?.aborted) throw error;
    return null;
  }
}

const EACH = Symbol('each');

/** What both towers have: `info`, and an end. */
class Tower {
  #encoder;

  constructor(encoder) {
    this.#encoder = encoder;
  }

  /** What was loaded, and what it takes. */
  get info() {
    return this.#encoder.info;
  }

  /** Frees the memory; later calls reject with state/disposed. */
  dispose() {
    this.#encoder.dispose();
  }

  /**
   * Calls a method of the encoder with a list of inputs, for one input or an array of them.
   * @param {string} method
   * @param {unknown} input
   * @param {(item: unknown, name: string) => unknown} check gives what is passed on
   * @param {unknown} options as given
   * @param {object} known see options.js
   */
  async [EACH](method, input, check, options = {}, known = EMBED_OPTIONS) {
    const { signal, ...others } = readOptions(options, known);
    const many = isArray(input);
    const call = async (signal) => {
      const inputs = await Promise.all((many ? listOf(input) : [input]).map((item, i) => check(item, nameInput(i, many))));
      return this.#encoder[method](inputs, { ...others, signal, many });
    };
    const outputs = await (signal ? underSignal(signal, call) : call());
    return many ? outputs : outputs[0];
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

Tower.prototype[Symbol.dispose ?? Symbol.for('Symbol.dispose')] = Tower.prototype.dispose;

/** A text tower. Each method takes one input or an array, and gives one output or an array in the same order. */
class TextTower extends Tower {
  /** Vectors of texts. */
  embed(texts, options) {
    return this[EACH]('embed', texts, checkText, options);
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
class ImageTower extends Tower {
  /** Vectors of pictures. */
  embed(sources, options) {
    return this[EACH]('embed', sources, capturePicture, options);
  }

  /** What the tower gets of pictures: Float32Array [3, H, W]. */
  preprocess(sources, options) {
    return this[EACH]('preprocess', sources, capturePicture, options, CALL_OPTIONS);
  }

  /** Vectors of what preprocess() gives. */
  embedPixels(pixels, options) {
    const { imageSize } = this.info;
    const [height, width] = Array.isArray(imageSize) ? imageSize : [imageSize, imageSize];
    return this[EACH]('embedPixels', pixels, arrayChecker(Float32Array, 3 * height * width), options);
  }
}

function checkText(text, name) {
  if (typeof text !== 'string') throw new HalfclipError('input/type', `${name} is ${describe(text)}, expected a string`);
  return text;
}

function arrayChecker(Type, length) {
  return (array, name) => {
    if (arrayTypeOf(array) !== Type.name || array.length !== length) {
      throw new HalfclipError('input/type', `${name} is ${describe(array)}, expected ${describe(new Type(0)).replace(/ of.*/, '')} of length ${length}`);
    }
    return isPlain(array.buffer) ? array : new Type(array);
  };
}
