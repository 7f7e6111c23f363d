// From texts and pictures to what the towers get, through the package: the tokens of OpenCLIP and the pixels of PIL,
// and every way to hand them in.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { fails } from './fails.mjs';
import { GOLDEN, golden, randomCheckpoint } from './support.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
after(() => rmSync(folder, { recursive: true }));

const withText = (textCfg) => {
  const config = structuredClone(golden('real-shape').config);
  Object.assign(config.model_cfg.text_cfg, textCfg);
  return loadTextEncoder({ model: config, weights: golden('real-shape').path });
};

/** An image encoder for pictures of this size. */
function withPreprocess(preprocess_cfg, image_size = [32, 32], options = {}) {
  const { config, file } = randomCheckpoint({ vision_cfg: { image_size, patch_size: 4, width: 64, layers: 1 } });
  return loadImageEncoder({ model: { model_cfg: config, preprocess_cfg }, weights: file, ...options });
}

/**
 * The strings of tests/golden/tokens and their ids without padding, by mode of cleaning; null where OpenCLIP raises an
 * exception.
 */
function goldenTokens() {
  const file = readFileSync(new URL('tokens/full.bin', GOLDEN));
  assert.equal(file.toString('latin1', 0, 8), 'HCTOKENS');
  const count = file.readUInt32LE(16);
  const cases = [];
  for (let at = 20; cases.length < count;) {
    const length = file.readUInt16LE(at);
    const text = file.toString('utf8', at + 2, at + 2 + length);
    const valid = Buffer.from(text).equals(file.subarray(at + 2, at + 2 + length));
    at += 2 + length;
    const ids = [];
    for (let mode = 0; mode < 3; mode++) {
      const n = file[at++];
      if (n === 255) ids.push(ids.at(-1));
      else if (n === 254) ids.push(null);
      else {
        ids.push(Array.from({ length: n }, (_, i) => file.readUInt16LE(at + 2 * i)));
        at += 2 * n;
      }
    }
    if (valid) cases.push({ text, ids });
  }
  return cases;
}

test("tokens are OpenCLIP's, for each way of cleaning", async () => {
  const cases = goldenTokens();
  assert.ok(cases.length > 2000);
  for (const [mode, clean] of ['lower', 'whitespace', 'canonicalize'].entries()) {
    const text = await withText({ tokenizer_kwargs: { clean } });
    assert.equal(text.info.contextLength, 77);
    const good = cases.filter(({ ids }) => ids[mode]);
    const found = await text.tokenize(good.map(({ text }) => text));
    good.forEach(({ text, ids }, i) => {
      const expected = Int32Array.from({ length: 77 }, (_, at) => ids[mode][at] ?? 0);
      assert.deepEqual(found[i], expected, `${clean}: ${JSON.stringify(text)}`);
    });
    for (const { text: raising } of cases.filter(({ ids }) => !ids[mode])) {
      await assert.rejects(text.tokenize(raising), { code: 'input/type' });
    }
    text.dispose();
  }
});

test('a long text keeps its end token, an empty one is start and end', async () => {
  const text = await withText({});
  const ids = await text.tokenize('a photo of '.repeat(100));
  assert.equal(ids[0], 49406);
  assert.equal(ids[76], 49407);
  assert.deepEqual([...(await text.tokenize('')).slice(0, 3)], [49406, 49407, 0]);
  assert.deepEqual(await text.tokenize([]), []);
  text.dispose();
});

/** The pictures of weights-tools/golden_pixels.py. */
function formulaPicture(kind, seed, width, height, channels) {
  const data = new Uint8Array(width * height * channels);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        let v;
        if (kind === 'smooth') {
          v = (Math.floor((x * (c + 1) * 255) / width) + Math.floor((y * (4 - c) * 255) / height) + seed) & 511;
          v = v > 255 ? 511 - v : v;
        } else if (kind === 'edges') v = (((Math.floor(x / (c + 2)) ^ Math.floor(y / (c + 3))) + seed) & 1) * 255;
        else {
          v =
            (Math.imul(x, 374761393) +
              Math.imul(y, 668265263) +
              Math.imul(c, 2246822519) +
              Math.imul(seed, 3266489917)) >>>
            0;
          v = Math.imul(v ^ (v >>> 13), 1274126177) >>> 0;
          v ^= v >>> 16;
          if (c === 3 && kind === 'opaque') v = 255;
        }
        data[at++] = v;
      }
    }
  }
  return { data, width, height };
}

/** The bytes behind preprocessed pixels with mean 0 and standard deviation 1: [3, H, W] to [H, W, 3]. */
function toBytes(pixels, area) {
  return Uint8Array.from({ length: 3 * area }, (_, i) => Math.round(pixels[(i % 3) * area + Math.floor(i / 3)] * 255));
}

const PLAIN = { mean: [0, 0, 0], std: [1, 1, 1] };

