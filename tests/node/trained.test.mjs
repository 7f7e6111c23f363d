// What src/README.md says of trained towers is what was measured, and enough.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { README, recorded, table } from '../trained.mjs';

test('the table in src/README.md is that of tests/golden/trained.json (make accuracy)', async () => {
  assert.equal(await README.read(), table(recorded()));
});

test('int8 keeps what it is to keep, and more than the same bits of onnxruntime', () => {
  const { towers } = recorded();
  const { mean, least } = towers.image.kept.int8;
  assert.ok(mean >= 0.9995 && least >= 0.998, `${mean} ${least}`);
  for (const { kept } of Object.values(towers)) assert.ok(kept.int8.mean > kept['onnxruntime, dynamic int8'].mean);
});
