// Files by `file:` URLs, as URL objects and as text: weights and pictures, names that have to be escaped, and hosts
// that no file is on.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';

import { HalfclipError, loadImageEncoder } from '../../dist/index.js';
import { golden } from './support.mjs';

const clip = golden('clip');
let folder;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  copyFileSync(clip.path, path.join(folder, 'a b%20é#?.safetensors'));
  writeFileSync(
    path.join(folder, 'a b%20é#?.png'),
    await sharp({ create: { width: 3, height: 2, channels: 3, background: 'red' } })
      .png()
      .toBuffer(),
  );
});

after(() => rmSync(folder, { recursive: true }));

test('files by URL, on this thread and in a worker', async () => {
  const weights = pathToFileURL(path.join(folder, 'a b%20é#?.safetensors'));
  const picture = pathToFileURL(path.join(folder, 'a b%20é#?.png'));
  for (const worker of [false, true]) {
    for (const place of [weights, weights.href]) {
      const image = await loadImageEncoder({ model: clip.config, weights: place, worker });
      const [a, b, c] = await image.embed([picture, picture.href, path.join(folder, 'a b%20é#?.png')]);
      assert.deepEqual(a, b);
      assert.deepEqual(a, c);
      image.dispose();
    }
  }
});

test('URLs that name no file', async () => {
  const image = await loadImageEncoder({ model: clip.config, weights: clip.path });
  for (const place of [
    'file://server/share/a',
    'file:///a%2Fb',
    'file:///a%00b',
    'file://[',
    new URL('file://server/share/a'),
    'file:///nothing/here',
  ]) {
    for (const [start, code] of [
      [() => loadImageEncoder({ model: clip.config, weights: place }), 'weights/not-found'],
      [() => image.embed(place), 'input/decode'],
    ]) {
      const error = await start().then(
        () => assert.fail('it worked'),
        (error) => error,
      );
      assert.ok(error instanceof HalfclipError, error.stack);
      assert.equal(error.code, code, error.message);
      assert.ok(error.message.includes('file:'), error.message);
    }
  }
  image.dispose();
});
