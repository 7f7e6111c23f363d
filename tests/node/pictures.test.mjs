// Picture files of every kind against OpenCLIP's transform over Pillow (tests/golden/pictures, made by
// weights-tools/golden_pictures.py), with sharp and without it; orientation, sizes, and files that ask for more memory
// than they deserve.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';

import { loadImageEncoder } from '../../dist/node.js';
import { PICTURES, SIDE, expectedPictures, plainEncoder, toBytes } from './pictures.mjs';
import { GOLDEN, cosine } from './support.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

let image;
before(async () => {
  image = await loadImageEncoder(plainEncoder());
});
after(() => image.dispose());

const fileOf = (name) => fileURLToPath(new URL(name, PICTURES));

for (const { name, near, pixels, unturned } of expectedPictures()) {
  test(`${name}: ${near}`, async () => {
    if (near === 'refused') {
      await assert.rejects(
        image.preprocess(fileOf(name)),
        (error) => error.code === 'input/decode' && error.message.startsWith(fileOf(name)),
      );
      return;
    }
    const compare = (found, expected) => {
      const bytes = toBytes(found);
      if (near === 'exact') assert.deepEqual(bytes, expected);
      else assert.ok(cosine(bytes, expected) >= 0.9999, `cosine ${cosine(bytes, expected)}`);
    };
    compare(await image.preprocess(fileOf(name)), pixels);
    compare(await image.preprocess(readFileSync(fileOf(name)), { orientation: 'exif' }), pixels);
    if (unturned) compare(await image.preprocess(fileOf(name), { orientation: 'none' }), unturned);
  });
}

