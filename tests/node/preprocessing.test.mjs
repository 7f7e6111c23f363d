// How pictures are prepared for each of OpenCLIP's architectures, with each pretrained tag and without one, against
// what OpenCLIP's create_model says itself (tests/golden/preprocessing.json).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { loadImageEncoder } from '../../dist/index.js';
import { architectures } from '../../web/models/architectures.js';
import { resolveModel } from '../../web/models/resolve.js';
import '../../web/node/index.js';
import { GOLDEN, buildSafetensors, golden, parseSafetensors } from './support.mjs';

const { ways, models } = JSON.parse(readFileSync(new URL('preprocessing.json', GOLDEN), 'utf8'));
const OPENAI = ways.find(({ size }) => size[0] === 224);
const clip = golden('clip');
const picture = { data: Uint8Array.from({ length: 50 * 30 * 3 }, (_, i) => (i * 7919) % 251), width: 50, height: 30 };

const quietly = async (work) => {
  const { warn } = console;
  console.warn = () => {};
  return work().finally(() => (console.warn = warn));
};

/** What a config says, completed as in OpenCLIP. */
async function wayOf(model, weights) {
  const { config } = await quietly(() => resolveModel(model, weights, 'image', { hub: 'https://hub.example' }));
  const { model_cfg = JSON.parse(config), preprocess_cfg, preprocess_default } = JSON.parse(config);
  const { image_size = 224 } = model_cfg.vision_cfg;
  return { ...OPENAI, ...(preprocess_cfg ?? preprocess_default), size: [image_size, image_size].flat().slice(0, 2) };
}

/** The pixels that the encoder of a small tower makes of the picture. */
async function pixelsOf(options) {
  const encoder = await loadImageEncoder({ weights: clip.path, dtype: 'fp32', ...options });
  const pixels = await encoder.preprocess(picture);
  encoder.dispose();
  return pixels;
}

test('all architectures are in the table', () => {
  assert.deepEqual(Object.keys(models).sort(), Object.keys(architectures).sort());
});

test('with a pretrained tag it is what OpenCLIP does', async () => {
  let count = 0;
  for (const [model, tags] of Object.entries(models))
    for (const [tag, way] of Object.entries(tags)) {
      if (!tag) continue;
      assert.deepEqual(await wayOf(model, tag), ways[way], `${model} ${tag}`);
      count++;
    }
  assert.equal(count, 196);
});

test("with a file it is what all of an architecture's tags say, else OpenCLIP's default", async () => {
  let others = 0;
  for (const [model, { '': without, ...tags }] of Object.entries(models)) {
    const [way = without, more] = new Set(Object.values(tags));
    const expected = more === undefined ? way : without;
    assert.deepEqual(await wayOf(model, 'file.safetensors'), ways[expected], model);
    others += expected !== without;
  }
  assert.equal(others, 51); // MobileCLIP's, SigLIP's, PE's and CLIPA's, and those of 378 pixels
});

test('the encoder reads each of these ways', async () => {
  const { model_cfg } = clip.config;
  const seen = new Set();
  for (const { size: _, ...way } of ways) {
    const pixels = await pixelsOf({ model: { model_cfg, preprocess_cfg: way } });
    seen.add(pixels.join());
    const { mean, std, ...rest } = way;
    const bytes = await pixelsOf({
      model: { model_cfg, preprocess_cfg: { ...rest, mean: [0, 0, 0], std: [1, 1, 1] } },
    });
    const area = bytes.length / 3;
    const worst = Math.max(
      ...pixels.map((x, i) => Math.abs(x - (bytes[i] - mean[(i / area) | 0]) / std[(i / area) | 0])),
    );
    assert.ok(worst < 1e-5, `${JSON.stringify(way)}: ${worst}`);
  }
  assert.equal(seen.size, new Set(ways.map(({ size: _, ...way }) => JSON.stringify(way))).size);
});

test('a default counts where neither the config nor a shard says anything', async () => {
  const { model_cfg } = clip.config;
  const [grey, black] = [0.5, 0].map((x) => ({ mean: [x, x, x], std: [1, 1, 1], resize_mode: 'squash' }));
  const of = (preprocess_cfg) => pixelsOf({ model: { model_cfg, preprocess_cfg } });
  assert.deepEqual(await pixelsOf({ model: { model_cfg, preprocess_default: grey } }), await of(grey));
  assert.deepEqual(
    await pixelsOf({ model: { model_cfg, preprocess_cfg: black, preprocess_default: grey } }),
    await of(black),
  );
  const { tensors } = parseSafetensors(readFileSync(clip.path));
  const metadata = { halfclip: '1', tower: 'image', dtype: 'fp32', model_cfg: JSON.stringify(model_cfg) };
  for (const own of [undefined, black]) {
    const held = own ? { ...metadata, preprocess_cfg: JSON.stringify(own) } : metadata;
    const weights = buildSafetensors({ metadata: held, tensors });
    const found = await pixelsOf({ weights, model: { model_cfg, preprocess_default: grey } });
    assert.deepEqual(found, await of(own ?? grey));
  }
});
