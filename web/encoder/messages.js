// What is said of an encoder and its inputs, wherever it runs.

import { HalfclipError } from '../base/errors.js';

/** How messages call the input with index `i`, of an array or alone. */
export const nameInput = (i, many) => (many ? `input ${i}` : 'the input');

export function disposed() {
  return new HalfclipError('state/disposed', 'this encoder was disposed of: load another one');
}
