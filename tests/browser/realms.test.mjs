// Chromium: objects of a frame's realm, pictures that may be shown but not read, memory that is shared or gone, and
// encoders inside workers of every kind.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

import { serve } from '../../web/cli/server.js';
import { randomCheckpoint } from '../node/support.mjs';
import { launch } from './chromium.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const PAGE = '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>halfclip</title>';
const CONSENT = { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' };

let folder;
let browser;
let server;
let stranger; // shows its pictures, and lets nobody read them
let friend;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const write = (name, content) => writeFileSync(path.join(folder, name), content);
  write('index.html', `${PAGE}<script type="module" src="main.js"></script>`);
  write('frame.html', `${PAGE}<img id="image" src="picture.png"><canvas id="canvas" width="32" height="32"></canvas>`);
  write('main.js', 'import * as halfclip from "/halfclip/index.js"; window.halfclip = halfclip;');
  const pixels = Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => i * 5);
  write(
    'picture.png',
    await sharp(pixels, { raw: { width: 32, height: 32, channels: 3 } })
      .png()
      .toBuffer(),
  );
  const { config, file } = randomCheckpoint({
    vision_cfg: { image_size: 32, patch_size: 8, width: 64, layers: 1 },
    text_cfg: { context_length: 8, vocab_size: 64, width: 64, heads: 1, layers: 1 },
  });
  write('model.safetensors', file);
  write('config.json', JSON.stringify({ model_cfg: config, preprocess_cfg: { mean: [0, 0, 0], std: [1, 1, 1] } }));
  server = await serve({ root: { '/': folder, '/halfclip/': DIST } });
  stranger = await serve({ root: folder, headers: { 'Cross-Origin-Resource-Policy': 'cross-origin' } });
  friend = await serve({ root: folder, headers: CONSENT });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await Promise.all([server, stranger, friend].map((server) => server?.close()));
  rmSync(folder, { recursive: true });
});

/** What `visit` gives in a fresh page with the package and the tools below. */
async function inPage(visit, given) {
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  try {
    await page.goto(server.url);
    await page.waitForFunction(() => window.halfclip);
    await page.evaluate(() => {
      window.load = async (kind, options) => {
        const model = await (await fetch('config.json')).json();
        return halfclip[kind]({ model, weights: 'model.safetensors', ...options });
      };
      window.failure = (promise) =>
        promise.then(
          () => 'it worked',
          (error) =>
            error instanceof halfclip.HalfclipError ? `${error.code}: ${error.message}` : `raw ${error.stack ?? error}`,
        );
      window.frame = async () => {
        const frame = Object.assign(document.createElement('iframe'), { src: 'frame.html' });
        await new Promise((resolve) => {
          frame.onload = resolve;
          document.body.append(frame);
        });
        return frame.contentWindow;
      };
      window.image = (src, attributes) =>
        new Promise((resolve, reject) => {
          const image = Object.assign(new Image(), { ...attributes, onload: () => resolve(image), onerror: reject });
          image.src = src;
        });
    });
    return await page.evaluate(visit, given);
  } finally {
    await context.close();
  }
}

