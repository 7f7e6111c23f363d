// How the kernels are chosen: by what the engine computes, never by the clock. Here the clock says whether it was
// right.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { loadTextEncoder } from '../../dist/index.js';
import { detectDot, detectSimd } from '../../web/wasm/simd.js';
import { randomCheckpoint } from './support.mjs';

const run = promisify(execFile);
const simd = detectSimd();
const skip = simd !== 'relaxed' && 'this engine has no relaxed SIMD';

// What x86 without VNNI, with VNNI, and what machines that take both numbers as signed make of four times 127 * 255.
const SUMS = { 65534: 'pairs', 129540: 'quads', [-508]: 'quads' };

test('an engine without relaxed SIMD gets the baseline', () => {
  assert.match(simd, /^(relaxed|simd128)$/);
  if (Number(process.versions.node.split('.')[0]) >= 22) assert.equal(simd, 'relaxed');
  if (simd === 'simd128') assert.equal(detectDot(), 'pairs');
});

test('the probe says the same before and after the engine optimises it', { skip }, () => {
  const [, probe] = /const PROBE =\s+'([^']+)'/.exec(
    readFileSync(new URL('../../web/wasm/simd.js', import.meta.url), 'utf8'),
  );
  const { dot } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(probe, 'base64'))).exports;
  const first = dot(127, 255);
  assert.equal(SUMS[first], detectDot(), `${first}`);
  for (let i = 0; i < 3e6; i++)
    if (dot(127, 255) !== first) assert.fail(`${dot(127, 255)} in call ${i}, ${first} at first`);
  assert.equal(dot(127, 127), 4 * 127 * 127);
});

test('without VNNI it is pairs', { skip }, async (t) => {
  const { stdout: known } = await run(process.execPath, ['--v8-options'], { maxBuffer: 1 << 24 });
  const flags = ['avx-vnni', 'avx-vnni-int8']
    .filter((name) => known.includes(`--enable-${name} `))
    .map((name) => `--no-enable-${name}`);
  if (process.arch !== 'x64' || !flags.length) {
    t.skip('this engine knows no VNNI');
    return;
  }
  const module = new URL('../../web/wasm/simd.js', import.meta.url);
  const program = `import { detectDot, detectSimd } from ${JSON.stringify(module.href)}; console.log(detectSimd(), detectDot());`;
  const { stdout } = await run(process.execPath, [...flags, '--input-type=module', '--eval', program]);
  assert.equal(stdout, 'relaxed pairs\n');
});

// On x86 the right choice is faster by a third at least. Processor time, and the median of many turns, keep out what
// else the machine does.
test(
  'the chosen kernel is the faster one',
  { skip: skip || (process.arch !== 'x64' && 'close to each other on this machine') },
  async () => {
    const chosen = detectDot();
    const other = chosen === 'pairs' ? 'quads' : 'pairs';
    const { file: weights, config: model } = randomCheckpoint({
      text_cfg: { context_length: 77, vocab_size: 1000, width: 512, heads: 8, layers: 4 },
    });
    const ids = new Int32Array(77).fill(320).fill(999, 76);
    const load = (options) => loadTextEncoder({ model, weights, dtype: 'int8', ...options });
    const encoders = [await load({}), await load({ dot: other })];
    const ratios = [];
    for (let i = 0; i < 60; i++) {
      const times = [];
      for (const encoder of encoders) {
        const before = process.cpuUsage();
        await encoder.embedTokens(ids);
        times.push(process.cpuUsage(before).user);
      }
      ratios.push(times[0] / times[1]);
    }
    for (const encoder of encoders) encoder.dispose();
    const median = ratios.sort((a, b) => a - b)[30];
    assert.ok(median < 1, `${chosen} takes ${median.toFixed(2)} of the time of ${other}`);
  },
);
