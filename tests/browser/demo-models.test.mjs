// Models: by name, by address and from a file; kept, removed, switched while pictures stay. A hub of our own stands for
// Hugging Face's, and has a small model of random weights.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { randomCheckpoint } from '../node/support.mjs';
import { isFirefox } from './engine.mjs';
import { DIST, addFew, allRead, few, firstName, isOpen, search, startPage } from './page-support.mjs';

/** In the folder that is a hub. */
const WEIGHTS = 'org/clip/resolve/main/open_clip_model.safetensors';
const CONFIG = 'org/clip/resolve/main/open_clip_config.json';

let place;
let files;

const clip = randomCheckpoint({
  vision_cfg: { image_size: 32, patch_size: 16, width: 64, layers: 1 },
  text_cfg: { context_length: 16, vocab_size: 49408, width: 64, heads: 1, layers: 1 },
});

before(async () => {
  files = await mkdtemp(path.join(tmpdir(), 'halfclip-models-'));
  const repository = path.join(files, 'org/clip/resolve/main');
  await mkdir(repository, { recursive: true });
  await writeFile(path.join(repository, 'open_clip_config.json'), JSON.stringify({ model_cfg: clip.config }));
  await writeFile(path.join(repository, 'open_clip_model.safetensors'), clip.file);
  place = await startPage({ root: { '/some/where/': DIST, '/files/': files } });
});

after(async () => {
  await place?.close();
  await rm(files, { recursive: true, force: true });
});

const hub = () => `?hub=${encodeURIComponent(`${place.server.url}/files`)}`;
const card = (page, label) => page.locator('.model', { hasText: label });

async function choose(page, { name = '', weights = '', file }) {
  await page.getByRole('tab', { name: 'Model and storage' }).click();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Weights').fill(weights);
  if (file) await page.getByLabel('or a file').setInputFiles(file);
  await page.getByRole('button', { name: 'Use this model' }).click();
}

const inUse = (page, label) => card(page, label).getByText('In use').waitFor();

/** Bytes of a file that the server sent. */
const sent = (name) => place.server.served.get(name) ?? 0;

test('the bundled model is labelled for what it is; the others say what they are good for, and what they cost', () =>
  place.withPage(async (page) => {
    await page.getByText('It knows emoji, in English, and nothing else').first().waitFor();
    await page.getByRole('button', { name: 'Choose another' }).click();
    assert.match(await card(page, 'halfclip-emoji').textContent(), /It knows emoji.*comes with the page.*In use/);
    const known = await card(page, 'ViT-B-32').textContent();
    assert.match(known, /Photographs.*88 \+ 63 million parameters.*151 MB kept after a download of up to 604 MB/);
    assert.doesNotMatch(known, /this machine/, 'nothing was measured yet');
    // From the bundled model it follows how fast they are going to be.
    await page.getByRole('tab', { name: 'Find pictures' }).click();
    await addFew(page);
    await search(page, 'an airplane');
    await page.getByRole('tab', { name: 'Model and storage' }).click();
    for (const label of ['ViT-B-32', 'ViT-B-16', 'ViT-L-14'])
      await card(page, label)
        .getByText(/about [\d.]+ m?s a picture on this machine · about [\d.]+ m?s a text on this machine/)
        .waitFor();
  }));