for (const worker of [true, false]) {
  const where = worker ? 'in a worker' : "on the page's thread";

  test(`everything from a frame, ${where}`, async () => {
    const { pictures, others } = await inPage(async (worker) => {
      const there = await frame();
      const { document: page } = there;
      const picture = await there.fetch('picture.png');
      const blob = await picture.blob();
      const buffer = await blob.arrayBuffer();
      const element = page.getElementById('image');
      const canvas = page.getElementById('canvas');
      const context = canvas.getContext('2d');
      context.drawImage(element, 0, 0);
      const offscreen = new there.OffscreenCanvas(32, 32);
      offscreen.getContext('2d').drawImage(element, 0, 0);
      const weights = await (await there.fetch('model.safetensors')).arrayBuffer();
      const signal = new there.AbortController().signal;
      const options = { worker, signal };
      const encoder = await load('loadImageEncoder', options);
      const sources = {
        url: new there.URL('picture.png', page.baseURI),
        blob,
        file: new there.File([blob], 'a.png'),
        buffer,
        bytes: new there.Uint8Array(buffer),
        element,
        canvas,
        offscreen,
        imageData: context.getImageData(0, 0, 32, 32),
        bitmap: await there.createImageBitmap(element),
        frame: new there.VideoFrame(canvas, { timestamp: 0 }),
        raw: {
          ...new there.Object(),
          data: new there.Uint8ClampedArray(context.getImageData(0, 0, 32, 32).data),
          width: 32,
          height: 32,
        },
      };
      const expected = [...(await encoder.preprocess('picture.png'))];
      const same = async (source) =>
        JSON.stringify([...(await encoder.preprocess(source, there.Object.assign(new there.Object(), { signal })))]) ===
        JSON.stringify(expected);
      const pictures = {};
      for (const [name, source] of Object.entries(sources)) pictures[name] = await same(source).catch(String);
      pictures.all = (await encoder.embed(there.Array.from(Object.values(sources)))).length;
      const vector = await encoder.embedPixels(new there.Float32Array(expected));
      const others = {};
      for (const [name, given] of Object.entries({
        weights,
        view: new there.Uint8Array(weights),
        blob: new there.Blob([weights]),
        url: new there.URL('model.safetensors', page.baseURI),
      })) {
        const other = await load('loadImageEncoder', { ...options, weights: given });
        others[name] =
          halfclip.cosineSimilarity(await other.embedPixels(new Float32Array(expected)), vector) > 0.999999;
        other.dispose();
      }
      const text = await load('loadTextEncoder', options);
      others.ids = (await text.embedTokens(there.Array.of(new there.Int32Array(8), new Int32Array(8)))).length;
      const controller = new there.AbortController();
      const reason = new there.Error('enough');
      const running = text.embedTokens(Array(20000).fill(new Int32Array(8)), { signal: controller.signal });
      setTimeout(() => controller.abort(reason), 5);
      others.aborted = await running.catch((error) => error === reason);
      return { pictures, others };
    }, worker);
    const { all, ...each } = pictures;
    for (const [name, same] of Object.entries(each)) assert.equal(same, true, name);
    assert.equal(all, 12);
    assert.deepEqual(others, { weights: true, view: true, blob: true, url: true, ids: 2, aborted: true });
  });

  test(`pictures of another host, ${where}`, async () => {
    const { refused, taken } = await inPage(
      async ({ worker, stranger, friend }) => {
        const encoder = await load('loadImageEncoder', { worker });
        const tainted = await image(`${stranger}/picture.png`);
        const canvas = Object.assign(document.createElement('canvas'), { width: 32, height: 32 });
        canvas.getContext('2d').drawImage(tainted, 0, 0);
        const offscreen = new OffscreenCanvas(32, 32);
        offscreen.getContext('2d').drawImage(tainted, 0, 0);
        const refused = {};
        for (const [name, source] of Object.entries({
          image: tainted,
          canvas,
          offscreen,
          bitmap: await createImageBitmap(tainted),
          'bitmap of a canvas': await createImageBitmap(canvas),
        })) {
          refused[name] = await failure(encoder.embed([source]));
        }
        const open = await image(`${friend}/picture.png`, { crossOrigin: 'anonymous' });
        const taken = (await encoder.embed([open, await createImageBitmap(open), 'picture.png'])).map((vector) =>
          [...vector].join(),
        );
        return { refused, taken: new Set(taken).size };
      },
      { worker, stranger: stranger.url, friend: friend.url },
    );
    for (const [name, message] of Object.entries(refused))
      assert.match(message, /^input\/decode: input 0: .*crossorigin="anonymous".*Access-Control-Allow-Origin/, name);
    assert.equal(taken, 1);
  });

  test(`what is closed, transferred, shared or broken, ${where}`, async () => {
    const found = await inPage(async (worker) => {
      const encoder = await load('loadImageEncoder', { worker });
      const bitmap = await createImageBitmap(new ImageData(4, 4));
      bitmap.close();
      const drawn = new OffscreenCanvas(4, 4);
      drawn.getContext('2d').fillRect(0, 0, 4, 4);
      const frame = new VideoFrame(drawn, { timestamp: 0 });
      frame.close();
      const moved = await createImageBitmap(new ImageData(4, 4));
      new MessageChannel().port1.postMessage(moved, [moved]);
      const gone = await (await fetch('picture.png')).arrayBuffer();
      structuredClone(gone, { transfer: [gone] });
      const empty = Object.assign(document.createElement('canvas'), { width: 0 });
      const broken = new Image();
      broken.src = 'config.json';
      const result = {};
      const fakes = { [Symbol.toStringTag]: 'ImageBitmap' };
      const sources = {
        bitmap,
        frame,
        moved,
        gone,
        empty,
        broken,
        unset: new Image(),
        fakes,
        'a fake Blob': { [Symbol.toStringTag]: 'Blob' },
        'a fake image': { [Symbol.toStringTag]: 'HTMLImageElement' },
      };
      for (const [name, source] of Object.entries(sources)) result[name] = await failure(encoder.embed(source));
      const elements = {
        svg: document.createElementNS('http://www.w3.org/2000/svg', 'image'),
        window,
        document,
        response: new Response('a'),
        list: document.images,
      };
      for (const [name, source] of Object.entries(elements)) result[name] = await failure(encoder.embed(source));
      result.works = (await encoder.embed(new ImageData(4, 4))).length;
      return result;
    }, worker);
    const { works, ...failures } = found;
    for (const [name, message] of Object.entries(failures))
      assert.match(message, /^input\/(type|decode|size): the input\b/, name);
    assert.match(failures.gone, /detached/);
    assert.equal(works, 16);
  });
}
