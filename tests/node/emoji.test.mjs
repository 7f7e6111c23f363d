// The bundled model, on trained weights: fp32 is OpenCLIP's, the narrower types keep what tests/accuracy.mjs measures,
// and src/README.md says so.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { before, test } from 'node:test';

import { cosineSimilarity, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { DTYPES, README, embed, expected, measure, onnxruntime, pictures, table } from '../accuracy.mjs';
import { distance, medianDistance } from './support.mjs';

let found;
before(async () => (found = await measure()));

const LEAST = { fp32: 0.99999, fp16: 0.9999, int8: 0.995, int4: 0.99 }; // mean cosine
const LOST = { fp32: 0, fp16: 0.001, int8: 0.01, int4: 0.02 }; // recall at 10

for (const dtype of DTYPES) {
  test(`${dtype} is near OpenCLIP's fp32`, (t) => {
    const { cosine, lowest, recall } = found[dtype];
    t.diagnostic(JSON.stringify(found[dtype]));
    for (const tower of ['image', 'text']) {
      assert.ok(cosine[tower] >= LEAST[dtype], `mean cosine of the ${tower} tower ${cosine[tower]}`);
      if (dtype === 'fp32') assert.ok(lowest[tower] >= 0.99999, `lowest cosine of the ${tower} tower ${lowest[tower]}`);
    }
    const exact = found.fp32.recall;
    assert.ok(recall['emoji by name'][10] >= exact['emoji by name'][10] - LOST[dtype]);
    // Of so few pictures, one that changes places at the edge is most of a point.
    assert.ok(recall['names by picture'][10] >= exact['names by picture'][10] - LOST[dtype] - 1 / pictures.length);
  });
}

test("fp32 out of the whole checkpoint is at OpenCLIP's place", async (t) => {
  const vectors = await embed('fp32');
  for (const tower of ['image', 'text']) {
    const unit = medianDistance(expected[tower].slice(0, 256));
    const farthest = Math.max(...vectors[tower].map((vector, i) => distance(vector, expected[tower][i]))) / unit;
    t.diagnostic(`${tower}: largest distance ${(100 * farthest).toFixed(3)} % of the median`);
    assert.ok(farthest <= 0.005);
  }
});

test("int8 keeps no less than onnxruntime's dynamic int8", () => {
  const { cosine, recall } = found.int8;
  for (const tower of ['image', 'text'])
    assert.ok(
      cosine[tower] >= onnxruntime.cosine[tower],
      `${tower}: ${cosine[tower]}, onnxruntime ${onnxruntime.cosine[tower]}`,
    );
  // Vectors that are as close order neighbours differently: two of 1,844 names, or one of 128 pictures.
  for (const k of [1, 10]) {
    assert.ok(recall['emoji by name'][k] >= onnxruntime.recall['emoji by name'][k] - 0.002);
    assert.ok(recall['names by picture'][k] >= onnxruntime.recall['names by picture'][k] - 1 / pictures.length);
  }
});

test('the bundled shards hold what int8 makes of the checkpoint', async () => {
  const vectors = await embed('int8');
  const image = await loadImageEncoder({ model: 'halfclip-emoji' });
  assert.equal(image.info.dtype, 'int8');
  assert.deepEqual(await image.embed(pictures), vectors.image);
  image.dispose();
  const text = await loadTextEncoder({ model: 'halfclip-emoji' });
  assert.deepEqual(
    await text.embed(['grinning face', 'cat']),
    await text.embedTokens(await text.tokenize(['grinning face', 'cat'])),
  );
  text.dispose();
});

test('the table in src/README.md is the one that was measured (node tests/accuracy.mjs --write)', async () => {
  assert.equal(await README.read(), table(found));
});

test('both shards together are at most 8 MB', () => {
  const bytes = ['image', 'text'].map(
    (tower) => readFileSync(new URL(`../../dist/models/halfclip-emoji-${tower}.safetensors`, import.meta.url)).length,
  );
  assert.ok(bytes[0] + bytes[1] <= 8e6, `${bytes} bytes`);
});

test('the page says what the model knows, and its examples are ones that it gets right', async () => {
  const page = readFileSync(new URL('../../web/demo/index.html', import.meta.url), 'utf8');
  assert.match(page, /It knows emoji, in English, and nothing else/);
  const text = await loadTextEncoder({ model: 'halfclip-emoji' });
  const image = await loadImageEncoder({ model: 'halfclip-emoji' });
  const folder = new URL('../pictures/', import.meta.url);
  const files = readdirSync(folder);
  const vectors = await image.embed(files.map((file) => new URL(file, folder)));

  const right = { 'a cat': /^cat-/, dessert: /cake|doughnut/, rain: /rain/ };
  const [, placeholder] = /id="query"[^>]*placeholder="([^"…]*)…"/.exec(page);
  assert.deepEqual(placeholder.split(', '), Object.keys(right));
  for (const [query, pattern] of Object.entries(right)) {
    const vector = await text.embed(query);
    const scores = vectors.map((picture) => cosineSimilarity(vector, picture));
    assert.match(files[scores.indexOf(Math.max(...scores))], pattern, query);
  }

  const pairs = [
    ['a smiling cat', 'a cat face'],
    ['a taxi', 'a car'],
    ['rain', 'an umbrella'],
  ];
  const [, area] = /<textarea id="sentences"[^>]*>([^<]*)</.exec(page);
  const sentences = area.trim().split('\n');
  assert.deepEqual(sentences, pairs.flat());
  const meanings = await text.embed(sentences);
  sentences.forEach((sentence, i) => {
    const scores = meanings.map((other, j) => (i === j ? -1 : cosineSimilarity(meanings[i], other)));
    assert.equal(scores.indexOf(Math.max(...scores)), i ^ 1, sentence);
  });
  text.dispose();
  image.dispose();
});
