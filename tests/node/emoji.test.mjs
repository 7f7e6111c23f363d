// The bundled model, on trained weights: fp32 is OpenCLIP's, and int8 loses next to nothing.

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

/** The share of pictures whose own name is among the first k of all names. */
function recall(images, texts, k) {
  const found = images.filter((image, i) => {
    const own = cosine(image, texts[right[i]]);
    return texts.filter((text, j) => j !== right[i] && cosine(image, text) >= own).length < k;
  });
  return found.length / images.length;
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

test('int8 loses at most one point of recall', (t) => {
  for (const k of [1, 10]) {
    const [fp32, int8] = [recall(expected.image, expected.text, k), recall(bundled.image.vectors, bundled.text.vectors, k)];
    t.diagnostic(`recall at ${k}: fp32 ${fp32.toFixed(4)}, int8 ${int8.toFixed(4)}`);
    assert.ok(int8 >= fp32 - 0.01);
  }
});

test('both shards together are at most 8 MB', () => {
  const bytes = ['image', 'text'].map((tower) => readFileSync(new URL(`../../dist/models/halfclip-emoji-${tower}.safetensors`, import.meta.url)).length);
  assert.ok(bytes[0] + bytes[1] <= 8e6, `${bytes} bytes`);
});
