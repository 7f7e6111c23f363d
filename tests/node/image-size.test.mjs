// Another size of pictures than the checkpoint's: the option imageSize gives the tower that a config of that size
// gives, from checkpoints and from shards, and pictures are prepared at it.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { programIn } from './cli-program.mjs';
import { fails } from './fails.mjs';
import { FaultServer, inMemory } from './fault-server.mjs';
import { golden } from './support.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-image-size-'));
after(() => rmSync(folder, { recursive: true }));
const { works, fails: failsAtOnce } = programIn(folder);

// Positions of 3 x 3 patches in both files.
const towers = [
  { file: golden('resized-up'), own: 9 },
  { file: golden('resized-timm-up'), own: 12 },
];
const picture = { data: Uint8Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * 7919) % 251), width: 40, height: 30 };

const withSize = ({ model_cfg, preprocess_cfg }, image_size) => ({
  model_cfg: { ...model_cfg, vision_cfg: { ...model_cfg.vision_cfg, image_size } },
  preprocess_cfg,
});

/** The vector of the picture, what the tower gets of it, and info. */
async function embed(options) {
  const encoder = await loadImageEncoder(options);
  try {
    return {
      vector: await encoder.embed(picture),
      pixels: await encoder.preprocess(picture),
      imageSize: encoder.info.imageSize,
    };
  } finally {
    encoder.dispose();
  }
}

for (const { file, own } of towers) {
  for (const imageSize of [own, 21, [8, 24], [33, 9]]) {
    test(`${file.name} at ${imageSize} is as with a config of that size`, async () => {
      const weights = file.path;
      for (const dtype of ['fp32', 'int8']) {
        const model = withSize(file.config, own);
        const found = await embed({ model, weights, dtype, imageSize });
        const expected = await embed({ model: withSize(file.config, imageSize), weights, dtype });
        const [height, width] = [imageSize, imageSize].flat();
        assert.deepEqual(found, expected);
        assert.deepEqual(found.imageSize, imageSize);
        assert.equal(found.pixels.length, 3 * height * width);
        const worked = await embed({ model, weights, dtype, imageSize, worker: true });
        assert.deepEqual(worked, expected);
      }
    });
  }
}

test('relative positions: an MLP makes those of any size; windows grow with the pictures, and their biases with them', async () => {
  const relpos = golden('vit-relpos-class');
  const weights = relpos.path;
  assert.deepEqual(
    await embed({ model: relpos.config, weights, dtype: 'fp32', imageSize: [36, 20] }),
    await embed({ model: withSize(relpos.config, [36, 20]), weights, dtype: 'fp32' }),
  );
  const swin = golden('resized-swin-asked'); // of which OpenCLIP's set_input_size made the windows
  const model = structuredClone(withSize(swin.config, 32));
  model.model_cfg.vision_cfg.timm_model_args.window_size = [
    [4, 4],
    [2, 2],
  ];
  for (const dtype of ['fp32', 'int8'])
    assert.deepEqual(
      await embed({ model, weights: swin.path, dtype, imageSize: [48, 64] }),
      await embed({ model: swin.config, weights: swin.path, dtype }),
    );
});

test('a model whose config leaves image_size out', async () => {
  const { config, path: weights } = golden('resized-up');
  const model = withSize(config, undefined);
  const { imageSize, vector } = await embed({ model, weights, dtype: 'fp32', imageSize: 15 });
  assert.equal(imageSize, 15);
  assert.deepEqual(vector, (await embed({ model: config, weights, dtype: 'fp32' })).vector);
});

test('the command line makes a shard of another size, which is read again at a third one', async () => {
  const { config, path: weights } = golden('resized-up');
  const shard = path.join(folder, 'shard.safetensors');
  const common = ['--tower', 'image', '--dtype', 'fp32', '--weights', weights.pathname];
  const file = path.join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(withSize(config, 9)));
  await works(['shard', ...common, '--model', file, '--image-size', '21x15', '--out', shard]);
  const held = await embed({ weights: shard });
  assert.deepEqual(held, await embed({ model: withSize(config, [21, 15]), weights, dtype: 'fp32' }));
  assert.deepEqual((await embed({ weights: shard, imageSize: 12 })).imageSize, 12);
  await failsAtOnce(
    ['shard', ...common, '--model', file, '--image-size', '9by9', '--out', shard],
    2,
    /--image-size is 9by9/,
  );
});

test('the cache keeps each size apart', async () => {
  const server = await FaultServer.start({});
  const { config, path: weights } = golden('resized-up');
  server.files['/model.safetensors'] = inMemory(readFileSync(weights));
  const sizes = [];
  for (const imageSize of [undefined, 9, undefined, 9, [9, 15]]) {
    const encoder = await loadImageEncoder({
      model: config,
      weights: `${server.base}/model.safetensors`,
      dtype: 'fp32',
      cache: { dir: path.join(folder, 'cache') },
      imageSize,
    });
    sizes.push([encoder.info.imageSize, encoder.info.cached]);
    encoder.dispose();
  }
  assert.deepEqual(sizes, [
    [15, false],
    [9, false],
    [15, true],
    [9, true],
    [[9, 15], false],
  ]);
  await server.close();
});

test('sizes that are none, that a tower cannot have, and text towers, which have none', async () => {
  const { config, path: weights } = golden('resized-up');
  const options = { model: config, weights, dtype: 'fp32' };
  for (const imageSize of [0, -1, 1.5, NaN, '224', [224], [224, 224, 3], [224, 0], 16385, {}, null, true])
    await fails(loadImageEncoder({ ...options, imageSize }), 'input/type', /option imageSize is .*\[height, width\]/);
  await fails(loadImageEncoder({ ...options, imageSize: 2 }), 'model/unsupported', /larger than the picture of 2 by 2/);
  const resnet = golden('resnet-plain');
  await fails(
    loadImageEncoder({ model: resnet.config, weights: resnet.path, imageSize: 96 }),
    'weights/mismatch',
    /visual\.attnpool\.positional_embedding/,
  );
  const text = await loadTextEncoder({ ...options, imageSize: 21 });
  assert.equal(text.info.contextLength, 13);
  text.dispose();
});
