// The bundled model, on trained weights: fp32 is OpenCLIP's, int8 loses next to nothing, and int4 little.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { cosine, distance, GOLDEN, medianDistance, parseSafetensors, rows } from './support.mjs';

const FOLDER = new URL('emoji/', GOLDEN);
const { metadata, tensors } = parseSafetensors(readFileSync(new URL('expected.safetensors', FOLDER)));
const names = JSON.parse(metadata.names);
const pictures = Array.from({ length: tensors.pixels.shape[0] }, (_, i) => {
  const size = 64 * 64 * 3;
  return { data: Uint8Array.from(tensors.pixels.bytes.subarray(i * size, (i + 1) * size)), width: 64, height: 64 };
});
const right = Array.from(new Int32Array(Uint8Array.from(tensors.pixel_emoji.bytes).buffer));
const expected = { image: rows(tensors.image_features), text: rows(tensors.text_features) };
const checkpoint = {
  model: JSON.parse(readFileSync(new URL('open_clip_config.json', FOLDER))),
  weights: new URL('open_clip_model.safetensors', FOLDER),
};
const inputs = { image: pictures, text: names };
const load = { image: loadImageEncoder, text: loadTextEncoder };
const embed = async (tower, options) => {
  const encoder = await load[tower](options);
  assert.equal(encoder.info.tower, tower);
  const vectors = await encoder.embed(inputs[tower]);
  const { dtype } = encoder.info;
  encoder.dispose();
  return { vectors, dtype };
};

/** The share of queries whose own entry is among the first k of the gallery. */
function recall(queries, gallery, own, k) {
  const found = queries.filter((query, i) => {
    const score = cosine(query, gallery[own(i)]);
    return gallery.filter((entry, j) => j !== own(i) && cosine(query, entry) >= score).length < k;
  });
  return found.length / queries.length;
}

/** The checkpoint has no vocabulary of its own; the bundled shard carries the one that it was trained with. */
async function bundledTokens() {
  const shard = await loadTextEncoder({ model: 'halfclip-emoji' });
  const tokens = await shard.tokenize(names);
  shard.dispose();
  return tokens;
}

const bundled = {};
before(async () => {
  for (const tower of ['image', 'text']) bundled[tower] = await embed(tower, { model: 'halfclip-emoji' });
});

for (const tower of ['image', 'text']) {
  test(`fp32 of the ${tower} tower, out of the whole checkpoint, is OpenCLIP's`, async (t) => {
    const encoder = await load[tower]({ ...checkpoint, dtype: 'fp32' });
    const vectors = tower === 'image' ? await encoder.embed(pictures) : await encoder.embedTokens(await bundledTokens());
    encoder.dispose();
    const goldenVectors = expected[tower].map((v) => v.map((x) => x / Math.hypot(...v)));
    const unit = medianDistance(goldenVectors.slice(0, 256));
    const lowest = Math.min(...vectors.map((v, i) => cosine(v, goldenVectors[i])));
    const farthest = Math.max(...vectors.map((v, i) => distance(v, goldenVectors[i]))) / unit;
    t.diagnostic(`lowest cosine ${lowest.toFixed(7)}, largest distance ${(100 * farthest).toFixed(3)} % of the median`);
    assert.ok(lowest >= 0.99999);
    assert.ok(farthest <= 0.005);
  });

  test(`int8 of the bundled ${tower} shard is near fp32`, (t) => {
    const { vectors, dtype } = bundled[tower];
    assert.equal(dtype, 'int8');
    const cosines = vectors.map((v, i) => cosine(v, expected[tower][i]));
    const mean = cosines.reduce((a, b) => a + b) / cosines.length;
    t.diagnostic(`mean cosine ${mean.toFixed(5)}, lowest ${Math.min(...cosines).toFixed(5)}`);
    assert.ok(mean >= 0.995);
  });
}

test('int8 loses at most one point of recall over all emoji', (t) => {
  const gallery = rows(tensors.all_image_features);
  for (const k of [1, 10]) {
    const [fp32, int8] = [expected.text, bundled.text.vectors].map((texts) => recall(texts, gallery, (i) => i, k));
    t.diagnostic(`emoji by name, recall at ${k}: fp32 ${fp32.toFixed(4)}, int8 ${int8.toFixed(4)}`);
    assert.ok(int8 >= fp32 - 0.01);
  }
});

test('int8 of both towers finds the names of as many pictures', (t) => {
  for (const k of [1, 10]) {
    const fp32 = recall(expected.image, expected.text, (i) => right[i], k);
    const int8 = recall(bundled.image.vectors, bundled.text.vectors, (i) => right[i], k);
    t.diagnostic(`names of ${pictures.length} pictures, recall at ${k}: fp32 ${fp32.toFixed(4)}, int8 ${int8.toFixed(4)}`);
    // Of so few pictures, two that change places at the edge are more than a point.
    assert.ok(int8 >= fp32 - 0.01 - 1 / pictures.length);
  }
});

const int4 = {};
for (const tower of ['image', 'text']) {
  test(`int4 of the ${tower} tower, out of the whole checkpoint, is near fp32`, async (t) => {
    const encoder = await load[tower]({ ...checkpoint, dtype: 'int4' });
    assert.equal(encoder.info.dtype, 'int4');
    int4[tower] = tower === 'image' ? await encoder.embed(pictures) : await encoder.embedTokens(await bundledTokens());
    encoder.dispose();
    const cosines = int4[tower].map((v, i) => cosine(v, expected[tower][i]));
    const mean = cosines.reduce((a, b) => a + b) / cosines.length;
    t.diagnostic(`mean cosine ${mean.toFixed(5)}, lowest ${Math.min(...cosines).toFixed(5)}`);
    assert.ok(mean >= 0.99);
  });
}

test('int4 loses at most two points of recall', (t) => {
  const gallery = rows(tensors.all_image_features);
  for (const k of [1, 10]) {
    const emoji = [expected.text, int4.text].map((texts) => recall(texts, gallery, (i) => i, k));
    const found = [expected, int4].map(({ image, text }) => recall(image, text, (i) => right[i], k));
    t.diagnostic(`recall at ${k}, fp32 and int4: emoji by name ${emoji.map((x) => x.toFixed(4))}, names of pictures ${found.map((x) => x.toFixed(4))}`);
    if (k === 1) continue;
    assert.ok(emoji[1] >= emoji[0] - 0.02);
    assert.ok(found[1] >= found[0] - 0.02 - 1 / pictures.length);
  }
});

test('both shards together are at most 8 MB', () => {
  const bytes = ['image', 'text'].map((tower) => readFileSync(new URL(`../../dist/models/halfclip-emoji-${tower}.safetensors`, import.meta.url)).length);
  assert.ok(bytes[0] + bytes[1] <= 8e6, `${bytes} bytes`);
});
