// halfclip profile: what it says of a tower's operations, with weights and without, for people and for programs.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { foldLayers, summarize, tableOf } from '../../web/cli/operations.js';
import { loadEncoder } from '../../web/encoder/load-encoder.js';
import { profileTower } from '../../web/encoder/profile.js';
import '../../web/node/index.js';
import { programIn } from './cli-program.mjs';
import { randomCheckpoint } from './support.mjs';

const WIDTH = 64;
const LAYERS = 3;
const { config, file } = randomCheckpoint({
  vision_cfg: { image_size: 32, patch_size: 8, width: WIDTH, layers: LAYERS },
  text_cfg: { context_length: 16, vocab_size: 600, width: WIDTH, heads: 1, layers: LAYERS },
});

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
after(() => rmSync(folder, { recursive: true }));
writeFileSync(path.join(folder, 'model.safetensors'), file);
writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
const { works, fails } = programIn(folder);
const MODEL = ['--model', 'config.json'];
const WEIGHTS = ['--weights', 'model.safetensors'];

const jsonOf = async (args) => JSON.parse(await works(['profile', '--json', '--runs', '4', ...args]));

for (const [tower, rows, prefix] of [
  ['image', 17, 'visual.'],
  ['text', 16, ''],
]) {
  test(`the ${tower} tower: its operations, their sizes and their sums`, async () => {
    const profile = await jsonOf([...MODEL, ...WEIGHTS, '--tower', tower, '--dtype', 'int4', '--threads', '1']);
    assert.deepEqual([profile.tower, profile.dtype, profile.threads, profile.runs], [tower, 'int4', 1, 4]);
    const { operations } = profile;
    for (const [name, n, k] of [
      ['mlp.c_fc', 4 * WIDTH, WIDTH],
      ['mlp.c_proj', WIDTH, 4 * WIDTH],
    ]) {
      for (let layer = 0; layer < LAYERS - 1; layer++) {
        const full = `${prefix}transformer.resblocks.${layer}.${name}`;
        const found = operations.find((operation) => operation.name.startsWith(full));
        assert.deepEqual([found?.rows, found?.n, found?.k], [rows, n, k], full);
        assert.equal(found.multiplications, rows * n * k, full);
      }
    }
    const sum = (key) => operations.reduce((total, operation) => total + operation[key], 0);
    assert.equal(sum('multiplications'), profile.multiplications);
    assert.ok(Math.abs(sum('milliseconds') - profile.milliseconds) < 1e-9);
    assert.ok(Math.abs(sum('share') - 1) < 1e-9);
    for (const { multiplications, milliseconds, gops } of operations) {
      if (milliseconds) assert.ok(Math.abs(gops * milliseconds * 1e6 - 2 * multiplications) <= 1e-6 * multiplications);
    }
  });
}

test('made-up weights: the same operations as with a checkpoint, of every dtype', async () => {
  for (const dtype of ['fp32', 'fp16', 'int8', 'int4']) {
    for (const tower of ['image', 'text']) {
      const args = [...MODEL, '--tower', tower, '--dtype', dtype, '--threads', '1'];
      const shapes = ({ operations }) => operations.map(({ milliseconds, gops, share, ...others }) => others);
      const [made, real] = [await jsonOf(args), await jsonOf([...args, ...WEIGHTS])];
      assert.equal(made.dtype, dtype);
      assert.deepEqual(shapes(made), shapes(real));
    }
  }
});

test('an architecture of OpenCLIP by its name alone, and the bundled model without one', async () => {
  const vit = await jsonOf(['--model', 'ViT-S/32-alt', '--tower', 'image']);
  assert.equal(vit.model, 'ViT-S/32-alt');
  assert.equal(vit.dtype, 'int8');
  // A ViT computes at least what its linear layers do, but for the last one's, of which one row is looked at.
  assert.ok(vit.multiplications > 9 * 50 * 12 * 384 ** 2, `${vit.multiplications}`);
  const bundled = await jsonOf(['--tower', 'text']);
  assert.equal(bundled.model, 'halfclip-emoji');
});

