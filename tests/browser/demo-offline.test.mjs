// The page without a network, and what it asks of whom.

import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { serve } from '../../web/cli/server.js';
import { DIST, addSamples, allRead, firstName, isOpen, open, samples, search, startPage } from './page-support.mjs';

let place;
let copy;

before(async () => {
  place = await startPage();
  copy = await mkdtemp(path.join(tmpdir(), 'halfclip-dist-'));
  await cp(DIST, copy, { recursive: true });
});

after(async () => {
  await place?.close();
  await rm(copy, { recursive: true, force: true });
});

const isControlled = (page) => page.waitForFunction(() => navigator.serviceWorker.controller !== null);

test('installed, it starts and searches without a network, and updates without losing anything', async () => {
  let server = await serve({ root: { '/': copy } });
  const { port } = new URL(server.url);
  const context = await place.browser.newContext({ viewport: { width: 1100, height: 800 } });
  try {
    const { page } = await place.newPage(context);
    await open(page, `${server.url}/demo/`);
    await isControlled(page);
    await addSamples(page);
    await search(page, 'an airplane');
    await server.close();

    await page.reload();
    await isOpen(page);
    await allRead(page, samples.length);
    await search(page, 'a cat');
    assert.match(await firstName(page), /cat/);
    await page.getByRole('tab', { name: 'Compare sentences' }).click();
    await page.locator('#pairs li').first().waitFor();

    // Another version of the page and of its service worker.
    const script = await readFile(path.join(copy, 'demo-offline.js'), 'utf8');
    await writeFile(path.join(copy, 'demo-offline.js'), script.replace(/VERSION = '/, `VERSION = 'new-`));
    const html = await readFile(path.join(copy, 'demo/index.html'), 'utf8');
    await writeFile(path.join(copy, 'demo/index.html'), html.replace('Half of CLIP is all you need.', 'The next one.'));
    server = await serve({ root: { '/': copy }, port: Number(port) });
    assert.equal(new URL(server.url).port, port);
    await page.reload();
    await page.getByText('Half of CLIP is all you need.').waitFor();
    await page.getByText('There is a new version of this page').waitFor();
    await page.getByRole('button', { name: 'Use it' }).click();
    await page.getByText('The next one.').waitFor();
    await isOpen(page);
    await allRead(page, samples.length);
    await search(page, 'an airplane');
    assert.match(await firstName(page), /airplane/);
    assert.equal((await page.evaluate(() => caches.keys())).length, 1, 'the former version has gone');
  } finally {
    await context.close();
    await server.close();
  }
});

test('the manifest names the page, and its icon is there', () =>
  place.withPage(async (page) => {
    const manifest = await page.evaluate(async () => {
      const { href } = document.querySelector('link[rel=manifest]');
      const response = await fetch(href);
      const found = await response.json();
      const icons = await Promise.all(found.icons.map(async ({ src }) => (await fetch(new URL(src, href))).ok));
      return { ...found, icons, type: response.headers.get('Content-Type') };
    });
    assert.equal(manifest.type, 'application/manifest+json');
    assert.equal(manifest.display, 'standalone');
    assert.deepEqual(manifest.icons, [true]);
  }));
