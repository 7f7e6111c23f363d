// The cache of packed towers in Chromium: the origin private file system, read and written by workers and by pages.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { serve } from '../../web/cli/server.js';
import { buildSafetensors, golden, parseSafetensors, rows } from '../node/support.mjs';
import { launch, launchProfile } from './chromium.mjs';

const RESOLVER = '--host-resolver-rules=MAP halfclip.test 127.0.0.1';
const clip = golden('clip');
const ids = [...rows(clip.expected.tokens)[0]];

let folder;
let root;
let server;
let elsewhere;
let browser;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const site = path.join(folder, 'site');
  mkdirSync(site);
  writeFileSync(
    path.join(site, 'index.html'),
    '<!DOCTYPE html><link rel="icon" href="data:,"><title>halfclip</title><script type="module" src="main.js"></script>',
  );
  writeFileSync(
    path.join(site, 'main.js'),
    `
    import { loadTextEncoder } from '/halfclip/index.js';
    window.load = async ({ ids, ...options }) => {
      const encoder = await loadTextEncoder({ dtype: 'int8', ...options });
      const vector = [...await encoder.embedTokens(Int32Array.from(ids))];
      encoder.dispose();
      const { cached, fetchedBytes, fileBytes } = encoder.info;
      return { cached, fetchedBytes, fileBytes, vector };
    };
    window.files = async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('halfclip', { create: true });
      const names = [];
      for await (const name of folder.keys()) names.push(name);
      return names.sort();
    };
    window.change = async (name, change) => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('halfclip');
      const handle = await folder.getFileHandle(name, { create: true });
      const bytes = change(new Uint8Array(await (await handle.getFile()).arrayBuffer()));
      const writable = await handle.createWritable();
      await writable.write(bytes);
      await writable.close();
    };
  `,
  );
  const weights = path.join(folder, 'weights');
  mkdirSync(weights);
  copyFileSync(fileURLToPath(clip.path), path.join(weights, 'clip.safetensors'));
  root = { '/': site, '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)), '/weights/': weights };
  server = await serve({ root, hosts: ['halfclip.test'] });
  elsewhere = await serve({
    root: weights,
    headers: { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' },
  });
  browser = await launch(RESOLVER);
});

after(async () => {
  await browser?.close();
  await server?.close();
  await elsewhere?.close();
  rmSync(folder, { recursive: true });
});

const given = (options) => ({ ids, model: clip.config, weights: '/weights/clip.safetensors', ...options });
const load = (page, options) => page.evaluate((options) => load(options), given(options));
const files = (page) => page.evaluate(() => files());
const towers = async (page) => (await files(page)).filter((name) => name.endsWith('.tower'));

async function openPage(context, origin = server.url) {
  const page = await context.newPage();
  await page.goto(`${origin}/`);
  await page.waitForFunction(() => window.load);
  return page;
}

