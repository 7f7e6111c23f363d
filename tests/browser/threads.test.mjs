// Threads in Chromium: in pages that are isolated from other origins, in a worker and on the page's thread; one thread,
// silently, in other pages.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadTextEncoder } from '../../dist/index.js';
import { serve } from '../../web/cli/server.js';
import { randomCheckpoint } from '../node/support.mjs';
import { launch } from './chromium.mjs';

const { file, config } = randomCheckpoint({
  text_cfg: { context_length: 77, vocab_size: 1000, width: 256, heads: 4, layers: 3 },
});
const ids = Array.from({ length: 77 }, (_, i) => (i < 60 ? 3 + i : i === 60 ? 999 : 0));

let folder;
let isolated;
let open;
let browser;
let expected;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  mkdirSync(path.join(folder, 'site'));
  writeFileSync(
    path.join(folder, 'site/index.html'),
    '<!DOCTYPE html><link rel="icon" href="data:,"><title>halfclip</title>',
  );
  writeFileSync(path.join(folder, 'site/weights.safetensors'), file);
  const root = { '/': path.join(folder, 'site'), '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)) };
  isolated = await serve({ root });
  open = await serve({
    root,
    headers: { 'Cross-Origin-Opener-Policy': undefined, 'Cross-Origin-Embedder-Policy': undefined },
  });
  browser = await launch();
  const encoder = await loadTextEncoder({ model: config, weights: file, dtype: 'int8', threads: 1 });
  expected = await encoder.embedTokens(Int32Array.from(ids));
  encoder.dispose();
});

after(async () => {
  await browser?.close();
  await isolated?.close();
  await open?.close();
  rmSync(folder, { recursive: true });
});

/** Loads and embeds in a page; what it found, and the modules that it fetched. Nothing may be logged as an error. */
async function embedIn(server, options) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  server.served.clear();
  try {
    await page.goto(server.url);
    const found = await page.evaluate(
      async ({ options, config, ids }) => {
        const { loadTextEncoder } = await import('/halfclip/index.js');
        const encoder = await loadTextEncoder({
          model: config,
          weights: '/weights.safetensors',
          dtype: 'int8',
          cache: 'no-store',
          ...options,
        });
        const [vector] = await encoder.embedTokens([Int32Array.from(ids)]);
        const again = await encoder.embedTokens(Array(20).fill(Int32Array.from(ids)));
        const { threads } = encoder.info;
        encoder.dispose();
        return { vector: [...vector], same: again.every((one) => one.every((x, i) => x === vector[i])), threads };
      },
      { options, config, ids },
    );
    assert.deepEqual(complaints, []);
    assert.deepEqual(found.vector, [...expected], 'other bits than in Node.js on one thread');
    assert.ok(found.same);
    const modules = [...server.served.keys()]
      .filter((name) => name.endsWith('.wasm'))
      .map((name) => path.basename(name));
    return { ...found, modules };
  } finally {
    await context.close();
  }
}

for (const simd of ['relaxed', 'simd128']) {
  for (const worker of [true, false]) {
    test(`an isolated page: three threads, ${simd}, ${worker ? 'in a worker' : "on the page's thread"}`, async () => {
      const { threads, modules } = await embedIn(isolated, { threads: 3, worker, simd });
      assert.equal(threads, 3);
      assert.deepEqual(modules, [`halfclip-vit-${simd}-threads.wasm`]);
    });
  }
}

test('one thread takes the module without shared memory, and a small tower with auto is one thread', async () => {
  assert.deepEqual((await embedIn(isolated, { threads: 1 })).modules, ['halfclip-vit-relaxed.wasm']);
  assert.equal((await embedIn(isolated, {})).threads, 1);
});

test('a page that is not isolated: one thread, whatever was asked for', async () => {
  for (const worker of [true, false]) {
    const { threads, modules } = await embedIn(open, { threads: 3, worker });
    assert.equal(threads, 1);
    assert.deepEqual(modules, ['halfclip-vit-relaxed.wasm']);
  }
});

test('dispose ends the workers of the threads', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    await page.goto(isolated.url);
    await page.evaluate(
      async ({ config, ids }) => {
        const { loadTextEncoder } = await import('/halfclip/index.js');
        window.encoder = await loadTextEncoder({
          model: config,
          weights: '/weights.safetensors',
          worker: false,
          threads: 4,
        });
        await window.encoder.embedTokens(Int32Array.from(ids));
      },
      { config, ids },
    );
    const settle = async (count) => {
      for (let i = 0; i < 100 && page.workers().length !== count; i++) await page.waitForTimeout(50);
      return page.workers().length;
    };
    assert.equal(await settle(3), 3);
    await page.evaluate(() => window.encoder.dispose());
    assert.equal(await settle(0), 0);
  } finally {
    await context.close();
  }
});