test('without sharp the same, but for what only sharp decodes, which says so', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  try {
    for (const file of ['node.js', 'halfclip-vit-relaxed.wasm', 'halfclip-vit-simd128.wasm'])
      copyFileSync(path.join(DIST, file), path.join(folder, file));
    writeFileSync(
      path.join(folder, 'program.mjs'),
      `
      import { loadImageEncoder } from './node.js';
      const { model, weights, files } = JSON.parse((await import('node:fs')).readFileSync('input.json', 'utf8'));
      const image = await loadImageEncoder({ model, weights: Uint8Array.from(weights), threads: 1 });
      const found = {};
      for (const [name, file] of files) {
        try {
          found[name] = [...await image.preprocess(file)].map((x) => Math.round(x * 255));
        } catch (error) {
          found[name] = error.code + ': ' + error.message;
        }
      }
      console.log(JSON.stringify(found));
    `,
    );
    const { model, weights } = plainEncoder();
    const cases = expectedPictures();
    writeFileSync(
      path.join(folder, 'input.json'),
      JSON.stringify({ model, weights: [...weights], files: cases.map(({ name }) => [name, fileOf(name)]) }),
    );
    const found = JSON.parse(
      execFileSync(process.execPath, ['program.mjs'], { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 28 }),
    );
    for (const { name, near, pixels } of cases) {
      if (near === 'exact') assert.deepEqual(toBytes(found[name].map((byte) => byte / 255)), pixels, name);
      else
        assert.match(
          found[name],
          near === 'refused' ? /^input\/decode: / : /^input\/decode: .* needs the package sharp: npm install sharp$/,
          name,
        );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('orientation and maxPixels are options with values, of pictures only', async () => {
  const file = fileOf('png-exif-6.png');
  await assert.rejects(image.embed(file, { orientation: 'exiff' }), {
    code: 'input/type',
    message: /option orientation is .*, expected "exif" or "none"/,
  });
  await assert.rejects(image.preprocess(file, { maxPixels: 0 }), { code: 'input/type', message: /option maxPixels/ });
  const [turned, unturned] = [await image.embed(file), await image.embed(file, { orientation: 'none' })];
  assert.notDeepEqual(turned, unturned);
  for await (const { vector } of image.embedAll([file], { orientation: 'none' })) assert.deepEqual(vector, unturned);
});

test('a picture of more pixels than maxPixels is refused before it is decoded, whatever its format', async () => {
  for (const name of [
    'jpeg-444.jpg',
    'png-2-8.png',
    'gif-flat.gif',
    'bmp-8.bmp',
    'webp.webp',
    'avif.avif',
    'tiff.tiff',
  ]) {
    await assert.rejects(
      image.preprocess(fileOf(name), { maxPixels: 1000 }),
      {
        code: 'input/size',
        message: /: \d+ x \d+ pixels are \d+, expected at most 1000: option maxPixels can raise that limit$/,
      },
      name,
    );
  }
  for await (const { error } of image.embedAll([fileOf('png-2-8.png')], { maxPixels: 1000 }))
    assert.equal(error.code, 'input/size');
});

/**
 * A PNG file of any size in one colour, a few kilobytes for a gigabyte of pixels; and its rows, where `rows` is given,
 * as they are.
 */
function largePng(width, height, { depth, colour, rows }) {
  const chunk = (type, body) => {
    const out = Buffer.alloc(12 + body.length);
    out.writeUInt32BE(body.length, 0);
    out.write(type, 4, 'latin1');
    body.copy(out, 8);
    out.writeUInt32BE(crc32(out.subarray(4, 8 + body.length)), 8 + body.length);
    return out;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour], 8);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

test('bombs: sizes come first, and what is read takes rows, not pictures', async () => {
  const bits = largePng(19_000, 14_000, {
    depth: 1,
    colour: 0,
    rows: Buffer.alloc(14_000 * (1 + 19_000 / 8), 255)
      .fill(0, 0, 1)
      .map((byte, i) => (i % (1 + 19_000 / 8) ? byte : 0)),
  });
  assert.ok(bits.length < 100_000);
  const before = process.memoryUsage().rss;
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5);
  assert.ok(toBytes(await image.preprocess(bits)).every((byte) => byte === 255));
  clearInterval(watch);
  assert.ok(most - before < 100e6, `${most - before} bytes`);
  const huge = largePng(20_000, 20_000, { depth: 1, colour: 0, rows: Buffer.alloc(10) });
  await assert.rejects(image.preprocess(huge), {
    code: 'input/size',
    message: /20000 x 20000 pixels are 400000000, expected at most 268435456: option maxPixels/,
  });
  await assert.rejects(image.preprocess(huge, { maxPixels: 4e8 }), { code: 'input/decode', message: /ends too early/ });
  await assert.rejects(image.preprocess(largePng(20_001, 1, { depth: 1, colour: 0, rows: Buffer.alloc(10) })), {
    code: 'input/size',
    message: /20001 x 1 pixels, expected 1 to 20000/,
  });
  const svg = new TextEncoder().encode(
    '<svg xmlns="http://www.w3.org/2000/svg" width="20000" height="20000"><rect width="9" height="9"/></svg>',
  );
  await assert.rejects(image.preprocess(svg), { code: 'input/decode', message: /SVG has no pixels of its own/ });
});

test('20,000 x 14,000 pixels: a JPEG and a PNG file have the pixels of their gradient', async () => {
  const [width, height] = [20_000, 14_000];
  const column = sharp(Buffer.from(Array.from({ length: height }, (_, y) => Math.round((y * 255) / (height - 1)))), {
    raw: { width: 1, height, channels: 1 },
  });
  const wide = column.resize(width, height, { fit: 'fill', kernel: 'nearest' }).toColourspace('srgb');
  for (const file of [
    await wide.clone().jpeg({ quality: 95 }).toBuffer(),
    await wide.clone().png({ compressionLevel: 1 }).toBuffer(),
  ]) {
    const bytes = toBytes(await image.preprocess(file, { maxPixels: 3e8 }));
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

test('an abort is noticed while a picture is read', async () => {
  const rows = Buffer.alloc(14_000 * (1 + 3 * 15_000));
  const file = largePng(15_000, 14_000, { depth: 8, colour: 2, rows });
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 100);
  const begin = performance.now();
  await assert.rejects(image.preprocess(file, { signal: abort.signal }), { name: 'AbortError' });
  assert.ok(performance.now() - begin < 1000);
  assert.equal((await image.preprocess(fileOf('png-2-8.png'))).length, 3 * SIDE * SIDE);
});

test('the golden folder and its list agree', () => {
  assert.ok(expectedPictures().length > 120);
  assert.ok(expectedPictures().every(({ name }) => readFileSync(fileOf(name)) && GOLDEN));
});
