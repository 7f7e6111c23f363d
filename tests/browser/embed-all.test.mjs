// Many pictures in Chromium: how many are held at a time, and that nothing of them is left when it is over, however it
// ends.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';

import { serve } from '../../web/cli/server.js';
import { launch } from './chromium.mjs';

const DIST = new URL('../../dist/', import.meta.url);
const AHEAD = 2; // the default, see index.d.ts

let folder;
let server;
let browser;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  mkdirSync(path.join(folder, 'site'));
  const write = (name, content) => writeFileSync(path.join(folder, 'site', name), content);
  write(
    'index.html',
    '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>halfclip</title><script type="module" src="main.js"></script>',
  );
  write('main.js', 'import * as halfclip from "/halfclip/index.js"; window.halfclip = halfclip;');
  const picture = (width, height) =>
    sharp({ create: { width, height, channels: 3, background: '#48c' } })
      .jpeg()
      .toBuffer();
  write('large.jpg', await picture(4000, 3000));
  write('small.jpg', await picture(64, 64));
  server = await serve({ root: { '/': path.join(folder, 'site'), '/halfclip/': DIST } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true });
});

/**
 * Counts the ImageBitmaps of a thread that are not closed: `bitmaps.now`, and `bitmaps.most` of them at the same time.
 */
function countBitmaps() {
  const alive = new Set();
  globalThis.bitmaps = { now: 0, most: 0, made: 0 };
  const count = () => {
    bitmaps.now = alive.size;
    bitmaps.most = Math.max(bitmaps.most, alive.size);
  };
  const create = globalThis.createImageBitmap;
  globalThis.createImageBitmap = async (...args) => {
    const bitmap = await create.apply(globalThis, args);
    alive.add(bitmap);
    bitmaps.made++;
    count();
    return bitmap;
  };
  const { close } = ImageBitmap.prototype;
  ImageBitmap.prototype.close = function () {
    alive.delete(this);
    count();
    return close.call(this);
  };
  globalThis.addEventListener(
    'message',
    ({ data }) => {
      // Those that are closed have no width.
      for (const value of data?.args ?? []) if (value instanceof ImageBitmap && value.width) alive.add(value);
      count();
    },
    true,
  );
}

/** Visits a fresh page with the package, an image encoder on one thread, and bitmaps counted. */
async function withEncoder(worker, visit) {
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    await page.addInitScript(countBitmaps);
    await page.goto(server.url);
    await page.waitForFunction(() => window.halfclip);
    await page.evaluate(async (worker) => {
      window.image = await halfclip.loadImageEncoder({ model: 'halfclip-emoji', worker });
      window.addPictures = async (name, count) => {
        const images = Array.from({ length: count }, (_, i) => Object.assign(new Image(), { src: `${name}?${i}` }));
        document.body.append(...images);
        await Promise.all(
          images.map(
            (image) => new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject })),
          ),
        );
      };
    }, worker);
    for (const thread of page.workers()) await thread.evaluate(countBitmaps);
    const bitmaps = () =>
      Promise.all([page, ...page.workers()].map((thread) => thread.evaluate(() => ({ ...globalThis.bitmaps }))));
    await visit(page, bitmaps);
  } finally {
    await context.close();
  }
}

/** Bytes that Chromium's processes below this one take, each page of memory counted once. */
function chromiumMemory() {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  let bytes = 0;
  for (const id of processes) {
    try {
      if (!/--type=renderer/.test(readFileSync(`/proc/${id}/cmdline`, 'utf8')) || !isOurs(id)) continue;
      bytes += 1024 * Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, 'utf8'))[1]);
    } catch {
      // It has ended.
    }
  }
  return bytes;
}

