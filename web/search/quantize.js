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
  let any = 0;
  for (let i = 0; i < dim; i++) {
    if (!Number.isFinite(floats[i]))
      throw new HalfclipError('input/type', `${name} has ${vector[i]} at ${i}, expected numbers that a float can hold`);
    any ||= floats[i];
  }
  if (!any) throw new HalfclipError('input/type', `${name} is all zeros, expected a vector that has a direction`);
  return floats;
}

const lengthOf = (vector) => {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += vector[i] * vector[i];
  return Math.sqrt(sum);
};

/**
 * How fp32 holds a vector.
 * @param {Float32Array} vector
 * @returns {{ values: Float32Array, scale: number }}
 */
export function unitVector(vector) {
  const length = lengthOf(vector);
  const isUnit = Math.abs(length - 1) <= TOLERANCE;
  return { values: isUnit ? vector : vector.map((x) => x / length), scale: 1 };
}

/**
 * How int8 holds a vector: from -127 to 127, times a scale that makes its length 1.
 * @param {Float32Array} vector
 * @returns {{ values: Int8Array, scale: number }}
 */
export function quantize(vector) {
  let largest = 0;
  for (let i = 0; i < vector.length; i++) largest = Math.max(largest, Math.abs(vector[i]));
  const values = new Int8Array(vector.length);
  for (let i = 0; i < vector.length; i++) values[i] = Math.round((127 * vector[i]) / largest);
  return { values, scale: Math.fround(1 / lengthOf(values)) };
}
