// halfclip verify: what it says of dtypes of the model that is bundled, from its checkpoint, and how it fails.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadImageEncoder } from '../../dist/node.js';
import { compare } from '../../web/cli/agreement.js';
import { programIn } from './cli-program.mjs';
import { GOLDEN, cosine } from './support.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
after(() => rmSync(folder, { recursive: true }));
const { run, works, fails } = programIn(folder);

const emoji = (name) => fileURLToPath(new URL(`emoji/${name}`, GOLDEN));
const model = emoji('open_clip_config.json');
const weights = emoji('open_clip_model.safetensors');
const MODEL = ['verify', '--model', model, '--weights', weights, '--threads', '1'];
const pictures = fileURLToPath(new URL('../pictures/', import.meta.url));
const picture = (name) => path.join(pictures, `${name}.jpg`);
const config = JSON.parse(readFileSync(model));
const three = ['cat-face', 'tiger', 'rocket'].map(picture);

test('pictures: fp16 keeps more than int8, and int8 more than int4', async () => {
  const report = JSON.parse(await works([...MODEL, '--json', '--dtype', 'fp16,int8,int4', pictures]));
  assert.deepEqual([report.tower, report.inputs], ['image', 58]);
  const [fp16, int8, int4] = report.dtypes;
  assert.deepEqual([fp16.dtype, int8.dtype, int4.dtype], ['fp16', 'int8', 'int4']);
  assert.ok(fp16.mean > int8.mean && int8.mean > int4.mean && int4.mean > 0.9, JSON.stringify(report));
  for (const { mean, least, recall } of report.dtypes) {
    assert.ok(least <= mean && mean < 1.00001);
    assert.ok(recall[1] > 0.5 && recall[1] <= 1 && recall[10] > 0.5 && recall[10] <= 1);
  }
});

test('operations that lose most: each with an error of its own, larger the fewer bits there are', async () => {
  const report = JSON.parse(await works([...MODEL, '--json', '--dtype', 'fp16,int8,int4', ...three]));
  const [fp16, ...rounded] = report.dtypes;
  assert.deepEqual(fp16.operations, []); // what the checkpoint holds
  const largest = rounded.map(({ operations }) => operations[0].error);
  assert.ok(largest[0] > 0.001 && largest[0] < largest[1] && largest[1] < 0.3, JSON.stringify(largest));
  for (const { dtype, operations } of rounded) {
    assert.deepEqual(
      operations.map(({ error }) => error),
      operations.map(({ error }) => error).sort((a, b) => b - a),
    );
    // A product with weights loses something in every layer; what is copied, nothing.
    const layers = new Set(operations.map(({ name }) => /resblocks\.(\d+)\.mlp\.c_fc/.exec(name)?.[1]));
    for (let i = 0; i < config.model_cfg.vision_cfg.layers; i++) assert.ok(layers.has(`${i}`), `${dtype}, layer ${i}`);
    assert.ok(operations.every(({ kind }) => kind !== 'pick'));
  }
  assert.match(
    await works([...MODEL, '--dtype', 'int4', ...three]),
    /Operations that lose most at int4.*\n +linear +visual/,
  );
});

test('the cosines are those of the vectors that the library gives', async () => {
  const vectors = {};
  for (const dtype of ['fp32', 'int4']) {
    const encoder = await loadImageEncoder({ model: config, weights, dtype });
    vectors[dtype] = await encoder.embed(three);
    encoder.dispose();
  }
  const cosines = vectors.fp32.map((vector, i) => cosine(vector, vectors.int4[i]));
  const { dtypes } = JSON.parse(await works([...MODEL, '--json', '--dtype', 'int4', ...three]));
  assert.ok(Math.abs(dtypes[0].least - Math.min(...cosines)) < 1e-5);
  assert.equal(dtypes[0].recall[10], null);
});

test('a table for people', async () => {
  const lines = (await works([...MODEL, ...three])).trimEnd().split('\n');
  assert.match(lines[0], /, image tower, 3 inputs, compared with fp32$/);
  assert.match(lines[2], /dtype +mean cosine +least +nearest kept +of 10 nearest$/);
  assert.match(lines[3], /^ +int8 +0\.\d{5} +0\.\d{5} +[01]\.\d{3}$/);
  assert.match(lines[4], /^ +int4 +0\.\d{5} +0\.\d{5} +[01]\.\d{3}$/);
});

test('--at-least: the status says whether it is reached', async () => {
  await works([...MODEL, '--dtype', 'int8', '--at-least', '0.9', ...three]);
  const { status, stdout, stderr } = await run([...MODEL, '--dtype', 'int4', '--at-least', '1', ...three]);
  assert.equal(status, 1);
  assert.match(stdout, /int4/);
  assert.match(stderr, /^halfclip: the mean cosine at int4 is 0\.\d+, expected at least 1\n$/);
});

test('an input that fails is told once, the others are compared', async () => {
  const { status, stdout, stderr } = await run([...MODEL, '--json', ...three, 'none.jpg']);
  assert.equal(status, 1);
  assert.equal(JSON.parse(stdout).inputs, 3);
  assert.equal(stderr.match(/none\.jpg/g).length, 1, stderr);
  assert.match(stderr, /1 of 4 inputs failed\n$/);
});

test('what makes no sense is told', async () => {
  await fails([...MODEL, '--dtype', 'int2', ...three], 2, /--dtype is int2, expected fp16 or int8 or int4/);
  await fails([...MODEL, '--at-least', '2', ...three], 2, /--at-least is 2, expected a cosine/);
  await fails([...MODEL, three[0]], 2, /expected 2 or more, got 1/);
  await fails([...MODEL, '--texts', 'none.txt'], 1, /--texts: none\.txt: there is no such file/);
  await fails([...MODEL, '--texts', 'none.txt', '--tower', 'image'], 2, /--texts is the text tower's whole input/);
});

test('neighbours: a vector is none of its own, and each k counts for itself', () => {
  const at = (degrees) => Float32Array.of(Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180));
  const exact = [0, 10, 30, 90].map(at);
  assert.deepEqual(compare(exact, exact).recall, { 1: 1, 10: null });
  // The nearest of the third is the fourth now, and that of the second the first as before.
  const moved = compare(exact, [0, 10, 60, 90].map(at));
  assert.equal(moved.recall[1], 0.75);
  assert.ok(Math.abs(moved.least - Math.cos(Math.PI / 6)) < 1e-6);
  assert.deepEqual(compare(exact.slice(0, 2), exact.slice(0, 2)).recall, { 1: null, 10: null });
  assert.ok(Number.isNaN(compare(exact, [...exact.slice(0, 3), Float32Array.of(NaN, 0)]).least));
});

test('texts: a line each; a shard that was quantised before is said to be one', async () => {
  writeFileSync(path.join(folder, 'texts.txt'), 'a cat\na dog\r\n\na rocket\n');
  const bundled = ['verify', '--threads', '1', '--texts', 'texts.txt', '--dtype', 'int8'];
  const report = JSON.parse(await works([...bundled, '--json']));
  assert.deepEqual([report.model, report.tower, report.inputs], ['halfclip-emoji', 'text', 3]);
  assert.equal(report.held, 'int8');
  assert.match(await works(bundled), /^The shard holds its weights at int8: /m);
  assert.equal(JSON.parse(await works([...MODEL, '--dtype', 'int8', '--json', ...three])).held, null);
});
