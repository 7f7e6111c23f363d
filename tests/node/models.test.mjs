// Every architecture of OpenCLIP loads, or is refused with a reason; and the tables of the READMEs say the same.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { FAMILIES, MODELS, familyTable, supported, table } from '../models.mjs';

const rows = await supported();

test("towers of OpenCLIP's own transformers are taken, of others those that are not are refused by family", async () => {
  const golden = JSON.parse(await readFile(new URL('../golden/parameters.json', import.meta.url)));
  const family = { timm: /timm/, resnet: /ResNet/, hf: /Hugging Face|hf_model_name/ };
  assert.equal(rows.length, 144);
  for (const row of rows) {
    for (const tower of ['image', 'text']) {
      const expected = golden[row.name][tower].family;
      if (expected === 'openclip') assert.equal(row[tower], null, `${row.name} ${tower}: ${row[tower]}`);
      else if (row[tower] !== null) assert.match(row[tower], family[expected], `${row.name} ${tower}`);
    }
  }
});

test('the tables in the READMEs are those that the loader gives (node tests/models.mjs --write)', async () => {
  assert.equal(await MODELS.read(), table(rows));
  assert.equal(await FAMILIES.read(), familyTable(rows));
});

test('README.md is short', async () => {
  const text = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  assert.ok(text.trimEnd().split('\n').length <= 150);
});
