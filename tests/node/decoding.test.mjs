// How much of a file Node.js decodes: what is left out changes no pixel, or little where that is asked for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

import { loadImageEncoder } from '../../dist/index.js';
import { cosine, randomCheckpoint } from './support.mjs';

const noise = (width, height) =>
  sharp({
    create: { width, height, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma: 60 } },
  });

/** A picture's file, and its pixels after it was turned, or not. */
async function makeFile(picture, format, orientation) {
  const file = await picture.toFormat(format).withMetadata({ orientation }).toBuffer();
  const decode = async (turned) => {
    const { data, info } = await (turned ? sharp(file).rotate() : sharp(file))
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height };
  };
  return { file, stored: await decode(false), turned: await decode(true) };
}

const { config, file: weights } = randomCheckpoint({
  vision_cfg: { image_size: 32, patch_size: 16, width: 64, layers: 1 },
});

const load = (preprocess_cfg) =>
  loadImageEncoder({ model: { model_cfg: config, preprocess_cfg }, weights, cache: 'no-store' });

const SIZES = [
  [400, 300],
  [300, 400],
  [401, 77],
  [77, 401],
  [1000, 64],
  [64, 1000],
  [33, 500],
  [501, 499],
  [1999, 31],
];

for (const preprocess_cfg of [
  {},
  { interpolation: 'bilinear' },
  { interpolation: 'lanczos' },
  { resize_mode: 'squash' },
  { resize_mode: 'longest' },
]) {
  test(`the pixels are those of the whole picture: ${JSON.stringify(preprocess_cfg)}`, async () => {
    const image = await load(preprocess_cfg);
    for (const [width, height] of SIZES) {
      for (const format of width < 500 ? ['jpeg', 'webp'] : ['jpeg']) {
        for (const orientation of [1, 6]) {
          const what = `${width} x ${height}, ${format}, ${orientation}`;
          const { file, stored, turned } = await makeFile(noise(width, height), format, orientation);
          assert.deepEqual(await image.preprocess(file), await image.preprocess(turned), what);
          assert.deepEqual(
            await image.preprocess(file, { orientation: 'none' }),
            await image.preprocess(stored),
            `${what}, not turned`,
          );
        }
      }
    }
    image.dispose();
  });
}

test("decode: 'fast' reads large JPEG and WebP files otherwise, and gives nearly the same vectors", async () => {
  const image = await loadImageEncoder({ model: 'halfclip-emoji' });
  const cosines = [];
  for (const name of ['castle', 'owl', 'pizza', 'tiger']) {
    const photograph = (width, height) =>
      sharp(fileURLToPath(new URL(`../pictures/${name}.jpg`, import.meta.url))).resize(width, height, { fit: 'fill' });
    for (const format of ['jpeg', 'webp']) {
      for (const [width, height] of [
        [1200, 900],
        [700, 1001],
      ]) {
        const { file } = await makeFile(photograph(width, height), format, 6);
        assert.notDeepEqual(await image.preprocess(file, { decode: 'fast' }), await image.preprocess(file));
        cosines.push(cosine(await image.embed(file, { decode: 'fast' }), await image.embed(file)));
      }
    }
  }
  const least = Math.min(...cosines);
  assert.ok(least > 0.999, `the least cosine is ${least}`);
  const all = [];
  const { file } = await makeFile(noise(900, 900), 'jpeg', 1);
  for await (const { vector } of image.embedAll([file], { decode: 'fast' })) all.push(vector);
  assert.deepEqual(all, await image.embed([file], { decode: 'fast' }));
  image.dispose();
});

test("decode: 'fast' changes nothing where decoding less would be too little, and in formats that cannot", async () => {
  const image = await loadImageEncoder({ model: 'halfclip-emoji' });
  for (const [width, height, format] of [
    [900, 383, 'jpeg'],
    [383, 383, 'webp'],
    [1200, 900, 'png'],
  ]) {
    const { file } = await makeFile(noise(width, height), format, 1);
    assert.deepEqual(await image.preprocess(file, { decode: 'fast' }), await image.preprocess(file), format);
  }
  await assert.rejects(image.embed(new Uint8Array(3), { decode: 'quick' }), {
    code: 'input/type',
    message: /option decode is the string "quick".*"exact" or "fast"/,
  });
  image.dispose();
});
