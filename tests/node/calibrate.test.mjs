// halfclip shard --calibrate, --at-least and --bits, on the bundled model; and the choice of bits alone.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { cosineSimilarity, loadImageEncoder, loadTextEncoder } from '../../dist/node.js';
import { bitsAWeight, fitBits, leastCount, orderByLoss } from '../../web/cli/bits.js';
import { jsonLines, programIn } from './cli-program.mjs';

const PICTURES = fileURLToPath(new URL('../pictures', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-calibrate-'));
const at = (name) => path.join(folder, name);
const { works, fails } = programIn(folder);
after(() => rmSync(folder, { recursive: true }));

const pictures = readdirSync(PICTURES)
  .filter((_, i) => i % 3 === 0)
  .map((name) => path.join(PICTURES, name));
const texts = readdirSync(PICTURES).map((name) => `a picture of a ${name.replace(/\.jpg$/, '').replaceAll('-', ' ')}`);
writeFileSync(at('texts.txt'), `\ufeff${texts.join('\r\n')}\n\n`);

const INPUTS = { image: [PICTURES, pictures], text: [at('texts.txt'), texts] };
const LOAD = { image: loadImageEncoder, text: loadTextEncoder };

async function shard(tower, out, ...options) {
  const args = ['shard', '--tower', tower, '--dtype', 'int4', '--out', at(out), ...options];
  const [report] = jsonLines(await works(args));
  return report;
}

async function vectorsOf(tower, options) {
  const encoder = await LOAD[tower](options);
  const vectors = await encoder.embed(INPUTS[tower][1]);
  encoder.dispose();
  return vectors;
}

const meanCosine = (a, b) => a.reduce((sum, vector, i) => sum + cosineSimilarity(vector, b[i]), 0) / a.length;

for (const tower of ['image', 'text']) {
  test(`${tower}: calibrated weights are closer than rounded ones, at the same size`, async () => {
    const expected = await vectorsOf(tower, { model: 'halfclip-emoji', dtype: 'fp32' });
    const plain = await vectorsOf(tower, { model: 'halfclip-emoji', dtype: 'int4' });
    const report = await shard(tower, 'four.safetensors', '--calibrate', INPUTS[tower][0]);
    const calibrated = await vectorsOf(tower, { weights: at('four.safetensors') });
    assert.equal(report.dtype, 'int4');
    assert.equal(report.bytes, readFileSync(at('four.safetensors')).length);
    const { calibration } = report;
    assert.ok(Math.abs(calibration.bitsAWeight - 4.5) < 0.01, `${calibration.bitsAWeight} bits`);
    assert.ok(calibration.tensors.every(({ bits }) => bits === 4));
    assert.equal(calibration.madeUp, false);
    assert.ok(calibration.measured >= 8 && calibration.inputs > 3 * calibration.measured);
    const [loss, plainLoss] = [1 - meanCosine(calibrated, expected), 1 - meanCosine(plain, expected)];
    assert.ok(loss < plainLoss, `lost ${loss}, rounded alone ${plainLoss}`);
    // What was reported is what others see.
    const { mean, least } = calibration.cosine;
    assert.ok(mean > 0.99 && least <= mean, `${mean}, ${least}`);
  });

  test(`${tower}: bits a weight, which tensors have 8 and what each lost, and what everyone gets of them`, async () => {
    const { calibration, bytes } = await shard(
      tower,
      'six.safetensors',
      '--bits',
      '6',
      '--calibrate',
      INPUTS[tower][0],
    );
    const { tensors } = calibration;
    const sizes = (key) => tensors.reduce((sum, tensor) => sum + tensor[key], 0);
    assert.ok(calibration.bitsAWeight <= 6 && calibration.bitsAWeight > 5, `${calibration.bitsAWeight} bits`);
    assert.ok(Math.abs((8 * sizes('bytes')) / sizes('weights') - calibration.bitsAWeight) < 1e-9);
    assert.ok(sizes('bytes') < bytes);
    const eights = tensors.filter(({ bits }) => bits === 8);
    assert.ok(eights.length && eights.length < tensors.length);
    assert.ok(tensors.every(({ loss }) => loss >= 0));
    const worth = ({ loss, weights }) => loss / weights;
    assert.ok(worth(tensors[0]) >= Math.max(...tensors.filter(({ bits }) => bits === 4).map(worth)));

    // Nothing needs to be said to load it, and it is the same in both flavours and any number of threads.
    const options = { weights: at('six.safetensors') };
    const vectors = await vectorsOf(tower, options);
    for (const other of [
      { simd: 'simd128', threads: 1 },
      { dtype: 'int4', threads: 3 },
    ])
      assert.deepEqual(await vectorsOf(tower, { ...options, ...other }), vectors);
    // It is written again as it is, and loads at other dtypes.
    await works(['shard', '--tower', tower, '--weights', at('six.safetensors'), '--out', at('again.safetensors')]);
    assert.deepEqual(readFileSync(at('again.safetensors')), readFileSync(at('six.safetensors')));
    const eight = await vectorsOf(tower, { ...options, dtype: 'int8' });
    assert.ok(meanCosine(eight, vectors) > 0.99);
  });

  test(`${tower}: a cosine at least, without pictures or texts`, async () => {
    const target = 0.99;
    const { calibration } = await shard(tower, 'b.safetensors', '--at-least', String(target));
    assert.equal(calibration.madeUp, true);
    assert.ok(calibration.cosine.mean - calibration.cosine.error >= target);
    assert.ok(calibration.bitsAWeight > 4.49 && calibration.bitsAWeight < 8.1, `${calibration.bitsAWeight} bits`);
    await fails(
      ['shard', '--tower', tower, '--dtype', 'int4', '--out', 'c.safetensors', '--at-least', '1'],
      1,
      /input\/type: option at-least is 1, but with all tensors at 8 bits the mean cosine is 0\.9/,
    );
    assert.ok(!readdirSync(folder).some((name) => name.startsWith('c.safetensors')));
  });
}

test('the same bytes on any number of threads', async () => {
  await shard('image', 'two.safetensors', '--calibrate', PICTURES, '--threads', '2');
  await shard('image', 'three.safetensors', '--calibrate', PICTURES, '--threads', '3');
  assert.deepEqual(readFileSync(at('two.safetensors')), readFileSync(at('three.safetensors')));
});

test('what makes no sense', async () => {
  const image = ['shard', '--tower', 'image', '--out', 'x.safetensors'];
  await fails([...image, '--calibrate', PICTURES], 2, /--calibrate needs --dtype int4, got none/);
  await fails([...image, '--dtype', 'int8', '--bits', '6'], 2, /--bits needs --dtype int4, got --dtype int8/);
  const int4 = [...image, '--dtype', 'int4'];
  await fails([...int4, '--bits', '6', '--at-least', '0.9'], 2, /give one/);
  for (const bits of ['4', '17', 'six', '']) await fails([...int4, '--bits', bits], 2, /--bits is .*expected a number/);
  for (const cosine of ['1.1', '-1', 'x'])
    await fails([...int4, `--at-least=${cosine}`], 2, /--at-least is .*from 0 to 1/);
});

test('inputs that are none', async () => {
  const int4 = (tower) => ['shard', '--tower', tower, '--dtype', 'int4', '--out', 'x.safetensors', '--calibrate'];
  mkdirSync(at('empty'));
  mkdirSync(at('broken'));
  writeFileSync(
    at('broken/cut.png'),
    readFileSync(new URL('../golden/pictures/png-0-1.png', import.meta.url)).subarray(0, 40),
  );
  writeFileSync(at('blank.txt'), '\n  \n');
  await fails([...int4('image'), 'empty'], 1, /input\/decode: empty: there is no picture in this folder/);
  await fails([...int4('image'), 'nowhere.png'], 1, /nowhere\.png/);
  await fails([...int4('image'), 'broken'], 1, /input\/decode: .*cut\.png/);
  await fails([...int4('text'), 'nowhere.txt'], 1, /option --calibrate: nowhere\.txt: there is no such file/);
  await fails([...int4('text'), 'empty'], 1, /option --calibrate: empty: is a folder/);
  await fails([...int4('text'), 'blank.txt'], 1, /option --calibrate: blank\.txt: holds no texts/);
  assert.ok(!readdirSync(folder).some((name) => name.startsWith('x.safetensors')));
});

test('the order of tensors, and how many of them', async () => {
  const tensor = (index, loss, weights) => ({ index, loss, weights, bytes4: weights / 2, bytes8: weights });
  const tensors = [tensor(0, 1, 100), tensor(1, 3, 100), tensor(2, 4, 1000), tensor(3, 0, 10), tensor(4, 1, 100)];
  const order = orderByLoss(tensors);
  assert.deepEqual(
    order.map(({ index }) => index),
    [1, 0, 4, 2, 3],
  );
  assert.equal(bitsAWeight(order, 0), 4);
  assert.equal(bitsAWeight(order, 5), 8);
  assert.equal(bitsAWeight(order, 1), (8 * (655 + 50)) / 1310);
  // The large one does not fit, what is behind it does.
  const fitted = fitBits(order, 5);
  assert.deepEqual(
    fitted.order.map(({ index }) => index),
    [1, 0, 4, 3, 2],
  );
  assert.equal(fitted.eights, 4);
  assert.deepEqual(fitBits(order, 4).eights, 0);
  assert.deepEqual(fitBits(order, 8).eights, 5);
  for (const enough of [0, 1, 5, 9, 10]) assert.equal(await leastCount(0, 10, async (n) => n >= enough), enough);
  assert.equal(await leastCount(0, 10, async () => false), 10);
});
