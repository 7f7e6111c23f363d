// A load that is cut off by closing its page goes on later where it was; of two tabs neither harms the other.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { serve } from '../../web/cli/server.js';
import { FaultServer, inMemory } from '../node/fault-server.mjs';
import { randomCheckpoint } from '../node/support.mjs';
import { launch } from './engine.mjs';

const { config, file } = randomCheckpoint({
  text_cfg: { context_length: 8, vocab_size: 40000, width: 64, heads: 1, layers: 1 },
}); // five megabytes
const ids = Array.from({ length: 8 }, (_, i) => 39000 + i);
const headers = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };
const MORE = 2 ** 18 + 1000; // bytes: the first request always comes

let folder;
let site;
let files;
let browser;
let expected;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  writeFileSync(
    path.join(folder, 'index.html'),
    '<!DOCTYPE html><link rel="icon" href="data:,"><title>halfclip</title><script type="module" src="main.js"></script>',
  );
  writeFileSync(
    path.join(folder, 'main.js'),
    `
    import { keptTowers, loadTextEncoder, removeKeptTowers } from '/halfclip/index.js';
    window.loaded = 0;
    window.load = async ({ ids, ...options }) => {
      const onProgress = ({ loaded }) => (window.loaded = loaded);
      const encoder = await loadTextEncoder({ dtype: 'fp16', onProgress, ...options });
      const vector = [...await encoder.embedTokens(Int32Array.from(ids))];
      encoder.dispose();
      return { vector, ...encoder.info };
    };
    window.kept = () => keptTowers();
    window.cutOffAndRemove = async (options) => {
      const abort = new AbortController();
      const onProgress = ({ loaded }) => loaded > 3e6 && abort.abort();
      await loadTextEncoder({ dtype: 'fp16', ...options, onProgress, signal: abort.signal }).catch(() => {});
      const removed = await removeKeptTowers('all');
      return { removed: removed.length, left: await keptTowers() };
    };
  `,
  );
  files = await FaultServer.start({});
  site = await serve({
    root: { '/': folder, '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)) },
    connect: [new URL(files.base).origin],
  });
  browser = await launch();
  files.files = { '/clip.safetensors': inMemory(file) };
  files.fault = () => ({ headers });
  await inContext(async (context) => {
    ({ vector: expected } = await load(await openPage(context), { cache: 'no-store' }));
  });
});

beforeEach(() => {
  files.reset();
  files.files = { '/clip.safetensors': inMemory(file) };
  files.fault = () => ({ headers, chunk: 1 << 16, pause: 5 });
});

after(async () => {
  await browser?.close();
  await site?.close();
  await files?.close();
  rmSync(folder, { recursive: true });
});

async function openPage(context) {
  const page = await context.newPage();
  await page.goto(`${site.url}/`);
  await page.waitForFunction(() => window.load);
  return page;
}

async function inContext(visit) {
  const context = await browser.newContext();
  try {
    await visit(context);
  } finally {
    await context.close();
  }
}

const load = (page, options) =>
  page.evaluate((options) => load(options), {
    ids,
    model: config,
    weights: `${files.base}/clip.safetensors`,
    ...options,
  });
const kept = (page) => page.evaluate(() => kept());
const came = (page, bytes) => page.waitForFunction((bytes) => window.loaded > bytes, bytes);

function sent() {
  const sum = files.requests.reduce((sum, { sent }) => sum + sent, 0);
  files.requests = [];
  return sum;
}

test('after its page was closed a load goes on where it was', () =>
  inContext(async (context) => {
    const first = await openPage(context);
    load(first).catch(() => {}); // which is cut off
    await came(first, 3e6);
    await first.close();
    const page = await openPage(context);
    const [part, ...others] = await kept(page);
    assert.deepEqual(others, []);
    assert.deepEqual([part.stored, part.tower, part.fileBytes], [null, 'text', file.length]);
    assert.ok(part.fetchedBytes > 1.9e6, `${part.fetchedBytes}`);
    sent();
    const { vector, cached } = await load(page);
    assert.equal(cached, false);
    assert.deepEqual(vector, expected);
    const rest = sent();
    assert.ok(rest <= file.length - part.fetchedBytes + MORE, `${rest} sent, ${part.fetchedBytes} kept`);
    assert.deepEqual(
      (await kept(page)).map(({ dtype }) => dtype),
      ['fp16'],
    );
  }));

test('once a load was aborted what it kept can be removed at once', () =>
  inContext(async (context) => {
    const page = await openPage(context);
    for (let time = 1; time <= 3; time++)
      assert.deepEqual(
        await page.evaluate((options) => cutOffAndRemove(options), {
          model: config,
          weights: `${files.base}/clip.safetensors`,
        }),
        { removed: 1, left: [] },
      );
  }));

test('of two tabs that load the same one may be closed', () =>
  inContext(async (context) => {
    const [first, second] = [await openPage(context), await openPage(context)];
    const loads = [load(first).catch(() => null), load(second)];
    await came(first, 2e6);
    await first.close();
    assert.deepEqual((await loads[1]).vector, expected);
    assert.deepEqual((await load(second)).vector, expected);
    assert.ok((await kept(second)).some(({ stored }) => stored));
  }));

test("on the page's own thread nothing is kept in part, and nothing goes wrong", () =>
  inContext(async (context) => {
    const page = await openPage(context);
    load(page, { worker: false }).catch(() => {});
    await came(page, 2e6);
    await page.reload();
    await page.waitForFunction(() => window.load);
    assert.deepEqual(await kept(page), []);
    assert.deepEqual((await load(page, { worker: false })).vector, expected);
  }));
