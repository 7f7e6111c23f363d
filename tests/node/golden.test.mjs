// Every golden tower through the package, both WebAssembly flavours where the engine has them, against OpenCLIP's numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { detectSimd } from '../../web/simd.js';
import { cosine, distance, golden, medianDistance, rows, towerNames } from './support.mjs';

const FLAVOURS = detectSimd() === 'relaxed' ? ['relaxed', 'simd128'] : ['simd128'];

async function embedGolden({ config, path, expected }, tower, options) {
  if (tower === 'image') {
    const encoder = await loadImageEncoder({ model: config, weights: path, ...options });
    const vectors = await encoder.embedPixels(rows(expected.pixels), { normalize: false });
    encoder.dispose();
    return vectors;
  }
  const encoder = await loadTextEncoder({ model: config, weights: path, ...options });
  const vectors = await encoder.embedTokens(rows(expected.tokens), { normalize: false });
  encoder.dispose();
  return vectors;
}

const cases = towerNames.map(golden).flatMap((data) =>
  ['image', 'text'].filter((tower) => data.expected[`${tower}_features`]).map((tower) => ({ data, tower, expected: rows(data.expected[`${tower}_features`]) })));

test('there are golden towers of both kinds', () => {
  assert.ok(cases.filter(({ tower }) => tower === 'image').length >= 20);
  assert.ok(cases.filter(({ tower }) => tower === 'text').length >= 20);
});

// What is allowed: the smallest cosine, the largest distance as a share of the median distance between OpenCLIP's vectors. The towers here are tiny
// and random, so that rounding shows far more than in a trained one; the bounds for int8 only tell right from wrong.
const BOUNDS = { fp32: [0.99999, 0.005], fp16: [0.9999, 0.01], int8: [0.93, 0.5] };

for (const simd of FLAVOURS) {
  for (const [dtype, [leastCosine, largestShare]] of Object.entries(BOUNDS)) {
    test(`${simd}, ${dtype}: ${cases.length} towers agree with OpenCLIP`, async () => {
      for (const { data, tower, expected } of cases) {
        const vectors = await embedGolden(data, tower, { dtype, simd });
        assert.equal(vectors.length, expected.length);
        const median = medianDistance(expected);
        assert.ok(median > 0.01, `${data.name} ${tower}: the golden vectors differ from each other`);
        expected.forEach((vector, i) => {
          const near = cosine(vectors[i], vector);
          const share = distance(vectors[i], vector) / median;
          assert.ok(near >= leastCosine && share <= largestShare, `${data.name} ${tower} ${i}: cosine ${near}, distance ${share} of the median`);
        });
      }
    });
  }
}

for (const dtype of ['int8', 'int4']) {
  test(`${dtype} is the same to the last bit in both flavours`, { skip: FLAVOURS.length < 2 && 'this engine has one flavour' }, async () => {
    for (const { data, tower } of cases) {
      const [a, b] = [await embedGolden(data, tower, { dtype, simd: 'relaxed' }), await embedGolden(data, tower, { dtype, simd: 'simd128' })];
      assert.deepEqual(a, b, `${data.name} ${tower}`);
    }
  });
}

test('int8 is the same to the last bit whichever instructions multiply', { skip: FLAVOURS.length < 2 && 'this engine has no choice' }, async () => {
  for (const { data, tower } of cases) {
    const [a, b] = [await embedGolden(data, tower, { dtype: 'int8', dot: 'pairs' }), await embedGolden(data, tower, { dtype: 'int8', dot: 'quads' })];
    assert.deepEqual(a, b, `${data.name} ${tower}`);
  }
});

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
