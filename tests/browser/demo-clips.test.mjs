// Clips: found by words like pictures, once each, and played from the frame that fits.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { ffmpeg } from '../node/videos.mjs';
import { isFirefox } from './engine.mjs';
import { DIST, allRead, firstName, isOpen, names, sample, search, startPage } from './page-support.mjs';

const skip = spawnSync('ffmpeg', ['-version']).error && 'this machine lacks ffmpeg: apt-get install ffmpeg';

let place;
let folder;
let clip;

before(async () => {
  if (skip) return;
  place = await startPage();
  folder = await mkdtemp(path.join(tmpdir(), 'halfclip-clips-'));
  clip = path.join(folder, 'holidays.webm');
  const shown = (pattern) => {
    const file = fileURLToPath(new URL(`demo/pictures/${sample(pattern)}`, DIST));
    return ['-loop', '1', '-framerate', '10', '-t', '3', '-i', file];
  };
  const scale = (i) => `[${i}:v]scale=240:240,setsar=1[v${i}]`;
  await ffmpeg([
    ...shown(/^cat-face\./),
    ...shown(/pizza/),
    '-filter_complex',
    `${scale(0)};${scale(1)};[v0][v1]concat=n=2`,
    '-c:v',
    'libvpx',
    '-b:v',
    '1M',
    clip,
  ]);
});

after(async () => {
  await place?.close();
  if (folder) await rm(folder, { recursive: true });
});

/** Where the clip in the viewer is, once it can be seen. */
const playing = async (page) => {
  await page.waitForFunction(() => document.getElementById('viewer-clip').readyState >= 2);
  return page.evaluate(() => {
    const { currentTime, paused, hidden } = document.getElementById('viewer-clip');
    return { currentTime, paused, hidden };
  });
};

test('a clip is found by words, once, and plays from the frame that fits', { skip }, () =>
  place.withPage(async (page) => {
    await page.locator('#files').setInputFiles(clip);
    await allRead(page, 1);
    await page.locator('.tile[data-state=ready]').waitFor();
    assert.deepEqual(await names(page), ['holidays.webm 0:00']);

    await search(page, 'pizza');
    const name = await firstName(page);
    assert.match(name, /^holidays\.webm 0:0[345]$/);
    assert.equal((await names(page)).length, 1, 'one frame of a clip');
    await page.locator('.tile .open').click();
    const { currentTime, paused, hidden } = await playing(page);
    assert.ok(currentTime >= Number(name.at(-1)), `at ${currentTime}, of ${name}`);
    assert.deepEqual([paused, hidden], [false, false]);
    assert.match(await page.locator('#viewer-path').textContent(), /^holidays\.webm#t=[345]$/);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.getElementById('viewer-clip').hasAttribute('src')); // it ends

    await search(page, 'a cat');
    assert.match(await firstName(page), /^holidays\.webm 0:0[012]$/);
    await page.locator('#files').setInputFiles(clip);
    await allRead(page, 1);

    // After a reload its frames are there, and it plays again once it was added again.
    await page.reload();
    await isOpen(page);
    await allRead(page, 1);
    await search(page, 'pizza');
    await page.locator('.tile .open').click();
    await page.getByText('This is a frame of the clip').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('#files').setInputFiles(clip);
    await page.waitForTimeout(300);
    await page.locator('.tile .open').click();
    assert.ok((await playing(page)).currentTime >= 3);
    await page.getByRole('button', { name: 'Remove from this page' }).click();
    await page.keyboard.press('Escape');
    await page.locator('#empty').waitFor();
  }),
);

test('with less motion it waits; what is no clip is said', { skip }, () =>
  place.withPage(
    async (page) => {
      await page.locator('#files').setInputFiles([
        { name: 'notes.mp4', mimeType: 'video/mp4', buffer: Buffer.from('these are notes') },
        { name: 'clip.webm', mimeType: 'video/webm', buffer: await readFile(clip) },
      ]);
      await allRead(page, 1);
      await page.locator('.tile .open').click();
      const { paused } = await playing(page);
      if (!isFirefox) assert.equal(paused, true); // which is not asked for less motion over BiDi
      await page.keyboard.press('Escape');
      await page.locator('#files').setInputFiles({
        name: 'notes.mp4',
        mimeType: 'video/mp4',
        buffer: Buffer.from('these are notes'),
      });
      await page.getByRole('alert').filter({ hasText: '“notes.mp4” cannot be read' }).waitFor();
    },
    { reducedMotion: 'reduce' },
  ),
);

/** In place of the browser's chooser: a folder of the origin's own. */
const chooser = () => {
  globalThis.showDirectoryPicker = async () =>
    (await navigator.storage.getDirectory()).getDirectoryHandle('Holidays', { create: true });
};

test('a clip in a folder is found, kept, and plays after a reload; it leaves with its file', { skip }, () =>
  place.withPage(
    async (page) => {
      const base64 = (await readFile(clip)).toString('base64');
      await page.evaluate(async (text) => {
        const folder = await globalThis.showDirectoryPicker();
        const file = await folder.getFileHandle('lunch.webm', { create: true });
        const stream = await file.createWritable();
        await stream.write(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
        await stream.close();
      }, base64);
      await page.getByRole('button', { name: 'Add a folder' }).click();
      await allRead(page, 1);
      await page.locator('.tile[data-state=ready]').waitFor();
      await page.reload();
      await isOpen(page);
      await allRead(page, 1);
      await search(page, 'pizza');
      assert.match(await firstName(page), /^lunch\.webm 0:0[345]$/);
      await page.locator('.tile .open').click();
      assert.ok((await playing(page)).currentTime >= 3);
      assert.match(await page.locator('#viewer-path').textContent(), /^Holidays\/lunch\.webm#t=/);
      await page.evaluate(async () => (await globalThis.showDirectoryPicker()).removeEntry('lunch.webm'));
      await page.reload();
      await page.locator('#empty').waitFor();
    },
    { init: chooser },
  ),
);
