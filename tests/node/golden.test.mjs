// Every golden tower through the package, both WebAssembly flavours where the engine has them, against OpenCLIP's
// numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { detectSimd } from '../../web/wasm/simd.js';
import { ADVICE, cases, digest, embedGolden, readDigests } from '../digests.mjs';
import { cosine, distance, golden, medianDistance, rows, videoNames } from './support.mjs';

const FLAVOURS = detectSimd() === 'relaxed' ? ['relaxed', 'simd128'] : ['simd128'];

test('there are golden towers of both kinds', () => {
  assert.ok(cases.filter(({ tower }) => tower === 'image').length >= 20);
  assert.ok(cases.filter(({ tower }) => tower === 'text').length >= 20);
});

// What is allowed: the smallest cosine, the largest distance as a share of the median distance between OpenCLIP's
// vectors. The towers here are tiny and random, so that rounding shows far more than in a trained one; the bounds for
// int8 only tell right from wrong.
const BOUNDS = { fp32: [0.99999, 0.005], fp16: [0.9999, 0.01], int8: [0.93, 0.5] };

// A few channels behind ReLU lose more to narrow numbers, by the rounding itself: torch with the same loses as much.
const NOISY = { fp16: [0.9999, 0.02], int8: [0.69, 4.1] };
const isNoisy = (name, tower) => tower === 'image' && /^resnet-(plain|odd-widths|openai|module-prefix)$/.test(name);

for (const simd of FLAVOURS) {
  for (const [dtype, bounds] of Object.entries(BOUNDS)) {
    test(`${simd}, ${dtype}: ${cases.length} towers agree with OpenCLIP`, async () => {
      for (const { data, tower, expected } of cases) {
        const vectors = await embedGolden(data, tower, { dtype, simd });
        assert.equal(vectors.length, expected.length);
        const [leastCosine, largestShare] = (isNoisy(data.name, tower) && NOISY[dtype]) || bounds;
        const median = medianDistance(expected);
        assert.ok(median > 0.01, `${data.name} ${tower}: the golden vectors differ from each other`);
        expected.forEach((vector, i) => {
          const near = cosine(vectors[i], vector);
          const share = distance(vectors[i], vector) / median;
          assert.ok(
            near >= leastCosine && share <= largestShare,
            `${data.name} ${tower} ${i}: cosine ${near}, distance ${share} of the median`,
          );
        });
      }
    });
  }
}

// Relaxed SIMD multiplies and adds floating-point numbers in one step or in two, as the machine likes.
const SAME_BITS = { simd128: ['fp32', 'fp16', 'int8', 'int4'], relaxed: ['int8', 'int4'] };

for (const simd of FLAVOURS) {
  for (const dtype of SAME_BITS[simd]) {
    test(`${simd}, ${dtype}: the same bits as ever`, async () => {
      const digests = readDigests();
      for (const { data, tower } of cases) {
        const name = `${data.name} ${tower}`;
        assert.equal(
          digest(await embedGolden(data, tower, { dtype, simd })),
          digests[name]?.[dtype],
          `${name}, tests/golden/digests.json: ${ADVICE}`,
        );
      }
    });
  }
}

test('there are digests of golden towers only', () => {
  const towers = cases.map(({ data, tower }) => `${data.name} ${tower}`);
  const videos = videoNames.map((name) => `${name} video`);
  assert.deepEqual(Object.keys(readDigests()), [...towers, ...videos].sort(), ADVICE);
});

test(
  'int8 is the same to the last bit whichever instructions multiply',
  { skip: FLAVOURS.length < 2 && 'this engine has no choice' },
  async () => {
    for (const { data, tower } of cases) {
      const [a, b] = [
        await embedGolden(data, tower, { dtype: 'int8', dot: 'pairs' }),
        await embedGolden(data, tower, { dtype: 'int8', dot: 'quads' }),
      ];
      assert.deepEqual(a, b, `${data.name} ${tower}`);
    }
  },
);

test('a result does not depend on what is embedded with it', async () => {
  const data = golden('clip');
  const encoder = await loadTextEncoder({ model: data.config, weights: data.path, dtype: 'int8' });
  const ids = rows(data.expected.tokens);
  const many = Array.from({ length: 70 }, (_, i) => ids[i % ids.length]);
  const together = await encoder.embedTokens(many);
  for (let i = 0; i < many.length; i++) assert.deepEqual(together[i], await encoder.embedTokens(many[i]), `text ${i}`);
  encoder.dispose();
});

test('vectors have length 1 unless told otherwise', async () => {
  const data = golden('clip');
  const encoder = await loadImageEncoder({ model: data.config, weights: data.path, dtype: 'fp32' });
  const [pixels] = rows(data.expected.pixels);
  const unit = await encoder.embedPixels(pixels);
  const raw = await encoder.embedPixels(pixels, { normalize: false });
  assert.ok(Math.abs(Math.hypot(...unit) - 1) < 1e-6);
  assert.ok(Math.abs(Math.hypot(...raw) - 1) > 1e-3);
  assert.ok(cosine(unit, raw) > 0.999999);
  encoder.dispose();
});
