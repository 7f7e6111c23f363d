// The options of an index's methods, and what each of them may be: tables for readOptions().

const isFunction = (value) => typeof value === 'function';
const isCount = (value) => Number.isInteger(value) && value >= 1;

const ANYTHING = [() => true]; // for who reads it to check
const LIMIT = [(value) => isCount(value) || value === Infinity, 'a number of at least 1'];
const SIGNAL = [
  (value) => value === null || (typeof value?.aborted === 'boolean' && isFunction(value.addEventListener)),
  'an AbortSignal',
];
const KERNELS = [(value) => ['relaxed', 'simd128', 'scalar'].includes(value), '"relaxed", "simd128" or "scalar"'];

const MOST_THREADS = 64;
const THREADS = [
  (value) => value === 'auto' || (isCount(value) && value <= MOST_THREADS),
  `"auto" or a number from 1 to ${MOST_THREADS}`,
];

const MOST_DIM = 2 ** 16;

export const INDEX_OPTIONS = {
  dim: [(value) => isCount(value) && value <= MOST_DIM, `the length of the vectors, at most ${MOST_DIM}`],
  dtype: [(value) => value === 'int8' || value === 'fp32', '"int8" or "fp32"'],
  metadata: [
    (value) => value !== null && typeof value === 'object' && !Array.isArray(value),
    'an object that can be written as JSON',
  ],
  kernels: KERNELS,
  threads: THREADS,
};

export const ROW_OPTIONS = { data: ANYTHING };

export const SEARCH_OPTIONS = { limit: LIMIT, filter: [isFunction, 'a function'] };

export const PAIR_OPTIONS = { above: [(value) => value >= -1 && value <= 1, 'a cosine, from -1 to 1'], limit: LIMIT };

export const SAVE_OPTIONS = { signal: SIGNAL };

export const LOAD_OPTIONS = {
  signal: SIGNAL,
  fetch: [isFunction, 'a function'],
  salvage: [(value) => typeof value === 'boolean', 'true or false'],
  kernels: KERNELS,
  threads: THREADS,
};
