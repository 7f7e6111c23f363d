// Picture files of every kind in Chromium: the pixels of OpenCLIP's transform over Pillow (tests/golden/pictures), the
// same as in Node.js; pictures beyond what a canvas holds; sizes that are refused before anything is decoded.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

import { loadImageEncoder } from '../../dist/index.js';
import { serve } from '../../web/cli/server.js';
import { PICTURES, SIDE, expectedPictures, plainEncoder, toBytes } from '../node/pictures.mjs';
import { cosine } from '../node/support.mjs';
import { launch } from './chromium.mjs';

const PAGE =
  '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>halfclip</title><script type="module" src="main.js"></script>';

let folder;
let browser;
let server;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const write = (name, content) => writeFileSync(path.join(folder, name), content);
  const { model, weights } = plainEncoder();
  write('index.html', PAGE);
  write('main.js', 'import * as halfclip from "/halfclip/index.js"; window.halfclip = halfclip;');
  write('config.json', JSON.stringify(model));
  write('model.safetensors', weights);
  for (const [name, width, height] of [
    ['wide.jpg', 20_000, 14_000],
    ['square.jpg', 16_500, 16_500],
  ]) {
    const ramp = Buffer.from(Array.from({ length: height }, (_, y) => Math.round((y * 255) / (height - 1))));
    const column = sharp(ramp, { raw: { width: 1, height, channels: 1 } });
    write(
      name,
      await column
        .resize(width, height, { fit: 'fill', kernel: 'nearest' })
        .toColourspace('srgb')
        .jpeg({ quality: 95 })
        .toBuffer(),
    );
  }
  server = await serve({
    root: {
      '/': folder,
      '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)),
      '/pictures/': fileURLToPath(PICTURES),
    },
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true });
});

/** What `visit` gives in a page with an encoder, `image`, on its own thread or in a worker. */
async function inPage(worker, visit, given) {
  const context = await browser.newContext({ bypassCSP: true });
  try {
    const page = await context.newPage();
    await page.goto(server.url);
    await page.waitForFunction(() => window.halfclip);
    await page.evaluate(async (worker) => {
      const model = await (await fetch('config.json')).json();
      window.image = await halfclip.loadImageEncoder({ model, weights: 'model.safetensors', worker });
      window.outcome = async (source, options) => {
        try {
          return [...(await image.preprocess(source, options))];
        } catch (error) {
          return error instanceof halfclip.HalfclipError
            ? `${error.code}: ${error.message}`
            : `raw ${error.stack ?? error}`;
        }
      };
    }, worker);
    return await page.evaluate(visit, given);
  } finally {
    await context.close();
  }
}

for (const worker of [true, false]) {
  test(`files of every kind, ${worker ? 'in a worker' : "on the page's thread"}`, async () => {
    const cases = expectedPictures();
    const found = await inPage(
      worker,
      async (names) => {
        const all = [];
        for (const name of names) {
          const url = `pictures/${name}`;
          const blob = await (await fetch(url)).blob();
          all.push([
            await outcome(url),
            await outcome(blob),
            await outcome(new Uint8Array(await blob.arrayBuffer()), { orientation: 'none' }),
          ]);
        }
        return all;
      },
      cases.map(({ name }) => name),
    );
    cases.forEach(({ name, near, pixels, unturned }, i) => {
      const expected = [pixels, pixels, unturned ?? pixels];
      found[i].forEach((outcome, j) => {
        if (near === 'refused' || near === 'sharp') {
          assert.match(String(outcome).slice(0, 300), /^input\/decode: (?!.*undefined)/, name);
        } else {
          assert.equal(typeof outcome, 'object', `${name}: ${outcome}`);
          const bytes = toBytes(outcome);
          if (near === 'exact') assert.deepEqual(bytes, expected[j], name);
          else assert.ok(cosine(bytes, expected[j]) >= 0.9999, `${name}: cosine ${cosine(bytes, expected[j])}`);
        }
      });
    });
  });
}

test('what the page shows has its pixels: an image element is turned as the page turns it, an SVG is drawn', async () => {
  const found = await inPage(true, async () => {
    const shown = async (src) => {
      const element = new Image();
      element.src = src;
      await element.decode();
      return element;
    };
    const element = await shown('pictures/jpeg-exif-6.jpg');
    return {
      element: await outcome(element),
      bitmap: await outcome(await createImageBitmap(element)),
      svg: await outcome(await shown('pictures/svg.svg')),
    };
  });
  const { pixels } = expectedPictures().find(({ name }) => name === 'jpeg-exif-6.jpg');
  assert.ok(cosine(toBytes(found.element), pixels) >= 0.9999);
  assert.ok(cosine(toBytes(found.bitmap), pixels) >= 0.9999);
  assert.equal(toBytes(found.svg).length, 3 * SIDE * SIDE);
});

