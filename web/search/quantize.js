// From a vector to the numbers that an index holds of it: of length 1, and at int8 a scale a vector.

import { HalfclipError, describe } from '../base/errors.js';
import { arrayTypeOf, isArray } from '../base/realm.js';

/** How far from 1 a vector's length may be to stay as it is. */
const TOLERANCE = 1e-6;

/**
 * The numbers of a vector as floats, checked.
 * @param {unknown} vector
 * @param {number} dim
 * @param {string} name for messages
 * @returns {Float32Array}
 */
export function readVector(vector, dim, name) {
  const isVector = /^Float(16|32|64)Array$/.test(arrayTypeOf(vector) ?? '') || isArray(vector);
  if (!isVector || vector.length !== dim)
    throw new HalfclipError('input/type', `${name} is ${describe(vector)}, expected a vector of ${dim} numbers`);
  const floats = arrayTypeOf(vector) === 'Float32Array' ? vector : Float32Array.from(vector, Number);
  const largest = largestOf(floats);
  if (!Number.isFinite(largest)) {
    const at = floats.findIndex((x) => !Number.isFinite(x));
    throw new HalfclipError('input/type', `${name} has ${vector[at]} at ${at}, expected numbers that a float can hold`);
  }
  if (!largest) throw new HalfclipError('input/type', `${name} is all zeros, expected a vector that has a direction`);
  return floats;
}

/** The largest size of a vector's numbers; NaN or infinite, if one of them is. */
function largestOf(vector) {
  let largest = 0;
  for (let i = 0; i < vector.length; i++) largest = Math.max(largest, Math.abs(vector[i]));
  return largest;
}

/**
 * How fp32 holds a vector.
 * @param {Float32Array} vector
 * @param {Float32Array} values of length 1, unless the vector was so already
 * @returns {number} what the values are times
 */
export function normalize(vector, values) {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += vector[i] * vector[i];
  const length = Math.sqrt(sum);
  const divisor = Math.abs(length - 1) <= TOLERANCE ? 1 : length;
  for (let i = 0; i < vector.length; i++) values[i] = vector[i] / divisor;
  return 1;
}

/**
 * How int8 holds a vector: the largest of its numbers is 127 or -127.
 * @param {Float32Array} vector
 * @param {Int8Array} values
 * @returns {number} what the values are times, so that their length is 1
 */
export function quantize(vector, values) {
  const factor = 127 / largestOf(vector);
  let sum = 0;
  for (let i = 0; i < vector.length; i++) {
    const level = (vector[i] * factor + (vector[i] < 0 ? -0.5 : 0.5)) | 0;
    values[i] = level;
    sum += level * level;
  }
  return Math.fround(1 / Math.sqrt(sum));
}
