// Checkpoints that are not one .safetensors file, and configs that do not fit a checkpoint.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { inspect } from '../../web/cli/report.js';
import { architectures } from '../../web/models/architectures.js';
import '../../web/node/index.js';
import { fails } from './fails.mjs';
import { FaultServer, inMemory, zerosBehind } from './fault-server.mjs';
import { GOLDEN, buildSafetensors, golden, headerOf, parseSafetensors, rows, tensorShapes } from './support.mjs';

const clip = golden('clip');
const { tensors } = parseSafetensors(readFileSync(clip.path));
const names = Object.keys(tensors);
const pick = (which) => Object.fromEntries(names.filter(which).map((name) => [name, tensors[name]]));
const padding = { padding: { dtype: 'U8', shape: [300_000], bytes: Buffer.alloc(300_000) } };

// The text tower is in a and b, the image tower in b and c.
const isImage = (name) => name.startsWith('visual.');
const parts = {
  'model-a.safetensors': { ...padding, ...pick((name, i) => !isImage(name) && i % 2) },
  'model-b.safetensors': { ...pick((name, i) => i % 2 === 0), ...padding },
  'model-c.safetensors': pick((name, i) => isImage(name) && i % 2),
};
const weightMap = Object.fromEntries(
  Object.entries(parts).flatMap(([file, held]) =>
    Object.keys(held)
      .filter((name) => name !== 'padding')
      .map((name) => [name, file]),
  ),
);
const index = Buffer.from(JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap }, null, 2));
const files = Object.fromEntries(
  Object.entries(parts).map(([name, held]) => [name, buildSafetensors({ tensors: held })]),
);

let server;
let folder;
let expected;

before(async () => {
  server = await FaultServer.start({});
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(path.join(folder, name), bytes);
  writeFileSync(path.join(folder, 'model.safetensors.index.json'), index);
  expected = {};
  for (const [tower, load] of [
    ['text', loadTextEncoder],
    ['image', loadImageEncoder],
  ]) {
    const encoder = await load({ model: clip.config, weights: clip.path, dtype: 'fp32' });
    expected[tower] = await vectorOf(encoder, tower);
  }
});

beforeEach(() => {
  server.reset();
  server.files = { '/model.safetensors.index.json': inMemory(index) };
  for (const [name, bytes] of Object.entries(files)) server.files[`/${name}`] = inMemory(bytes);
});

after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

async function vectorOf(encoder, tower) {
  const vector =
    tower === 'text'
      ? await encoder.embedTokens(rows(clip.expected.tokens)[0])
      : await encoder.embedPixels(rows(clip.expected.pixels)[0]);
  encoder.dispose();
  return vector;
}

async function works(tower, weights, options) {
  const encoder = await (tower === 'text' ? loadTextEncoder : loadImageEncoder)({
    model: clip.config,
    dtype: 'fp32',
    cache: 'no-store',
    weights,
    retry: { pause: 1 },
    ...options,
  });
  assert.deepEqual(await vectorOf(encoder, tower), expected[tower]);
  return encoder.info;
}

test('a checkpoint in several files, by URL: only the files that hold the tower', async () => {
  const url = () => `${server.base}/model.safetensors.index.json`;
  const { fetchedBytes, fileBytes } = await works('text', url());
  assert.ok(!server.requests.some(({ path }) => path === '/model-c.safetensors'));
  assert.equal(fileBytes, files['model-a.safetensors'].length + files['model-b.safetensors'].length);
  assert.equal(
    fetchedBytes,
    server.requests.reduce((sum, { sent }) => sum + sent, 0),
  );
  server.reset();
  await works('image', url());
  assert.ok(!server.requests.some(({ path }) => path === '/model-a.safetensors'));
  for (const fault of [{ ranges: false }, { gzip: true, ranges: false }, { cut: 1000 }]) {
    server.reset();
    const broken = new Set();
    server.fault = ({ path }) => (broken.has(path) && fault.cut ? {} : (broken.add(path), fault));
    await works('text', url(), { worker: true });
  }
});

test('a checkpoint in several files, by path, and as a Blob that has no files beside it', async () => {
  const place = path.join(folder, 'model.safetensors.index.json');
  for (const tower of ['text', 'image']) await works(tower, place);
  await fails(works('text', new Blob([index])), 'weights/not-found', /model-a\.safetensors/);
  await fails(works('text', place, { integrity: `sha256-${'A'.repeat(43)}=` }), 'input/type', /integrity/);
});