test('pictures larger than any canvas: never black', async () => {
  const found = await inPage(true, async () => {
    const results = [];
    for (const url of ['wide.jpg', 'square.jpg'])
      results.push([await outcome(url), await outcome(url, { maxPixels: 3e8 })]);
    return results;
  });
  for (const [refused, pixels] of found) {
    assert.match(
      refused,
      /^input\/size: .*\d+ x \d+ pixels are \d+, expected at most 268435456: option maxPixels can raise that limit$/,
    );
    assert.equal(typeof pixels, 'object', String(pixels));
    const bytes = toBytes(pixels);
    for (let y = 0; y < SIDE; y++) {
      const expected = ((y + 0.5) / SIDE) * 255;
      for (let x = 0; x < SIDE; x++)
        assert.ok(
          Math.abs(bytes[3 * (SIDE * y + x)] - expected) < 3,
          `${bytes[3 * (SIDE * y + x)]} at ${x}, ${y}, expected ${expected}`,
        );
    }
  }
});

test('a JPEG file has the pixels of libjpeg, to the byte, whatever its colours are', async () => {
  const { model, weights } = plainEncoder();
  const here = await loadImageEncoder({ model, weights });
  const owl = (width, height) =>
    sharp(fileURLToPath(new URL('../pictures/owl.jpg', import.meta.url))).resize(width, height, { fit: 'fill' });
  const files = expectedPictures()
    .filter(({ name, near }) => name.endsWith('.jpg') && near !== 'refused')
    .map(({ name }) => [name, readFileSync(new URL(name, PICTURES))]);
  const sizes = [5, 6, 8, 13, 16, 33, 1501].flatMap((width) => [1, 2, 31, 1100].map((height) => [width, height]));
  for (const [width, height] of sizes)
    for (const chromaSubsampling of ['4:2:0', '4:4:4'])
      files.push([
        `${width}x${height} ${chromaSubsampling}`,
        await owl(width, height)
          .jpeg({ quality: 95, chromaSubsampling, progressive: width === 33 })
          .toBuffer(),
      ]);
  files.push(['in Display P3', await owl(301, 200).withIccProfile('p3').jpeg().toBuffer()]);
  files.push(['turned', await owl(301, 200).withMetadata({ orientation: 8 }).jpeg().toBuffer()]);
  for (const [i, [, bytes]] of files.entries()) writeFileSync(path.join(folder, `jpeg-${i}.jpg`), bytes);
  const found = await inPage(
    false,
    async (count) => {
      const { createImageBitmap } = globalThis;
      let bitmaps = 0;
      globalThis.createImageBitmap = (...args) => (bitmaps++, createImageBitmap(...args));
      const all = [];
      for (let i = 0; i < count; i++, bitmaps = 0) all.push([await outcome(`jpeg-${i}.jpg`), bitmaps]);
      return all;
    },
    files.length,
  );
  for (const [i, [name, bytes]] of files.entries()) {
    const [pixels, bitmaps] = found[i];
    assert.equal(typeof pixels, 'object', `${name}: ${pixels}`);
    assert.deepEqual(toBytes(pixels), toBytes(await here.preprocess(new Uint8Array(bytes))), name);
    assert.equal(bitmaps, /rgb|grey|narrow/.test(name) ? 1 : 0, `${name}: bitmaps, where planes would do`);
  }
  here.dispose();
});

test("decode: 'fast' has Chromium shrink a large JPEG file while it decodes it, also one that is turned", async () => {
  const photograph = (width, height) =>
    sharp(fileURLToPath(new URL('../pictures/owl.jpg', import.meta.url))).resize(width, height, { fit: 'fill' });
  const sizes = [
    [1200, 904],
    [601, 1999],
    [SIDE, SIDE],
  ];
  for (const [i, [width, height]] of sizes.entries())
    writeFileSync(
      path.join(folder, `fast-${i}.jpg`),
      await photograph(width, height).jpeg().withMetadata({ orientation: 6 }).toBuffer(),
    );
  const pairs = await inPage(
    true,
    async (count) => {
      const all = [];
      for (let i = 0; i < count; i++)
        all.push([await outcome(`fast-${i}.jpg`), await outcome(`fast-${i}.jpg`, { decode: 'fast' })]);
      return all;
    },
    sizes.length,
  );
  pairs.forEach(([exact, fast], i) => {
    // The middle may lie half a pixel beside it where a size is no multiple of eight.
    assert.ok(cosine(exact, fast) > (i === 1 ? 0.99 : 0.999), `picture ${i}: cosine ${cosine(exact, fast)}`);
    if (i < 2) assert.notDeepEqual(fast, exact, `picture ${i}`);
    else assert.deepEqual(fast, exact);
  });
});