function isOurs(id) {
  for (let at = id; at > 1; at = /^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${at}/stat`, 'utf8'))[1])
    if (Number(at) === process.pid) return true;
  return false;
}

for (const worker of [true, false]) {
  const where = worker ? 'in a worker' : "on the page's thread";

  const count = worker ? 40 : 15;
  test(`embed([...document.images]) of ${count} pictures of 12 megapixels holds a few at a time, ${where}`, (t) =>
    withEncoder(worker, async (page, bitmaps) => {
      await page.evaluate((count) => addPictures('large.jpg', count), count);
      const before = chromiumMemory();
      let most = 0;
      const timer = setInterval(() => (most = Math.max(most, chromiumMemory() - before)), 100);
      const lengths = await page.evaluate(async () =>
        (await image.embed([...document.images])).map(({ length }) => length),
      );
      clearInterval(timer);
      assert.deepEqual(lengths, Array(count).fill(192));
      const threads = await bitmaps();
      t.diagnostic(`${Math.round(most / 1e6)} MB, ${JSON.stringify(threads)}`);
      assert.ok(threads[0].made >= count);
      for (const { now, most } of threads) {
        assert.equal(now, 0);
        assert.ok(most <= AHEAD + 1, `${most} bitmaps at the same time`);
      }
      assert.ok(most < 2e9, `${most} bytes`);
    }));

  test(`calls at the same time share that bound, ${where}`, () =>
    withEncoder(worker, async (page, bitmaps) => {
      await page.evaluate(() => addPictures('small.jpg', 40));
      await page.evaluate(() => Promise.all([...document.images].map((element) => image.embed(element))));
      for (const { now, most } of await bitmaps()) assert.deepEqual([now, most <= AHEAD + 1], [0, true]);
    }));

  test(`embedAll() over elements: errors in their place; nothing left after an end, a break, an abort, ${where}`, () =>
    withEncoder(worker, async (page, bitmaps) => {
      await page.evaluate(() => addPictures('small.jpg', 12));
      const found = await page.evaluate(async () => {
        const elements = [...document.images];
        const bad = document.createElement('video');
        const sources = [...elements.slice(0, 3), bad, 'none.png', ...elements.slice(3)];
        const result = { codes: [], same: true };
        for await (const { source, vector, error, index } of image.embedAll(sources)) {
          if (source !== sources[index]) throw new Error('not in order');
          if (error) result.codes[index] = error.code;
          else result.same &&= halfclip.cosineSimilarity(vector, await image.embed('small.jpg')) > 0.999;
        }
        for await (const { index } of image.embedAll(elements, { ahead: 5 })) if (index === 2) break;
        const controller = new AbortController();
        try {
          for await (const { index } of image.embedAll(elements, { signal: controller.signal }))
            if (index === 2) controller.abort('enough');
        } catch (error) {
          result.reason = error;
        }
        result.next = (await image.embed(elements[0])).length;
        return result;
      });
      assert.deepEqual(found, {
        codes: [undefined, undefined, undefined, 'input/decode', 'http/status'],
        same: true,
        reason: 'enough',
        next: 192,
      });
      for (const { now, most } of await bitmaps())
        assert.ok(now === 0 && most <= 6, `${now} left, ${most} at the same time`);
    }));

  test(`what the caller made is the caller's: bitmaps and frames stay open, ${where}`, () =>
    withEncoder(worker, async (page, bitmaps) => {
      const sizes = await page.evaluate(async () => {
        const bitmap = await createImageBitmap(new ImageData(8, 8));
        const canvas = new OffscreenCanvas(8, 8);
        canvas.getContext('2d').fillRect(0, 0, 8, 8);
        const frame = new VideoFrame(canvas, { timestamp: 0 });
        await image.embed([bitmap, frame, canvas, bitmap]);
        const sizes = [bitmap.width, frame.codedWidth];
        frame.close();
        return sizes;
      });
      assert.deepEqual(sizes, [8, 8]);
      const [{ now }, ...others] = await bitmaps();
      assert.equal(now, 1);
      for (const { now } of others) assert.equal(now, 0);
    }));

  test(`a canvas is read when embed() is called, whatever it shows later, ${where}`, () =>
    withEncoder(worker, async (page) => {
      const same = await page.evaluate(async () => {
        const canvas = new OffscreenCanvas(64, 64);
        const context = canvas.getContext('2d');
        const paint = (colour) => {
          context.fillStyle = colour;
          context.fillRect(0, 0, 64, 64);
        };
        const colours = ['#f00', '#0f0', '#00f', '#ff0', '#0ff', '#f0f', '#888', '#fff'];
        const expected = [];
        for (const colour of colours) {
          paint(colour);
          expected.push(await image.embed(canvas));
        }
        const calls = colours.map((colour) => {
          paint(colour);
          return image.embed(canvas);
        });
        paint('#000');
        return (await Promise.all(calls)).every((vector, i) => vector.every((x, j) => x === expected[i][j]));
      });
      assert.equal(same, true);
    }));
}