/** Runs `visit` in a fresh page with storage of its own; no policy may be violated, and nothing logged. */
async function inPage(visit, { expected = /^$/ } = {}) {
  const context = await browser.newContext();
  const complaints = [];
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expected.test(message.text()))
      complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  try {
    await visit(await openPage(context), context);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

const sent = () => server.served.get('/weights/clip.safetensors') ?? 0;

for (const worker of [true, false]) {
  const where = worker ? 'in a worker' : "on the page's thread";

  test(`a tower is found again, ${where}`, () =>
    inPage(async (page) => {
      const first = await load(page, { worker });
      const before = sent();
      const second = await load(page, { worker });
      assert.deepEqual([first.cached, second.cached], [false, true]);
      assert.deepEqual(second, { ...first, cached: true, fetchedBytes: 0 });
      assert.equal(sent(), before);
      assert.deepEqual(await load(page, { worker: !worker }), second, 'whoever wrote it');
      assert.equal((await load(page, { worker, cache: 'no-store' })).cached, false);
      assert.equal((await load(page, { worker, cache: 'reload' })).cached, false);
      assert.ok(sent() > before);
      assert.equal((await towers(page)).length, 1);
      assert.ok((await files(page)).every((name) => /^halfclip-[0-9a-f]{32}\.(tower|used)$/.test(name)));
    }));

  test(`damaged entries, ${where}`, () =>
    inPage(async (page) => {
      const { vector } = await load(page, { worker });
      const [name] = await towers(page);
      const ways = ['empty', 'cut', 'bit in the shard', 'bit in the metadata', 'page', 'longer'];
      for (const way of ways) {
        await page.evaluate(
          ([name, way]) =>
            change(name, (bytes) => {
              if (way === 'empty') return bytes.subarray(0, 0);
              if (way === 'cut') return bytes.subarray(0, bytes.length >> 1);
              if (way === 'longer') return new Uint8Array([...bytes, 0]);
              if (way === 'page') return new TextEncoder().encode('<!DOCTYPE html>'.repeat(100));
              bytes[way === 'bit in the shard' ? 30000 : bytes.length - 40] ^= 4;
              return bytes;
            }),
          [name, way],
        );
        const repaired = await load(page, { worker });
        assert.deepEqual([repaired.cached, repaired.vector], [false, vector], way);
        assert.equal((await load(page, { worker })).cached, true, way);
      }
    }));

  test(`a full disk, ${where}`, () =>
    inPage(async (page, context) => {
      const cdp = await context.newCDPSession(page);
      await cdp.send('Storage.overrideQuotaForOrigin', { origin: server.url, quotaSize: 1000 });
      for (let i = 0; i < 2; i++) assert.equal((await load(page, { worker })).cached, false);
      assert.deepEqual(await towers(page), []);
      assert.ok(
        (await files(page)).every((name) => !name.endsWith('.tmp')),
        String(await files(page)),
      );
      await cdp.send('Storage.overrideQuotaForOrigin', { origin: server.url });
      await load(page, { worker });
      assert.equal((await load(page, { worker })).cached, true);
    }));

  test(`aborts at many moments, ${where}`, () =>
    inPage(async (page) => {
      const outcomes = await page.evaluate(async (options) => {
        const outcomes = [];
        for (let i = 0; i < 16; i++) {
          const stop = new AbortController();
          setTimeout(() => stop.abort(new Error('enough')), 12 * i);
          const weights = `${options.weights}?${i}`;
          outcomes.push(
            await load({ ...options, weights, signal: stop.signal }).then(
              ({ cached }) => cached,
              ({ message }) => message,
            ),
          );
        }
        return outcomes;
      }, given({ worker }));
      assert.ok(
        outcomes.every((outcome) => outcome === 'enough' || outcome === false),
        String(outcomes),
      );
      await page.waitForFunction(async () => (await files()).every((name) => !name.endsWith('.tmp')));
      assert.equal((await load(page, { worker })).cached, false);
      assert.equal((await load(page, { worker })).cached, true);
    }));

  test(`what was not used for longest goes first, ${where}`, () =>
    inPage(async (page) => {
      const weights = (i) => `/weights/clip.safetensors?${i}`;
      for (let i = 0; i < 3; i++) await load(page, { worker, weights: weights(i) });
      const size = await page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('halfclip');
        return (await (await folder.getFileHandle((await files()).find((name) => name.endsWith('.tower')))).getFile())
          .size;
      });
      await page.waitForTimeout(20);
      assert.equal((await load(page, { worker, weights: weights(0) })).cached, true);
      await page.waitForTimeout(20);
      await load(page, { worker, weights: weights(3), cache: { maxBytes: 2.5 * size } });
      assert.equal((await towers(page)).length, 2);
      const cached = [];
      for (const i of [0, 3, 1]) cached.push((await load(page, { worker, weights: weights(i) })).cached);
      assert.deepEqual(cached, [true, true, false]);
    }));
}

test('two tabs and many workers at once', () =>
  inPage(async (page, context) => {
    const { vector } = await load(page, { cache: 'no-store' });
    const pages = [page, await openPage(context), await openPage(context)];
    for (const [round, cache] of [
      [0, 'default'],
      [1, 'default'],
      [2, 'reload'],
      [3, 'default'],
    ]) {
      const found = await Promise.all(
        pages.flatMap((page) => [true, false].map((worker) => load(page, { worker, cache }))),
      );
      for (const one of found) assert.deepEqual(one.vector, vector);
      if (round === 1)
        assert.ok(
          found.every(({ cached }) => cached),
          'several may read at once',
        );
    }
    assert.equal((await load(page)).cached, true);
    assert.equal((await towers(page)).length, 1);
    assert.ok((await files(page)).every((name) => !name.endsWith('.tmp')));
  }));

test('an entry that another tab replaces while it is read', () =>
  inPage(async (page) => {
    const options = { worker: false };
    const { vector } = await load(page, options);
    // Chromium refuses a file that has changed since it was opened.
    await page.evaluate(() => {
      const refused = () => new DOMException('changed', 'NotReadableError');
      const { arrayBuffer, stream } = Blob.prototype;
      let left = Infinity;
      window.refuseAfter = (reads) => (left = reads);
      Blob.prototype.arrayBuffer = function () {
        return this.size && left-- === 0 ? Promise.reject(refused()) : arrayBuffer.call(this);
      };
      Blob.prototype.stream = function () {
        return left === 'stream'
          ? new ReadableStream({ start: (stream) => stream.error(refused()) })
          : stream.call(this);
      };
    });
    for (const reads of [0, 1, 2, 'stream']) {
      await page.evaluate((reads) => refuseAfter(reads), reads);
      const again = await load(page, options);
      await page.evaluate(() => refuseAfter(Infinity));
      assert.deepEqual([again.cached, again.vector], [false, vector], `after ${reads}`);
      assert.equal((await load(page, options)).cached, true);
    }
  }));

test('another file at the same URL', () =>
  inPage(async (page) => {
    await load(page);
    const place = path.join(folder, 'weights', 'clip.safetensors');
    const later = Date.now() / 1000 + 60;
    utimesSync(place, later, later);
    assert.equal((await load(page)).cached, false);
    assert.equal((await load(page)).cached, true);
  }));

