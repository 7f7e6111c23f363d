// What src/README.md says of trained towers is what was measured, and enough.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { README, recorded, table } from '../trained.mjs';

test('the table in src/README.md is that of tests/golden/trained.json (make accuracy)', async () => {
  assert.equal(await README.read(), table(recorded()));
});

test('int8 and int4 keep what they are to keep, and more than the same bits of onnxruntime', () => {
  const { image, text } = recorded();
  assert.ok(image.int8.mean >= 0.9995 && image.int8.least >= 0.998, JSON.stringify(image.int8));
  for (const tower of [image, text]) {
    const peer = (name) => tower[Object.keys(tower).find((key) => key.includes(name))];
    assert.ok(tower.int8.mean > peer('dynamic int8').mean);
  }
});
