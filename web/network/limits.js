// How much is taken from a server at most: in bytes as they are after decompression, of which what a server says tells
// nothing.

import { HalfclipError } from '../base/errors.js';
import { LIMIT_OPTIONS, readOptions } from '../base/options.js';

const DEFAULTS = {
  json: 1e7, // configs have kilobytes, the indexes of the largest checkpoints two million
  tokenizer: 2e8, // of 900,000 tokens it has 60 million
  picture: 1e8,
  whole: 1e9,
  weights: 1e11,
};

/**
 * The option `limits`, completed; see index.d.ts.
 * @param {{ json?: number, tokenizer?: number, picture?: number, whole?: number, weights?: number }} [limits]
 */
export const completeLimits = (limits = {}) => ({ ...DEFAULTS, ...readOptions(limits, LIMIT_OPTIONS, 'limits') });

/**
 * @param {string} code
 * @param {string} name of what is too large
 * @param {'json' | 'tokenizer' | 'picture' | 'whole' | 'weights'} kind
 * @param {number} limit
 */
export function tooLarge(code, name, kind, limit) {
  const why = kind === 'whole' ? ', which would have to be kept in memory because its server sends no ranges' : '';
  return new HalfclipError(
    code,
    `${name}: has more than ${limit} bytes${why}; option limits.${kind} can raise that limit`,
  );
}
