// How fast the page says that models are which were not used yet.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { KNOWN } from '../../web/demo/models.js';
import { estimateSpeed, timeAlone } from '../../web/demo/speed.js';
import { randomCheckpoint } from './support.mjs';

test('speeds of models that were not used follow from one that was', () => {
  const all = KNOWN.map((model) => ({ ...model }));
  const [bundled, small, middle, large] = all;
  assert.equal(estimateSpeed(large, all, 'image'), undefined);
  middle.speed = { image: 390 };
  bundled.speed = { image: 10, text: 2 };
  bundled.alone = { image: 1000 };
  assert.equal(estimateSpeed(small, all, 'image'), 100);
  assert.equal(estimateSpeed(large, all, 'image'), 1800);
  assert.equal(estimateSpeed(large, all, 'text'), undefined, 'how fast words came of the bundled model says little');
  assert.equal(estimateSpeed(bundled, all, 'image'), undefined);
  assert.equal(estimateSpeed({ speed: { image: 5 } }, all, 'image'), undefined, 'one that nobody has measured');
});

test('before any of them was used they follow from the bundled one, and from how many threads there are', () => {
  const all = KNOWN.map((model) => ({ ...model }));
  const [bundled, small, , large] = all;
  bundled.alone = { image: 1.9 };
  const alone = estimateSpeed(small, all, 'image', 1);
  assert.ok(Math.abs(alone - 100) < 1e-9, `${alone}`);
  assert.equal(estimateSpeed(large, all, 'image', 1), 18 * alone);
  assert.ok(Math.abs(alone / estimateSpeed(small, all, 'image', 2) - 1.8) < 0.01);
  assert.equal(estimateSpeed(small, all, 'text', 1), undefined);
});

test('of ViT-B-32 that is about as fast as it is', async () => {
  const vision_cfg = { image_size: 224, layers: 12, width: 768, patch_size: 32 };
  const text_cfg = { context_length: 77, vocab_size: 49408, width: 512, heads: 8, layers: 12 };
  for (const [kind, load, sizes, input] of [
    ['image', loadImageEncoder, { vision_cfg }, new Float32Array(3 * 224 * 224)],
    ['text', loadTextEncoder, { text_cfg }, 'a photo of a red bicycle'],
  ]) {
    const options = { worker: false, threads: 1 };
    const bundled = await load({ model: 'halfclip-emoji', ...options });
    const { config: model, file: weights } = randomCheckpoint(sizes);
    const encoder = await load({ model, weights, dtype: 'int8', ...options });
    let least = Infinity;
    for (let time = 0; time < 4; time++) {
      const start = performance.now();
      await (kind === 'image' ? encoder.embedPixels(input) : encoder.embed(input));
      least = Math.min(least, performance.now() - start);
    }
    const [known, small] = KNOWN;
    const all = [{ ...known, alone: { [kind]: await timeAlone(kind, bundled) } }];
    const estimate = estimateSpeed(small, all, kind, 1);
    bundled.dispose();
    encoder.dispose();
    // Measured apart, on a machine that may have other work meanwhile, and in another engine than a page's.
    assert.ok(estimate > least / 2.5 && estimate < least * 2.5, `${kind}: ${estimate} ms, and it is ${least}`);
  }
});
