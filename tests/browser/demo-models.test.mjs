// Models: by name, by address and from a file; kept, removed, switched while pictures stay. A hub of our own stands for
// Hugging Face's, and has a small model of random weights.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { randomCheckpoint } from '../node/support.mjs';
import { DIST, addSamples, allRead, firstName, isOpen, samples, search, startPage } from './page-support.mjs';

/** In the folder that is a hub. */
const WEIGHTS = 'org/clip/resolve/main/open_clip_model.safetensors';

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
  }));

test('by name: pictures stay and are read again; the towers are kept, and can be removed', () =>
  place.withPage(
    async (page) => {
      await addSamples(page);
      await choose(page, { name: 'hf-hub:org/clip' });
      await inUse(page, 'hf-hub:org/clip');
      assert.ok(!(await page.locator('#bundled').isVisible()));
      await page.getByRole('tab', { name: 'Find pictures' }).click();
      await allRead(page, samples.length);
      assert.equal(await page.locator('.tile[data-state=waiting]').count(), 0);
      await search(page, 'a cat');
      const bytes = sent(`/files/${WEIGHTS}`);
      assert.ok(bytes > 100_000);

      await page.reload();
      await isOpen(page);
      await allRead(page, samples.length);
      await search(page, 'a dog');
      assert.match(await page.locator('#tower-text').textContent(), /kept from before/);
      assert.ok(sent(`/files/${WEIGHTS}`) < bytes + 10_000, 'it is not read again');

      await page.getByRole('tab', { name: 'Model and storage' }).click();
      await card(page, 'hf-hub:org/clip')
        .getByText(/ kept on this machine/)
        .waitFor();
      await card(page, 'hf-hub:org/clip')
        .getByText(/a text on this machine/)
        .waitFor();
      await page.getByRole('button', { name: 'Use halfclip-emoji' }).click();
      await inUse(page, 'halfclip-emoji');
      await page.getByRole('button', { name: 'Remove what is kept of hf-hub:org/clip' }).click();
      await card(page, 'hf-hub:org/clip').waitFor({ state: 'detached' });
      await page.getByRole('tab', { name: 'Find pictures' }).click();
      await allRead(page, samples.length);
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
      await addSamples(page);
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
      await addSamples(page);
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
      await allRead(page, samples.length);
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