test('an index that is wrong', async () => {
  const withIndex = (content) => {
    server.files['/model.safetensors.index.json'] = inMemory(
      Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)),
    );
    return works('text', `${server.base}/model.safetensors.index.json`);
  };
  await fails(withIndex('{"weight_map": {"a": '), 'weights/format', /JSON/);
  await fails(withIndex({ nothing: 1 }), 'weights/format', /weight_map/);
  for (const name of ['../secret', '/etc/passwd', 'https://example.org/x', 'a//b', '', 5, '..', 'a/../b', '.hidden']) {
    await fails(withIndex({ weight_map: { 'ln_final.weight': name } }), 'weights/format', /beside it/);
  }
  await fails(withIndex({ weight_map: { 'ln_final.weight': 'gone.safetensors' } }), 'http/status', /gone\.safetensors/);
  await fails(withIndex({ weight_map: {} }), 'weights/mismatch');
  await fails(withIndex({ weight_map: { 'ln_final.weight': 'model.safetensors.index.json' } }), 'weights/format');
  const { 'ln_final.weight': _, ...fewer } = weightMap;
  await fails(withIndex({ weight_map: fewer }), 'weights/mismatch', /ln_final\.weight/);
  server.files['/model-a.safetensors'] = inMemory(files['model-a.safetensors'].subarray(0, 320_000));
  await fails(works('text', `${server.base}/model.safetensors.index.json`), 'weights/truncated');
});

test('another architecture than the config says, with the one that fits', async () => {
  const { config } = golden('clip');
  // Tensors of ViT-B-32 by shape alone: the loader looks at no byte of them before it refuses.
  const shapes = tensorShapes(architectures['ViT-B-32']);
  const file = headerOf(shapes);
  server.files['/b32'] = zerosBehind(file);
  const weights = `${server.base}/b32`;
  const { architecture, fetchedBytes, bytes, towers } = await inspect(weights);
  assert.deepEqual(
    [architecture, bytes, towers.image.count + towers.text.count],
    [{ name: 'ViT-B-32', exact: true }, file.size, Object.keys(shapes).length],
  );
  assert.equal(fetchedBytes, 262144);
  const mismatch = (load, model, ...patterns) => fails(load({ model, weights }), 'weights/mismatch', ...patterns);
  await mismatch(
    loadImageEncoder,
    'ViT-B-16',
    /visual\.conv1\.weight has shape \[768, ?3, ?32, ?32\]/,
    /\[768, ?3, ?16, ?16\]; the file has the tensors of ViT-B-32$/,
  );
  await mismatch(
    loadTextEncoder,
    'ViT-L-14',
    /has shape \[77, ?512\], expected .*; the file has the tensors of ViT-B-32$/,
  );
  await mismatch(loadTextEncoder, config, /the file has the tensors of ViT-B-32$/);
  await fails(
    loadTextEncoder({ model: 'ViT-L-14', weights, worker: true }),
    'weights/mismatch',
    /the file has the tensors of ViT-B-32$/,
  );
  const other = { model: 'ViT-B-32', weights: clip.path };
  const { message } = await fails(
    loadTextEncoder(other),
    'weights/mismatch',
    /of OpenCLIP's architectures .* is the closest/,
  );
  assert.doesNotMatch(message, /architectures ViT-B-32 /);
  // What the architecture says is right, and the file lacks something: nothing is known better.
  const { [Object.keys(shapes).at(-1)]: _, ...fewer } = shapes;
  server.files['/cut'] = zerosBehind(headerOf(fewer));
  for (const model of ['ViT-B-32', 'ViT-B-32-quickgelu', architectures['ViT-B-32']]) {
    await fails(
      loadTextEncoder({ model, weights: `${server.base}/cut` }),
      'weights/mismatch',
      /is missing from the file, expected with shape \[[\d, ]+\]$/,
    );
  }
});

test('inspect, whatever the checkpoint is, by its headers alone', async () => {
  const towersOf = ({ towers: { image, text } }) => [image.count, text.count];
  const all = [names.filter(isImage).length, names.filter((name) => !isImage(name) && name !== 'logit_scale').length];
  server.files['/whole.pt'] = inMemory(readFileSync(new URL('torch/whole.pt', GOLDEN)));
  const one = await inspect(clip.path);
  assert.deepEqual([one.format, ...towersOf(one)], ['safetensors', ...all]);
  assert.equal(
    one.towers.image.bytes,
    names.filter(isImage).reduce((sum, name) => sum + tensors[name].bytes.length, 0),
  );
  assert.ok(one.fetchedBytes < one.bytes / 2);
  const many = await inspect(`${server.base}/model.safetensors.index.json`);
  assert.deepEqual([many.format, ...towersOf(many)], ['index', ...all]);
  assert.deepEqual(many.files, Object.keys(parts));
  assert.equal(
    many.bytes,
    Object.values(files).reduce((sum, { length }) => sum + length, 0),
  );
  for (const fault of [{}, { ranges: false }]) {
    server.fault = () => fault;
    const pytorch = await inspect(`${server.base}/whole.pt`);
    assert.equal(pytorch.format, 'pytorch');
    assert.equal(pytorch.tensors.length, 48);
  }
  await fails(inspect(`${server.base}/nothing`), 'http/status', /404/);
  await fails(inspect(new Blob(['<!DOCTYPE html>'])), 'weights/format');
});