test("pixels are PIL's, byte for byte", async () => {
  const lines = readFileSync(new URL('pixels/pixels.txt', GOLDEN), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  assert.ok(lines.length >= 8);
  for (const line of lines) {
    const [kind, seed, width, height, channels, targetHeight, targetWidth, mode, filter, fill, hex] = line.split(' ');
    const size = [Number(targetHeight), Number(targetWidth)];
    const image = await withPreprocess(
      { ...PLAIN, resize_mode: mode, interpolation: filter, fill_color: Number(fill) },
      size,
    );
    const pixels = await image.preprocess(
      formulaPicture(kind, Number(seed), Number(width), Number(height), Number(channels)),
    );
    assert.equal(Buffer.from(toBytes(pixels, size[0] * size[1])).toString('hex'), hex, line.slice(0, 60));
    image.dispose();
  }
});

test('a picture of 20,000 pixels a side, and one pixel', async () => {
  const image = await withPreprocess({});
  const before = image.info.memoryBytes;
  const wide = await image.preprocess({ data: new Uint8Array(20000 * 500 * 3).fill(255), width: 20000, height: 500 });
  assert.ok(wide.slice(0, 1024).every((x) => Math.abs(x - (1 - 0.48145466) / 0.26862954) < 1e-5));
  assert.equal((await image.embed({ data: new Uint8Array([9, 9, 9, 0]), width: 1, height: 1 })).length, 16);
  assert.ok(image.info.memoryBytes < before + (2 << 20), 'a large picture leaves the encoder as small as it was');
  image.dispose();
});

test('every kind of source gives the same pixels', async () => {
  const image = await withPreprocess(PLAIN);
  const raw = formulaPicture('noise', 3, 57, 41, 4);
  const expected = await image.preprocess(raw);
  const png = await sharp(raw.data, { raw: { width: 57, height: 41, channels: 4 } })
    .png()
    .toBuffer();
  const where = path.join(folder, 'a b.png');
  writeFileSync(where, png);
  const sources = {
    Uint8ClampedArray: { ...raw, data: new Uint8ClampedArray(raw.data) },
    'a path': where,
    'a file URL': pathToFileURL(where),
    'the text of a file URL': pathToFileURL(where).href,
    'a data URL': `data:image/png;base64,${png.toString('base64')}`,
    'a Blob': new Blob([png]),
    'a File': new File([png], 'a.png'),
    'a Buffer': png,
    'an ArrayBuffer': Uint8Array.from(png).buffer,
  };
  for (const [name, source] of Object.entries(sources))
    assert.deepEqual(await image.preprocess(source), expected, name);
  assert.deepEqual(
    await image.preprocess(Object.values(sources)),
    Object.values(sources).map(() => expected),
  );
  image.dispose();
});

test('a data: URL in base64 is decoded without fetch, which takes long for it, unless one is given', async () => {
  const raw = formulaPicture('noise', 3, 570, 410, 3);
  const png = await sharp(raw.data, { raw: { width: 570, height: 410, channels: 3 } })
    .png()
    .toBuffer();
  const url = `data:image/png;base64,${png.toString('base64')}`;
  const asked = [];
  const counting = (...args) => {
    asked.push(args[0]);
    return fetch(...args);
  };
  const image = await withPreprocess(PLAIN);
  const other = await withPreprocess(PLAIN, undefined, { fetch: counting, limits: { picture: png.length } });
  const own = globalThis.fetch;
  globalThis.fetch = undefined;
  const pixels = await image.preprocess(url).finally(() => (globalThis.fetch = own));
  assert.deepEqual(pixels, await image.preprocess(raw));
  assert.deepEqual(await other.preprocess(url), pixels);
  assert.deepEqual(asked, [url]);
  const narrow = await withPreprocess(PLAIN, undefined, { limits: { picture: png.length - 1 } });
  await fails(narrow.preprocess(url), 'input/size', /data:image.*more than/);
  for (const each of [image, other, narrow]) each.dispose();
});

test('colours under transparent pixels are kept, as PIL keeps them', async () => {
  const image = await withPreprocess(PLAIN, [16, 16]);
  const rgb = formulaPicture('noise', 5, 16, 16, 3);
  const rgba = new Uint8Array(16 * 16 * 4); // alpha 0
  for (let i = 0; i < 256; i++) rgba.set(rgb.data.subarray(3 * i, 3 * i + 3), 4 * i);
  const png = await sharp(rgba, { raw: { width: 16, height: 16, channels: 4 } })
    .png()
    .toBuffer();
  assert.deepEqual(toBytes(await image.preprocess(png), 256), rgb.data);
  image.dispose();
});

test('grey, palette and 16-bit pictures, and EXIF orientation', async () => {
  const image = await withPreprocess(PLAIN, [16, 16]);
  const grey = formulaPicture('smooth', 1, 16, 16, 1);
  const spread = Uint8Array.from({ length: 768 }, (_, i) => grey.data[Math.floor(i / 3)]);
  const raw = { raw: { width: 16, height: 16, channels: 1 } };
  assert.deepEqual(
    toBytes(await image.preprocess(await sharp(grey.data, raw).toColourspace('b-w').png().toBuffer()), 256),
    spread,
  );
  const twoColours = Uint8Array.from({ length: 768 }, (_, i) => (Math.floor(i / 3) % 5 ? 30 : 200));
  const palette = await sharp(twoColours, { raw: { width: 16, height: 16, channels: 3 } })
    .png({ palette: true })
    .toBuffer();
  assert.deepEqual(toBytes(await image.preprocess(palette), 256), twoColours);

  const rgb = formulaPicture('smooth', 9, 16, 16, 3);
  const turned = Uint8Array.from({ length: 768 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % 16, Math.floor(i / 48), i % 3];
    return rgb.data[((15 - x) * 16 + y) * 3 + c]; // a quarter clockwise
  });
  const photo = await sharp(rgb.data, { raw: { width: 16, height: 16, channels: 3 } })
    .withMetadata({ orientation: 6 })
    .png()
    .toBuffer();
  assert.deepEqual(toBytes(await image.preprocess(photo), 256), turned);
  image.dispose();
});