test('a table, with layers that are alike in one line, or each in its own', async () => {
  const args = ['profile', ...MODEL, ...WEIGHTS, '--tower', 'image', '--runs', '2', '--threads', '1'];
  const [heading, sums, blank, columns, ...lines] = (await works(args)).trimEnd().split('\n');
  assert.match(heading, /^its own config, image tower at int8, (relaxed SIMD|SIMD \(simd128\)), 1 thread$/);
  assert.match(sums, /^\d+\.\d\d ms for one input of full length \(median of 2 runs\), 0\.00 · 10⁹ multiplications, /);
  assert.equal(blank, '');
  assert.match(columns, /operation .* kind .* rows × n × k .* ms .* GOP\/s .* share$/);
  const folded = lines.filter((line) => line.includes('.mlp.c_fc'));
  assert.equal(folded.length, 2, folded.join('\n'));
  assert.match(folded[0], /visual\.transformer\.resblocks\.\*\.mlp\.c_fc +2 × +linear +17 × 256 × 64 +0\.6 /);
  assert.match(folded[1], /visual\.transformer\.resblocks\.2\.mlp\.c_fc +linear +1 × 256 × 64 /);
  const all = (await works([...args, '--all'])).trimEnd().split('\n');
  assert.equal(all.filter((line) => line.includes('.mlp.c_fc')).length, LAYERS);
  assert.ok(all.length > lines.length + 4);
});

test('folding: numbers that differ become *, others stay; other shapes and kinds are others', () => {
  const one = (name, more) => {
    const shape = { rows: 4, height: 0, width: 0, n: 2, k: 3 };
    return { kind: 'linear', name, ...shape, multiplications: 24, milliseconds: 1, gops: 0, share: 0.1, ...more };
  };
  const folded = foldLayers([
    one('stages.0.blocks.0.fc1.'),
    one('stages.0.blocks.0.fc1.', { kind: 'norm' }),
    one('stages.0.blocks.1.fc1.', { milliseconds: 2 }),
    one('stages.1.blocks.0.fc1.', { n: 5 }),
    one('stages.0.blocks.10.fc1.'),
  ]);
  assert.deepEqual(
    folded.map(({ name, kind, n, count, multiplications, milliseconds }) => [
      name,
      kind,
      n,
      count,
      multiplications,
      milliseconds,
    ]),
    [
      ['stages.0.blocks.*.fc1.', 'linear', 2, 3, 72, 4],
      ['stages.0.blocks.0.fc1.', 'norm', 2, 1, 24, 1],
      ['stages.1.blocks.0.fc1.', 'linear', 5, 1, 24, 1],
    ],
  );
  assert.equal(folded[0].gops, (2 * 72) / 4 / 1e6);
  assert.ok(Math.abs(folded[0].share - 0.3) < 1e-9);
});

test('grids are shown by their sides, and nothing is divided by a time of zero', () => {
  const operation = { kind: 'convolution', name: 'conv1.', rows: 12, height: 3, width: 4, n: 8, k: 0 };
  const info = { model: null, tower: 'image', dtype: 'int8', simd: 'relaxed', threads: 1 };
  const profile = summarize(info, { runs: 1, operations: [{ ...operation, multiplications: 5e6, milliseconds: 0 }] });
  assert.deepEqual([profile.gops, profile.operations[0].gops, profile.operations[0].share], [0, 0, 0]);
  assert.deepEqual(tableOf(profile.operations)[1], [
    'conv1',
    '',
    'convolution',
    '(3 × 4) × 8',
    '5.0',
    '0.000',
    '',
    '0.0 %',
  ]);
});

test('embedding operation by operation leaves the tower as it was, and takes its turn', async () => {
  const weights = { bytes: new Uint8Array(file) };
  const options = { tower: 'text', model: null, config: JSON.stringify(config), weights, dtype: 'fp32' };
  const encoder = await loadEncoder({ ...options, families: 'all' }, {});
  const ids = [Int32Array.from({ length: 16 }, (_, i) => i)];
  const [before] = await encoder.texts.embedTokens(ids);
  const [profile, [during]] = await Promise.all([
    profileTower(encoder.tower, { runs: 3 }),
    encoder.texts.embedTokens(ids),
  ]);
  assert.equal(profile.runs, 3);
  assert.deepEqual(during, before);
  const abort = new AbortController();
  const endless = profileTower(encoder.tower, { seconds: 60, signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await assert.rejects(endless, { name: 'AbortError' });
  assert.deepEqual(await encoder.texts.embedTokens(ids), [before]);
  encoder.dispose();
});

test('what makes no sense is told', async () => {
  await fails(['profile', 'a cat'], 2, /^halfclip: usage: profile takes no inputs, got a cat\n$/);
  await fails(['profile', '--runs', '0'], 2, /--runs is 0, expected a number/);
  await fails(['profile', '--tower', 'sound'], 2, /--tower is sound/);
  await fails(['profile', '--model', 'ViT-B-33'], 1, /model\/unknown: .*ViT-B-32/);
  await fails(['profile', ...MODEL, '--weights', 'none.safetensors'], 1, /weights\/not-found: none\.safetensors/);
});