test("another file, of which the browser's own cache would still give the old one", async () => {
  const lasting = await serve({ root, headers: { 'Cache-Control': 'max-age=3600' } });
  const place = path.join(folder, 'weights', 'lasting.safetensors');
  const whole = readFileSync(clip.path);
  writeFileSync(place, whole);
  const context = await browser.newContext();
  try {
    const page = await openPage(context, lasting.url);
    const weights = '/weights/lasting.safetensors';
    const { vector } = await load(page, { weights });
    const { tensors } = parseSafetensors(whole);
    const { bytes, ...shape } = tensors.text_projection;
    writeFileSync(
      place,
      buildSafetensors({
        tensors: {
          ...tensors,
          text_projection: { ...shape, bytes: Buffer.concat([bytes.subarray(96), bytes.subarray(0, 96)]) },
        },
      }),
    );
    const second = await load(page, { weights });
    assert.equal(second.cached, false);
    assert.notDeepEqual(second.vector, vector);
    const third = await load(page, { weights });
    assert.deepEqual([third.cached, third.vector], [true, second.vector]);
  } finally {
    await context.close();
    await lasting.close();
  }
});

test('another host that shows no ETag, and would refuse a preflight', async () => {
  const open = await serve({ root, headers: { 'Content-Security-Policy': undefined } });
  const context = await browser.newContext();
  try {
    const page = await openPage(context, open.url);
    const weights = `${elsewhere.url}/clip.safetensors`;
    const first = await load(page, { weights });
    const second = await load(page, { weights });
    assert.deepEqual([first.cached, second.cached], [false, true]);
    assert.deepEqual(second.vector, first.vector);
  } finally {
    await context.close();
    await open.close();
  }
});

test('after the browser was closed, and offline', async () => {
  const profile = path.join(folder, 'profile');
  const start = () => launchProfile(profile, RESOLVER);
  let context = await start();
  const { vector } = await load(await openPage(context));
  await context.close();
  context = await start();
  try {
    const page = await openPage(context);
    await page.route('**/weights/**', (route) => route.abort('internetdisconnected'));
    await context.route('**/weights/**', (route) => route.abort('internetdisconnected'));
    for (const worker of [true, false]) {
      const found = await load(page, { worker });
      assert.deepEqual([found.cached, found.fetchedBytes, found.vector], [true, 0, vector]);
    }
    const failure = await load(page, { cache: 'no-store', retry: { attempts: 1 } }).catch(({ message }) => message);
    assert.match(failure, /clip\.safetensors/);
  } finally {
    await context.close();
  }
});

test('the files of others in the same folder stay', () =>
  inPage(async (page) => {
    const others = ['notes.tmp', 'bell.tower', 'halfclip.used', `halfclip-${'0'.repeat(32)}.tmp`];
    const left = `halfclip-${'0'.repeat(32)}.${'0'.repeat(36)}.tmp`;
    await page.evaluate(
      async (names) => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('halfclip', { create: true });
        await folder.getDirectoryHandle('a folder', { create: true });
        for (const name of names) await folder.getFileHandle(name, { create: true });
        const { now } = Date;
        Date.now = () => now() + 7_200_000; // two hours later
      },
      [...others, left],
    );
    for (const cached of [false, true]) assert.equal((await load(page, { worker: false })).cached, cached);
    const found = await files(page);
    for (const name of [...others, 'a folder']) assert.ok(found.includes(name), name);
    assert.ok(!found.includes(left), 'but what a writer of our own left behind goes');
    await load(page, { worker: false, cache: { maxBytes: 0 }, weights: '/weights/clip.safetensors?2' });
    assert.ok((await files(page)).includes('bell.tower'));
  }));

test('persistence is asked for only when the caller wants it', () =>
  inPage(async (page) => {
    const asked = await page.evaluate(async (options) => {
      let count = 0;
      navigator.storage.persist = async () => {
        count++;
        return false;
      };
      const counts = [];
      for (const cache of ['default', {}, { persist: false }, { persist: true }]) {
        await load({ ...options, cache });
        counts.push(count);
      }
      return counts;
    }, given());
    assert.deepEqual(asked, [0, 0, 0, 1]);
  }));

test('no folders in a page', () =>
  inPage(async (page) => {
    const failure = await load(page, { cache: { dir: '/tmp' } }).catch(({ message }) => message);
    assert.match(failure, /cache\.dir/);
  }));

test('a page that has no such file system', () =>
  inPage(async (page) => {
    await page.evaluate(
      () => (navigator.storage.getDirectory = () => Promise.reject(new DOMException('no', 'SecurityError'))),
    );
    for (let i = 0; i < 2; i++) assert.equal((await load(page, { worker: false })).cached, false);
  }));

test('a page that is not secure', async () => {
  const context = await browser.newContext();
  try {
    const page = await openPage(context, server.url.replace('127.0.0.1', 'halfclip.test'));
    assert.equal(await page.evaluate(() => isSecureContext), false);
    for (const worker of [true, false])
      for (let i = 0; i < 2; i++) assert.equal((await load(page, { worker })).cached, false);
  } finally {
    await context.close();
  }
});
