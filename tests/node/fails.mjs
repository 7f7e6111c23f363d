// How tests expect a failure of the package.

import assert from 'node:assert/strict';

import { HalfclipError } from '../../dist/index.js';

/**
 * Asserts that `promise` rejects with a HalfclipError of `code`, whose message has every pattern, a RegExp or words, in
 * it; gives the error.
 */
export async function fails(promise, code, ...patterns) {
  const error = await promise.then(
    () => assert.fail(`expected ${code}, but it worked`),
    (error) => error,
  );
  assert.ok(error instanceof HalfclipError, error?.stack ?? String(error));
  assert.equal(error.code, code, error.message);
  for (const pattern of patterns)
    assert.ok(
      pattern instanceof RegExp ? pattern.test(error.message) : error.message.includes(pattern),
      `${pattern}: ${error.message}`,
    );
  return error;
}
