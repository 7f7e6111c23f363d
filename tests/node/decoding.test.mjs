// How much of a file Node.js decodes: what is left out changes no pixel.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';

import { loadImageEncoder } from '../../dist/index.js';
import { randomCheckpoint } from './support.mjs';

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
