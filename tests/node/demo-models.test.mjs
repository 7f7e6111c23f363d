// How fast the page says that models are which were not used yet.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KNOWN, estimateSpeed } from '../../web/demo/models.js';

test('speeds of models that were not used follow from one that was', () => {
  const [, small, middle, large] = KNOWN.map((model) => ({ ...model }));
  const all = [small, middle, large];
  assert.equal(estimateSpeed(large, all, 'image'), undefined);
  middle.speed = { image: 390 };
  assert.equal(estimateSpeed(small, all, 'image'), 100);
  assert.equal(estimateSpeed(large, all, 'image'), 1800);
  assert.equal(estimateSpeed(large, all, 'text'), undefined);
  assert.equal(estimateSpeed({ speed: { image: 5 } }, all, 'image'), undefined, 'one that nobody has measured');
});
