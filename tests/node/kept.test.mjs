// keptTowers() and removeKeptTowers(): what is kept, as a program sees it.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { keptTowers, removeKeptTowers } from '../../dist/node.js';
import { dir, file, load, server } from './cache-fixture.mjs';
import { fails } from './fails.mjs';

test('kept towers are listed with what they are of, the one used last first; some are removed, and all', async () => {
  assert.deepEqual(await keptTowers({ dir }), []);
  await load({ tower: 'image' });
  await load({ tower: 'text', dtype: 'fp32' });
  const [text, image, ...others] = await keptTowers({ dir });
  assert.deepEqual(others, []);
  const { name, bytes, fetchedBytes, stored, used, ...rest } = text;
  assert.deepEqual(rest, {
    url: `${server.base}/clip.safetensors`,
    model: null,
    tower: 'text',
    dtype: 'fp32',
    fileBytes: file.length,
  });
  assert.match(name, /^[0-9a-f]{32}$/);
  assert.ok(bytes > 1000 && fetchedBytes < file.length);
  for (const time of [stored, used]) assert.equal(new Date(time).toISOString(), time);
  assert.equal(image.tower, 'image');

  assert.deepEqual(await removeKeptTowers(['none', image], { dir }), [image]);
  assert.deepEqual(
    (await keptTowers({ dir })).map(({ tower }) => tower),
    ['text'],
  );
  assert.equal((await load({ tower: 'text', dtype: 'fp32' })).cached, true);
  assert.deepEqual(await removeKeptTowers(new Set(), { dir }), []);
  await load({ tower: 'image' });
  assert.equal((await removeKeptTowers('all', { dir })).length, 2);
  assert.deepEqual(readdirSync(dir), []);
  assert.equal((await load({ tower: 'text', dtype: 'fp32' })).cached, false);
});

test('files of others stay, and a damaged tower is listed by what its file tells', async () => {
  const folder = mkdtempSync(path.join(dir, 'others-'));
  writeFileSync(path.join(folder, 'notes.txt'), 'mine');
  const damaged = '0'.repeat(32);
  writeFileSync(path.join(folder, `halfclip-${damaged}.tower`), 'of a halfclip, cut off: halfclip');
  const [entry] = await keptTowers({ dir: folder });
  assert.deepEqual([entry.name, entry.url, entry.tower, entry.bytes], [damaged, null, null, 32]);
  await removeKeptTowers([damaged], { dir: folder });
  assert.deepEqual(readdirSync(folder), ['notes.txt']);
});

test('what cannot be listed or removed is said', async () => {
  for (const which of [undefined, null, 'some', 7, {}])
    await fails(
      removeKeptTowers(which, { dir }),
      'input/type',
      /removeKeptTowers\(\) got .*, expected 'all', or a list/,
    );
  await fails(removeKeptTowers([7], { dir }), 'input/type', /got a list with the number 7, expected/);
  await fails(keptTowers({ dir: 7 }), 'input/type', /option cache\.dir is the number 7, expected the path of a folder/);
  await fails(keptTowers({ folder: 'x' }), 'input/type', /folder is not known/);
});
