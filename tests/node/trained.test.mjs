// What src/README.md says of trained towers is what was measured, and enough.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { README, recorded, tables } from '../trained.mjs';

test('the tables in src/README.md are those of tests/golden/trained.json (make accuracy)', async () => {
  assert.equal(await README.read(), tables(recorded()));
});

test('int8 keeps what it is to keep, and more than the same bits of onnxruntime', () => {
  const { towers } = recorded();
  const { mean, least } = towers.image.kept.int8;
  assert.ok(mean >= 0.9995 && least >= 0.998, `${mean} ${least}`);
  for (const { kept } of Object.values(towers)) assert.ok(kept.int8.mean > kept['onnxruntime, dynamic int8'].mean);
});

test('fp32 gives the vectors that timm computes of trained weights, and int8 keeps them', () => {
  for (const [name, { kept }] of Object.entries(recorded().timm.towers)) {
    assert.ok(kept.fp32.least >= 0.99999, `${name}: ${kept.fp32.least}`);
    assert.ok(kept.int8.mean >= 0.997 && kept.int8.least >= 0.98, `${name}: ${kept.int8.mean} ${kept.int8.least}`);
  }
});
