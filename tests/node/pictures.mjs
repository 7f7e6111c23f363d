// The picture files of tests/golden/pictures and what becomes of them, for the tests that read them.

import { readFileSync } from 'node:fs';

import { GOLDEN, randomCheckpoint } from './support.mjs';

export const PICTURES = new URL('pictures/', GOLDEN);
export const SIDE = 24;

const BYTES = 3 * SIDE * SIDE;

/**
 * What weights-tools/golden_pictures.py wrote: { name, near, pixels, unturned }, the last two RGB bytes [24, 24, 3].
 */
export function expectedPictures() {
  const bytes = readFileSync(new URL('pixels.bin', PICTURES));
  let at = 0;
  const take = () => Uint8Array.from(bytes.subarray(at, (at += BYTES)));
  return readFileSync(new URL('pictures.txt', PICTURES), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))
    .map((line) => {
      const [name, near, orientation] = line.split(' ');
      const pixels = near === 'refused' ? null : take();
      return { name, near, pixels, unturned: orientation === '1' ? null : take() };
    });
}

/** Options of an image encoder whose pixels are bytes divided by 255. */
export function plainEncoder() {
  const { config, file } = randomCheckpoint({ vision_cfg: { image_size: SIDE, patch_size: 8, width: 64, layers: 1 } });
  return { model: { model_cfg: config, preprocess_cfg: { mean: [0, 0, 0], std: [1, 1, 1] } }, weights: file };
}

/** Preprocessed pixels [3, 24, 24] to bytes [24, 24, 3]. */
export function toBytes(pixels) {
  const area = SIDE * SIDE;
  return Uint8Array.from({ length: BYTES }, (_, i) => Math.round(pixels[(i % 3) * area + Math.floor(i / 3)] * 255));
}