test('by name: pictures stay and are read again; the towers are kept, and can be removed', () =>
  place.withPage(
    async (page) => {
      await addFew(page);
      await choose(page, { name: 'hf-hub:org/clip' });
      await inUse(page, 'hf-hub:org/clip');
      assert.ok(!(await page.locator('#bundled').isVisible()));
      assert.match(await page.locator('#query').getAttribute('placeholder'), /a birthday cake/);
      await page.getByRole('tab', { name: 'Compare sentences' }).click();
      await page.locator('#matrix th[title="a dog on a beach"]').first().waitFor();
      await page.getByRole('tab', { name: 'Find pictures' }).click();
      await allRead(page, few.length);
      await page.locator('.tile[data-state=waiting]').first().waitFor({ state: 'detached' }); // told after the progress
      await search(page, 'a cat');
      const bytes = sent(`/files/${WEIGHTS}`);
      assert.ok(bytes > 100_000);

      await page.reload();
      await isOpen(page);
      await allRead(page, few.length);
      await search(page, 'a dog');
      assert.match(await page.locator('#tower-text').textContent(), /kept from before/);
      assert.ok(sent(`/files/${WEIGHTS}`) < bytes + 10_000, 'it is not read again');
      await page.getByRole('tab', { name: 'Compare sentences' }).click();
      await page.locator('#sentences').fill('my own');

      await page.getByRole('tab', { name: 'Model and storage' }).click();
      await card(page, 'hf-hub:org/clip')
        .getByText(/ kept on this machine/)
        .waitFor();
      await card(page, 'hf-hub:org/clip')
        .getByText(/a text on this machine/)
        .waitFor();
      await page.getByRole('button', { name: 'Use halfclip-emoji' }).click();
      await inUse(page, 'halfclip-emoji');
      assert.match(await page.locator('#query').getAttribute('placeholder'), /^a cat/);
      assert.equal(await page.locator('#sentences').inputValue(), 'my own', 'what the visitor wrote stays');
      await page.getByRole('button', { name: 'Remove what is kept of hf-hub:org/clip' }).click();
      await card(page, 'hf-hub:org/clip').waitFor({ state: 'detached' });
      await page.getByRole('tab', { name: 'Find pictures' }).click();
      await allRead(page, few.length);
      await search(page, 'an airplane');
      assert.match(await firstName(page), /airplane/, 'its vectors were kept');
    },
    { query: hub() },
  ));

test('from a file: it is packed, kept and not needed again', () =>
  place.withPage(
    async (page) => {
      await choose(page, { name: 'hf-hub:org/clip', file: path.join(files, WEIGHTS) });
      await inUse(page, '· open_clip_model.safetensors');
      await page.getByRole('tab', { name: 'Find pictures' }).click();
      await addFew(page);
      await search(page, 'a cat');
      const first = await firstName(page);
      await page.reload();
      await isOpen(page);
      await search(page, 'a cat');
      assert.equal(await firstName(page), first);
      assert.match(await page.locator('#tower-text').textContent(), /kept from before/);
    },
    { query: hub() },
  ));

test('by address; what is not there is said, and the model before stays', () =>
  place.withPage(
    async (page) => {
      await addFew(page);
      await choose(page, { name: 'hf-hub:org/clip', weights: '/files/none.safetensors' });
      const alert = page.getByRole('alert').filter({ hasText: 'The model could not be loaded' });
      await alert.waitFor();
      assert.match(await alert.textContent(), /404/);
      await inUse(page, 'halfclip-emoji');
      await choose(page, { name: 'ViT-B-23' });
      await page.getByRole('alert').filter({ hasText: 'the nearest names are' }).waitFor();
      await page.getByRole('tab', { name: 'Find pictures' }).click();
      await search(page, 'an airplane');
      assert.match(await firstName(page), /airplane/);

      await choose(page, {
        name: 'hf-hub:org/clip',
        weights: `/files/${WEIGHTS}`,
      });
      await inUse(page, 'open_clip_model.safetensors');
      await page.getByRole('tab', { name: 'Find pictures' }).click();
      await allRead(page, few.length);
    },
    { query: hub(), expectedFailures: /404/ },
  ));

test('a load is cancelled', () =>
  place.withPage(
    async (page) => {
      await page.route('**/open_clip_model.safetensors', () => {}); // never answers
      await choose(page, { name: 'hf-hub:org/clip' });
      await page.getByText(/Loading the text half/).waitFor();
      await page.locator('#model-cancel').click();
      await inUse(page, 'halfclip-emoji');
      await page.locator('#model-progress').waitFor({ state: 'hidden' });
      assert.equal(await page.getByRole('alert').textContent(), '');
    },
    { query: hub() },
  ));

/**
 * A hub that sends weights slowly, 64 KiB at a time.
 * @returns {Promise<{ url: string, ranges: [number, number][], pause: number, hangUp(): void, close(): void }>} ranges:
 *   which bytes were asked for; pause: milliseconds between two pieces; hangUp: ends what is being sent
 */
