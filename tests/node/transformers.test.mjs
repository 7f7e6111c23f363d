// Repositories as transformers 4 and 5 write them: the pixels that transformers makes of a picture with each, and what
// is said of those that cannot be followed.

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { HalfclipError, loadImageEncoder, loadTextEncoder, loadVideoEncoder } from '../../dist/index.js';
import { FaultServer, inMemory } from './fault-server.mjs';
import { GOLDEN, cosine, golden, parseSafetensors, rows } from './support.mjs';

const FOLDER = new URL('transformers/', GOLDEN);
const repositories = JSON.parse(readFileSync(new URL('repositories.json', FOLDER), 'utf8'));
const expected = parseSafetensors(readFileSync(new URL('pixels.safetensors', FOLDER))).tensors;
const tower = golden('hugging-face');
const [height, width] = expected.picture.shape;
const picture = { data: Uint8Array.from(expected.picture.bytes), width, height };

// As CLIPConfig writes the golden tower's config.
const section = {
  hidden_size: 24,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  hidden_act: 'gelu',
};
const config = {
  architectures: ['CLIPModel'],
  model_type: 'clip',
  projection_dim: 24,
  text_config: { ...section, max_position_embeddings: 12, vocab_size: 96, eos_token_id: 95 },
  vision_config: { ...section, image_size: 18, patch_size: 6 },
};

let hub;
let folder;

before(async () => {
  hub = await FaultServer.start({});
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
});

after(async () => {
  await hub.close();
  rmSync(folder, { recursive: true });
});

/** A repository on the hub and as a folder; the names of both. */
function publish(files) {
  const place = path.join(folder, 'repository');
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  hub.files = { '/org/clip/resolve/main/model.safetensors': inMemory(readFileSync(tower.path)) };
  copyFileSync(tower.path, path.join(place, 'model.safetensors'));
  for (const [name, content] of Object.entries({ 'config.json': config, ...files })) {
    hub.files[`/org/clip/resolve/main/${name}`] = inMemory(Buffer.from(JSON.stringify(content)));
    writeFileSync(path.join(place, name), JSON.stringify(content));
  }
  return ['hf-hub:org/clip', `local-dir:${place}`];
}

const load = (model) => loadImageEncoder({ model, hub: hub.base, cache: 'no-store', dtype: 'fp32' });

test('a video tower of such a repository prepares frames as its image tower does pictures', async () => {
  for (const model of publish(repositories.bilinear)) {
    const image = await load(model);
    const video = await loadVideoEncoder({ model, hub: hub.base, cache: 'no-store', dtype: 'fp32' });
    assert.equal(video.info.temporal, 'meanP');
    const vector = await video.embed({ frames: [picture, picture] });
    assert.ok(cosine(vector, await image.embed(picture)) > 0.999999);
    for (const encoder of [image, video]) encoder.dispose();
  }
});

for (const [name, files] of Object.entries(repositories)) {
  test(`pixels of transformers: ${name}`, async () => {
    for (const model of publish(files)) {
      const encoder = await load(model);
      const pixels = await encoder.preprocess(picture);
      const wanted = rows(expected[name]).flatMap((row) => Array.from(row));
      assert.equal(pixels.length, wanted.length);
      const off = Math.max(...wanted.map((value, i) => Math.abs(value - pixels[i]) / Math.max(1, Math.abs(value))));
      assert.ok(off < 2e-6, `${model}: off by ${off}`);
      encoder.dispose();
    }
  });
}

async function fails(files, code, ...patterns) {
  for (const model of publish(files)) {
    const error = await load(model).then(
      () => assert.fail('it worked'),
      (error) => error,
    );
    assert.ok(error instanceof HalfclipError, error.stack);
    assert.equal(error.code, code, error.message);
    for (const pattern of [model, ...patterns])
      assert.ok(error.message.includes(pattern), `${pattern}: ${error.message}`);
  }
}

test('what is missing is said, with the file and the key', async () => {
  const { image_mean, image_std, ...others } = repositories['shortest-edge']['preprocessor_config.json'];
  await fails({}, 'model/unknown', 'processor_config.json', 'preprocessor_config.json');
  await fails(
    { 'processor_config.json': { processor_class: 'CLIPProcessor' } },
    'model/unknown',
    'preprocessor_config.json',
  );
  await fails(
    { 'preprocessor_config.json': { ...others, image_std } },
    'model/unknown',
    'preprocessor_config.json',
    'image_mean',
  );
  await fails(
    { 'preprocessor_config.json': { ...others, image_mean } },
    'model/unknown',
    'preprocessor_config.json',
    'image_std',
  );
  await fails(
    { 'processor_config.json': { image_processor: { ...others, image_std, image_mean: null } } },
    'model/unknown',
    'image_processor',
    'processor_config.json',
    'image_mean',
  );
  // A text tower needs none of it.
  for (const model of publish({})) (await loadTextEncoder({ model, hub: hub.base, cache: 'no-store' })).dispose();
});

test('what OpenCLIP does not do is refused, with the file and the key', async () => {
  const settings = repositories['shortest-edge']['preprocessor_config.json'];
  const wrong = {
    size: [
      { shortest_edge: 20 },
      { height: 18, width: 20 },
      { longest_edge: 18 },
      { shortest_edge: 18, longest_edge: 30 },
      17,
      'large',
    ],
    crop_size: [{ height: 16, width: 16 }, 20],
    do_center_crop: [false],
    do_resize: [false],
    do_pad: [true],
    do_flip_channel_order: [true],
    resample: [0, 4, 5, 'nearest'],
    rescale_factor: [0, 'half'],
    image_mean: [[0.5], 'mean', [1, 2, null]],
  };
  for (const [key, values] of Object.entries(wrong)) {
    for (const value of values)
      await fails(
        { 'preprocessor_config.json': { ...settings, [key]: value } },
        'model/unsupported',
        'preprocessor_config.json',
        key,
      );
  }
  await fails(
    { 'preprocessor_config.json': { ...repositories.siglip['preprocessor_config.json'], size: 18 } },
    'model/unsupported',
    'do_center_crop',
  );
});

test('names of filters', async () => {
  const settings = repositories.bilinear['preprocessor_config.json'];
  for (const resample of ['bilinear', 'BILINEAR', 'Resampling.BILINEAR', 'PIL.Image.BILINEAR']) {
    const [model] = publish({ 'preprocessor_config.json': { ...settings, resample } });
    const encoder = await load(model);
    const pixels = await encoder.preprocess(picture);
    assert.ok(
      rows(expected.bilinear)
        .flatMap((row) => Array.from(row))
        .every((value, i) => Math.abs(value - pixels[i]) < 1e-5),
    );
    encoder.dispose();
  }
});
