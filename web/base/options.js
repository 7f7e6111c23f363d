// The options that there are, and what each of them may be. Whatever is not in these tables is an error.

import { HalfclipError, describe, messageOf } from './errors.js';
import { nearestNames } from './nearest-names.js';
import { attempt, bytesOf, hasTag, isArray } from './realm.js';

const isFunction = (value) => typeof value === 'function';
const isAtLeast = (least) => (value) => typeof value === 'number' && value >= least;
export const oneOf = (...names) => [
  (value) => names.includes(value),
  `${names
    .slice(0, -1)
    .map((name) => `"${name}"`)
    .join(', ')} or "${names.at(-1)}"`,
];

const isPlace = (value) => typeof value === 'string' || hasTag(value, 'URL');

const isSide = (value) => Number.isInteger(value) && value >= 1 && value <= 16384;

const ANYTHING = [() => true]; // for who reads it to check
const FUNCTION = [isFunction, 'a function'];
const FLAG = [(value) => typeof value === 'boolean', 'true or false'];
const BYTES = [isAtLeast(0), 'a number of bytes'];
const MILLISECONDS = [isAtLeast(0), 'a number of milliseconds'];
const SIGNAL = [
  (value) => value === null || (typeof value?.aborted === 'boolean' && isFunction(value.addEventListener)),
  'an AbortSignal',
];

/** Of loadTextEncoder() and loadImageEncoder(). */
export const LOAD_OPTIONS = {
  model: ANYTHING,
  weights: ANYTHING,
  tokenizer: ANYTHING,
  language: [(value) => typeof value === 'string' && value !== '', 'the code of a language, such as "eng_Latn"'],
  maxTokens: [(value) => Number.isInteger(value) && value >= 2, 'a number of tokens'],
  dtype: oneOf('fp32', 'fp16', 'int8', 'int4'),
  imageSize: [
    (value) => isSide(value) || (isArray(value) && value.length === 2 && value.every(isSide)),
    'a number of pixels from 1 to 16384, or two, [height, width]',
  ],
  threads: [(value) => value === 'auto' || (Number.isInteger(value) && value >= 1), '"auto" or a number of threads'],
  worker: FLAG,
  cache: ANYTHING,
  retry: ANYTHING,
  limits: ANYTHING,
  integrity: [(value) => typeof value === 'string', 'a string such as "sha256-…"'],
  signal: SIGNAL,
  onProgress: FUNCTION,
  fetch: FUNCTION,
  hub: [isPlace, 'the URL of a hub, such as "https://huggingface.co"'],
  assets: [isPlace, "the URL of the folder with the package's worker, modules and shards"],
  wasm: [
    (value) => isPlace(value) || hasTag(value, 'WebAssembly.Module') || bytesOf(value) !== null,
    'a WebAssembly.Module, its bytes or a URL',
  ],
  simd: oneOf('relaxed', 'simd128'),
  dot: oneOf('pairs', 'quads'),
};

/** Of the option `cache`. */
export const CACHE_OPTIONS = {
  mode: oneOf('default', 'no-store', 'reload'),
  dir: [(value) => typeof value === 'string' && value !== '', 'the path of a folder'],
  maxBytes: BYTES,
  persist: FLAG,
};

/** Of the option `retry`. */
export const RETRY_OPTIONS = {
  attempts: [isAtLeast(1), 'a number of at least 1'],
  pause: MILLISECONDS,
  stall: MILLISECONDS,
  timeout: MILLISECONDS,
};

/** Of the option `limits`. */
export const LIMIT_OPTIONS = { json: BYTES, tokenizer: BYTES, picture: BYTES, whole: BYTES, weights: BYTES };

/** Of the methods that give no vectors: tokenize() and preprocess(). */
export const CALL_OPTIONS = { signal: SIGNAL };

/** Of the methods that give vectors. */
export const EMBED_OPTIONS = { ...CALL_OPTIONS, normalize: FLAG };

/** Of embedAll(). */
export const EMBED_ALL_OPTIONS = {
  ...EMBED_OPTIONS,
  ahead: [(value) => Number.isInteger(value) && value >= 0, 'a whole number of inputs'],
  onProgress: FUNCTION,
};

/** Of whatever takes pictures. */
export const PICTURE_OPTIONS = {
  orientation: oneOf('exif', 'none'),
  decode: oneOf('exact', 'fast'),
  maxPixels: [isAtLeast(1), 'a number of pixels'],
};

/**
 * The options that are given, each read once and checked; those that are undefined are as if left out.
 * @param {unknown} given
 * @param {Record<string, [(value: unknown) => boolean, string?]>} known
 * @param {string} [name] of the option that they are in
 * @returns {Record<string, unknown>}
 */
export function readOptions(given, known, name) {
  if (given === null || typeof given !== 'object') {
    throw new HalfclipError(
      'input/type',
      name ? `option ${name} is ${describe(given)}, expected an object` : `expected options, got ${describe(given)}`,
    );
  }
  const prefix = name ? `${name}.` : '';
  let entries;
  try {
    entries = [...new Set([...Object.keys(given), ...Object.keys(known)])]
      .map((key) => [key, given[key]])
      .filter(([, value]) => value !== undefined);
  } catch (error) {
    throw new HalfclipError(
      'input/type',
      `${name ? `option ${name}` : 'the options'} cannot be read: ${messageOf(error)}`,
      { cause: error },
    );
  }
  for (const [key, value] of entries) {
    if (!Object.hasOwn(known, key)) {
      const names = Object.keys(known).map((known) => prefix + known);
      throw new HalfclipError(
        'input/type',
        `option ${prefix}${key} is not known, the nearest is ${nearestNames(prefix + key, names)[0]}: expected ${names.join(', ')}`,
      );
    }
    const [isRight, expected] = known[key];
    if (!attempt(() => isRight(value)))
      throw new HalfclipError('input/type', `option ${prefix}${key} is ${describe(value)}, expected ${expected}`);
  }
  return Object.fromEntries(entries);
}