async function slowHub() {
  const ranges = [];
  const hub = { ranges, pause: 20 };
  const server = createServer(async ({ url, headers }, response) => {
    const name = url.split('?')[0].slice(1);
    const known = { [WEIGHTS]: clip.file, [CONFIG]: Buffer.from(JSON.stringify({ model_cfg: clip.config })) };
    const open = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': '*' };
    const file = known[name];
    if (!file) return response.writeHead(404, open).end();
    const [, begin = 0, last = file.length - 1] = (/^bytes=(\d+)-(\d+)?$/.exec(headers.range) ?? []).map(Number);
    const end = Math.min(last + 1, file.length);
    const range = { 'Content-Range': `bytes ${begin}-${end - 1}/${file.length}`, 'Content-Length': end - begin };
    response.writeHead(headers.range ? 206 : 200, { ...open, ETag: '"1"', ...(headers.range && range) });
    if (name !== WEIGHTS) return response.end(file.subarray(begin, end));
    ranges.push([begin, end]);
    for (let at = begin; at < end && !response.destroyed; at += 1 << 16) {
      response.write(file.subarray(at, Math.min(end, at + (1 << 16))));
      await new Promise((resolve) => setTimeout(resolve, hub.pause));
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(hub, {
    url: `http://127.0.0.1:${server.address().port}`,
    hangUp: () => server.closeAllConnections(),
    close: () => server.close().closeAllConnections(),
  });
}

test('a download is paused, is there when the server has hung up meanwhile, and outlives a lost network', async () => {
  const hub = await slowHub();
  const served = await startPage({ root: { '/some/where/': DIST }, connect: [hub.url] });
  try {
    await served.withPage(
      async (page, _, context) => {
        const text = page.locator('#model-text');
        const come = () => page.locator('#model-bar').evaluate(({ value }) => value);
        await choose(page, { name: 'hf-hub:org/clip' });
        await text.filter({ hasText: /^Loading the text half, [\d.]+ MB of [\d.]+ MB$/ }).waitFor();
        await page.locator('#model-pause').click();
        await text.filter({ hasText: /, paused$/ }).waitFor();
        await page.locator('#tower-text', { hasText: ', paused' }).waitFor();
        await page.waitForTimeout(100);
        const before = await come();
        hub.hangUp();
        await page.waitForTimeout(400);
        assert.equal(await come(), before, 'nothing comes');
        const asked = hub.ranges.length;
        await page.getByRole('button', { name: 'Continue' }).click();
        await text.filter({ hasText: / MB$/ }).waitFor();
        while (hub.ranges.length === asked) await page.waitForTimeout(50);
        assert.ok(hub.ranges[asked][0] > before, 'it goes on where it was');

        if (!isFirefox) {
          await context.setOffline(true);
          hub.hangUp();
          await text.filter({ hasText: /, waiting for the network$/ }).waitFor();
          await context.setOffline(false);
        } // whose driver takes no network away
        hub.pause = 0;
        await inUse(page, 'hf-hub:org/clip');
        await page.locator('#model-progress').waitFor({ state: 'hidden' });
      },
      { query: `?hub=${encodeURIComponent(hub.url)}`, others: [hub.url], expectedFailures: /404|ERR_/ },
    );
  } finally {
    await served.close();
    hub.close();
  }
});

test('a paused download is cancelled; one of the image half with the pictures that wait for it', async () => {
  const hub = await slowHub();
  const served = await startPage({ root: { '/some/where/': DIST }, connect: [hub.url] });
  try {
    await served.withPage(
      async (page) => {
        await choose(page, { name: 'hf-hub:org/clip' });
        await page.locator('#model-text', { hasText: / MB of / }).waitFor();
        await page.locator('#model-pause').click();
        await page.locator('#model-text', { hasText: /, paused$/ }).waitFor();
        await page.locator('#model-cancel').click();
        await inUse(page, 'halfclip-emoji');
        hub.pause = 0;
        await choose(page, { name: 'hf-hub:org/clip' });
        await inUse(page, 'hf-hub:org/clip');

        hub.pause = 5000;
        await page.getByRole('tab', { name: 'Find pictures' }).click();
        await page.getByRole('button', { name: 'Try sample pictures' }).click();
        await page.locator('#progress-text', { hasText: /^Loading the image half/ }).waitFor();
        await page.locator('#pause').click();
        await page.locator('#tower-image', { hasText: ', paused' }).waitFor();
        await page.locator('#pause').click();
        await page.locator('#tower-image', { hasText: /loading(?!.*paused)/ }).waitFor();
        await page.locator('#pause').click();
        await page.locator('#cancel').click();
        await page.locator('#progress').waitFor({ state: 'hidden' });
        await page.locator('#empty').waitFor();
      },
      { query: `?hub=${encodeURIComponent(hub.url)}`, others: [hub.url], expectedFailures: /404|ERR_/ },
    );
  } finally {
    await served.close();
    hub.close();
  }
});

test('a download that was begun goes on after the page was reloaded in the middle, by a click, or is removed', async () => {
  const hub = await slowHub();
  const served = await startPage({ root: { '/some/where/': DIST }, connect: [hub.url] });
  try {
    await served.withPage(
      async (page) => {
        const panel = () => page.getByRole('tab', { name: 'Model and storage' }).click();
        const here = card(page, 'hf-hub:org/clip').getByText(
          /^[\d.]+ MB of [\d.]+ MB are here: the download was cut off\.$/,
        );
        const come = (bytes) =>
          page.waitForFunction((bytes) => document.getElementById('model-bar').value > bytes, bytes);
        hub.pause = 6;
        await choose(page, { name: 'hf-hub:org/clip' });
        await come(3.2e6);
        await page.reload();
        hub.pause = 20;
        await isOpen(page);
        await panel();
        await inUse(page, 'halfclip-emoji');
        const bytes = Number.parseFloat(await here.textContent()) * 1e6;
        assert.ok(bytes > 2e6, `${bytes} bytes are here`);
        let asked = hub.ranges.length;
        await page.getByRole('button', { name: 'Continue with hf-hub:org/clip' }).click();
        await come(bytes);
        assert.equal(await here.count(), 0, 'while more comes it is not said that it was cut off');
        await page.getByRole('tab', { name: 'Find pictures' }).click();
        await panel();
        await page.locator('.model', { has: page.locator('#model-progress') }).waitFor();
        assert.equal(await here.count(), 0);
        const again = hub.ranges.slice(asked).filter(([begin]) => begin > 0);
        assert.ok(again.length > 0 && again.every(([begin]) => begin >= bytes - 1e5), JSON.stringify(again));

        await page.locator('#model-cancel').click();
        await here.waitFor();
        await page.getByRole('button', { name: 'Remove what is kept of hf-hub:org/clip' }).click();
        await card(page, 'hf-hub:org/clip').waitFor({ state: 'detached' });
        asked = hub.ranges.length;
        await choose(page, { name: 'hf-hub:org/clip' });
        await come(2.2e6);
        assert.ok(
          hub.ranges.slice(asked).some(([begin]) => begin > 0 && begin < 1e6),
          'from the start',
        );

        // Everything can be removed while something comes.
        await page.getByRole('button', { name: 'Remove everything' }).click();
        await page.getByRole('button', { name: 'Yes, remove pictures, vectors and models' }).click();
        await page.locator('#announcements', { hasText: 'Everything is removed' }).waitFor({ state: 'attached' });
        const files = await page.evaluate(async () => {
          const root = await navigator.storage.getDirectory();
          const folder = await root.getDirectoryHandle('halfclip', { create: true });
          const names = [];
          for await (const name of folder.keys()) names.push(name);
          return names;
        });
        assert.deepEqual(files, []);
      },
      { query: `?hub=${encodeURIComponent(hub.url)}`, others: [hub.url], expectedFailures: /404|ERR_/ },
    );
  } finally {
    await served.close();
    hub.close();
  }
});

test('a server that the policy does not name is not asked, and the page says how it would be', async () => {
  const other = await startPage({
    root: { '/': files },
    headers: { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' },
  });
  const allowed = await startPage({ root: { '/some/where/': DIST }, connect: [other.server.url] });
  try {
    const query = `?hub=${encodeURIComponent(other.server.url)}`;
    await place.withPage(
      async (page) => {
        await choose(page, { name: 'hf-hub:org/clip' });
        const alert = page.getByRole('alert').filter({ hasText: 'The model could not be loaded' });
        await alert.waitFor();
        assert.match(
          await alert.textContent(),
          new RegExp(`start it with halfclip serve --connect ${other.server.url}`),
        );
      },
      { query, expectedFailures: /Content Security Policy|violates the following|ERR_/, others: [other.server.url] },
    );
    assert.equal(other.server.served.size, 0);
    await allowed.withPage(
      async (page) => {
        await choose(page, { name: 'hf-hub:org/clip' });
        await inUse(page, 'hf-hub:org/clip');
      },
      { query, others: [other.server.url], expectedFailures: /404/ },
    );
  } finally {
    await other.close();
    await allowed.close();
  }
});
