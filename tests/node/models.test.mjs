// Every architecture of OpenCLIP loads, or is refused with a reason; and the tables of the READMEs say the same.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { COVERAGE, coverage, coverageOf } from '../coverage.mjs';
import { FAMILIES, MODELS, familyTable, supported, table } from '../models.mjs';

const rows = await supported();

test('every tower of every architecture loads', () => {
  assert.equal(rows.length, 144);
  for (const { name, image, text } of rows) assert.deepEqual([image, text], [null, null], name);
});

test('towers that were compared at full size agree', () => {
  for (const { names, tower, error, cosine, distance } of Object.values(coverage.towers))
    assert.ok(!error && (cosine >= 0.99999 || distance <= 0.005), `${names[0]}, ${tower}: ${error ?? cosine}`);
  assert.equal(coverageOf('ViT-S-32', 'image').names[0], 'ViT-S-32');
});

test('the tables in the READMEs are those that the loader gives (node tests/models.mjs --write)', async () => {
  assert.equal(await MODELS.read(), table(rows));
  assert.equal(await FAMILIES.read(), familyTable(rows));
  assert.equal(await COVERAGE.read(), await COVERAGE.make());
});

test('README.md is short', async () => {
  const text = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  assert.ok(text.trimEnd().split('\n').length <= 150);
});
