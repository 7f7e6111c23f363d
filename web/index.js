/**
 * halfclip: half of CLIP, an image encoder or a text encoder, loaded alone.
 * @module
 */

import { askToPersist, completeCache } from './cache.js';
import { Encoder, nameInput } from './encoder.js';
import { HalfclipError, describe } from './errors.js';
import { capturePicture } from './image-source.js';
import { resolveModel } from './model.js';
import { isPage } from './platform.js';
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
  if (![a, b].every((vector) => typeof vector === 'object' && vector?.length !== undefined) || a.length !== b.length) {
    throw new HalfclipError('input/type', `cosineSimilarity() got ${describe(a)} and ${describe(b)}, expected two vectors of the same length`);
  }
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

/** What checks one option after the other: throws if it is not `right`. */
function checkerOf(options) {
  if (!options || typeof options !== 'object') throw new HalfclipError('input/type', `expected options, got ${describe(options)}`);
  return (name, right, expected) => {
    if (!right) throw new HalfclipError('input/type', `option ${name} is ${describe(options[name])}, expected ${expected}`);
  };
}

const isSignal = (signal) => signal == null || typeof signal?.throwIfAborted === 'function';

async function load(tower, options) {
  const expect = checkerOf(options);
  const { dtype = 'auto', threads = 'auto', worker, retry, integrity, signal, onProgress, fetch, hub, simd, dot } = options;
  expect('dtype', ['auto', 'fp32', 'fp16', 'int8', 'int4'].includes(dtype), '"fp32", "fp16", "int8" or "int4"');
  expect('threads', threads === 'auto' || (Number.isInteger(threads) && threads >= 1), '"auto" or a number of threads');
  expect('worker', worker === undefined || typeof worker === 'boolean', 'true or false');
  expect('integrity', integrity === undefined || typeof integrity === 'string', 'a string such as "sha256-…"');
  expect('signal', isSignal(signal), 'an AbortSignal');
  expect('onProgress', onProgress === undefined || typeof onProgress === 'function', 'a function');
  expect('fetch', fetch === undefined || typeof fetch === 'function', 'a function');
  expect('hub', hub === undefined || typeof hub === 'string' || hub instanceof URL, 'the URL of a hub, such as "https://huggingface.co"');
  completeRetry(retry);
  const keep = completeCache(options.cache);
  const cache = keep.mode;
  signal?.throwIfAborted();

  const { name, config, weights } = await resolveModel(options.model, options.weights, tower, { hub, fetch, cache, keep, retry, signal });
  const core = { tower, model: name, config, weights, dtype, threads, cache, keep, retry, integrity, simd, dot };
  const hooks = { fetch, signal, onProgress };
  askToPersist(keep);
  const thread = (worker ?? isPage) && (await startWorker(signal, worker === true));
  return thread ? thread.load(core, hooks) : Encoder.load(core, hooks);
}

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
   * @param {(item: unknown, name: string) => unknown} check gives what is passed on
   */
  async [EACH](method, input, check, options = {}) {
    const expect = checkerOf(options);
    const { normalize, signal } = options;
    expect('normalize', normalize === undefined || typeof normalize === 'boolean', 'true or false');
    expect('signal', isSignal(signal), 'an AbortSignal');
    signal?.throwIfAborted();
    const many = Array.isArray(input);
    const inputs = await Promise.all((many ? input : [input]).map((item, i) => check(item, nameInput(i, many))));
    const outputs = await this.#encoder[method](inputs, { normalize, signal, many });
    return many ? outputs : outputs[0];
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
    return this[EACH]('tokenize', texts, checkText, options);
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
    return this[EACH]('preprocess', sources, capturePicture, options);
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
    if (!(array instanceof Type) || array.length !== length) {
      throw new HalfclipError('input/type', `${name} is ${describe(array)}, expected ${describe(new Type(0)).replace(/ of.*/, '')} of length ${length}`);
    }
    return array;
  };
}
