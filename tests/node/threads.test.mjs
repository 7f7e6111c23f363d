// Threads: the same vectors on any number of them, no work for the processor while there is nothing to do, and none
// left when the encoder is gone.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { golden, randomCheckpoint, rows } from './support.mjs';

const run = promisify(execFile);
const MODULE = new URL('../../dist/index.js', import.meta.url).href;
const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const load = { image: loadImageEncoder, text: loadTextEncoder };

const small = randomCheckpoint({ text_cfg: { context_length: 16, vocab_size: 100, width: 128, heads: 2, layers: 2 } });
const large = randomCheckpoint({ text_cfg: { context_length: 77, vocab_size: 1000, width: 512, heads: 8, layers: 4 } });
const ids = Int32Array.from({ length: 77 }, (_, i) => (i < 60 ? 3 + i : i === 60 ? 999 : 0));
let folder;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  for (const [name, { config, file }] of Object.entries({ small, large })) {
    writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(config));
    writeFileSync(path.join(folder, `${name}.safetensors`), file);
  }
});
after(() => rmSync(folder, { recursive: true }));

test('one is one; more are as many; auto depends on the tower', async () => {
  for (const [threads, expected] of [
    [1, 1],
    [2, 2],
    [5, 5],
  ]) {
    const encoder = await loadTextEncoder({ model: small.config, weights: small.file, threads });
    assert.equal(encoder.info.threads, expected);
    assert.match(encoder.info.simd, /^(relaxed|simd128)$/);
    encoder.dispose();
  }
  for (const [{ config, file }, expected] of [
    [small, /^1$/],
    [large, /^[1-8]$/],
  ]) {
    const encoder = await loadTextEncoder({ model: config, weights: file });
    assert.match(String(encoder.info.threads), expected);
    encoder.dispose();
  }
  for (const threads of [0, -1, 1.5, '2', null]) {
    await assert.rejects(loadTextEncoder({ model: small.config, weights: small.file, threads }), {
      code: 'input/type',
      message: /option threads/,
    });
  }
});

for (const dtype of ['fp32', 'fp16', 'int8', 'int4']) {
  for (const tower of ['image', 'text']) {
    test(`the same bits on any number of threads: ${tower}, ${dtype}`, async () => {
      const { config: model, path: weights, expected } = golden('real-shape');
      const inputs = rows(tower === 'image' ? expected.pixels : expected.tokens);
      let first;
      for (const threads of [1, 2, 3]) {
        const encoder = await load[tower]({ model, weights, dtype, threads, worker: threads === 3 });
        const vectors = await encoder[tower === 'image' ? 'embedPixels' : 'embedTokens'](inputs);
        assert.equal(encoder.info.threads, threads);
        encoder.dispose();
        first ??= vectors;
        assert.deepEqual(vectors, first, `${threads} threads`);
      }
    });
  }
}

test('embedding takes no memory', async () => {
  for (const threads of [1, 2]) {
    const encoder = await loadTextEncoder({ model: large.config, weights: large.file, dtype: 'int8', threads });
    const { memoryBytes } = encoder.info;
    await encoder.embedTokens(Array(100).fill(ids));
    assert.equal(encoder.info.memoryBytes, memoryBytes);
    encoder.dispose();
    const image = await loadImageEncoder({ model: 'halfclip-emoji', threads });
    const before = image.info.memoryBytes;
    await image.embedPixels(Array(30).fill(new Float32Array(3 * 64 * 64).fill(0.5)));
    assert.equal(image.info.memoryBytes, before);
    image.dispose();
  }
});

test('threads that have nothing to do sleep', async () => {
  const encoder = await loadTextEncoder({ model: large.config, weights: large.file, threads: 4 });
  await encoder.embedTokens(ids);
  await sleep(300);
  const { user, system } = process.cpuUsage();
  await sleep(1000);
  const used = (process.cpuUsage().user + process.cpuUsage().system - user - system) / 1e6;
  assert.ok(used < 0.2, `${used} s of processor time in a second without work`);
  await encoder.embedTokens(ids); // they wake up again
  encoder.dispose();
});

/** Runs a program that has `count()`, the number of the process's threads, and `load(options)`. */
async function program(body, args = []) {
  const text = `
    import { readFileSync } from 'node:fs';
    import { loadTextEncoder } from ${JSON.stringify(MODULE)};
    const count = () => Number(/^Threads:\\s*(\\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const until = async (right) => { for (let i = 0; i < 100 && !right(); i++) await sleep(50); };
    const model = JSON.parse(readFileSync(${JSON.stringify(path.join(folder, 'large.json'))}));
    const ids = new Int32Array(77).fill(7, 0, 60).fill(999, 60, 61);
    const load = (options) => loadTextEncoder({ model, weights: ${JSON.stringify(path.join(folder, 'large.safetensors'))}, ...options });
    ${body}`;
  const { stdout } = await run(process.execPath, [...args, '--input-type=module', '--eval', text], { timeout: 60000 });
  return JSON.parse(stdout);
}

const skip = !existsSync('/proc/self/status') && 'the system does not tell how many threads there are';

test('dispose ends the threads, from within a worker too', { skip }, async () => {
  for (const worker of [false, true]) {
    const { before, during, after } = await program(`
      (await load({ threads: 1, worker: ${worker} })).dispose();
      await sleep(200);
      const before = count();
      const encoder = await load({ threads: 4, worker: ${worker} });
      await encoder.embedTokens(ids);
      await until(() => count() >= before + 3);
      const during = count();
      encoder.dispose();
      await until(() => count() <= before);
      console.log(JSON.stringify({ before, during, after: count() }));`);
    assert.ok(
      during >= before + 3 && after <= before,
      `${before} threads before, ${during} with the encoder, ${after} after`,
    );
  }
});

test('a program ends while threads sleep', async () => {
  assert.equal(
    await program(
      'const encoder = await load({ threads: 3 }); await encoder.embedTokens(ids); console.log(encoder.info.threads);',
    ),
    3,
  );
});

test('an encoder that is forgotten takes its threads with it', { skip }, async () => {
  const { before, during, after } = await program(
    `
    await load({ threads: 1 });
    const before = count();
    let encoder = await load({ threads: 4 });
    await encoder.embedTokens(ids);
    const during = count();
    encoder = null;
    await until(() => (gc(), count() <= before));
    console.log(JSON.stringify({ before, during, after: count() }));`,
    ['--expose-gc'],
  );
  assert.ok(
    during >= before + 3 && after <= before,
    `${before} threads before, ${during} with the encoder, ${after} after`,
  );
});

test('a load that fails or is aborted leaves no threads', { skip }, async () => {
  const { before, after, codes } = await program(`
    await load({ threads: 1 });
    const before = count();
    const codes = [];
    const file = readFileSync(${JSON.stringify(path.join(folder, 'large.safetensors'))});
    const fail = (options) => load({ threads: 3, ...options }).then(() => 'loaded', ({ code, name }) => code ?? name);
    codes.push(await fail({ weights: file.subarray(0, file.length - 1000) }));
    codes.push(await fail({ integrity: 'sha256-AAAA' }));
    const abort = new AbortController();
    codes.push(await fail({ signal: abort.signal, onProgress: () => abort.abort() }));
    await until(() => count() <= before);
    console.log(JSON.stringify({ before, after: count(), codes }));`);
  assert.deepEqual(codes, ['weights/truncated', 'integrity/mismatch', 20]);
  assert.ok(after <= before, `${before} threads before, ${after} after`);
});

test('without workers it is one thread', async (t) => {
  const flag = ['--permission', '--experimental-permission'].find((name) =>
    process.allowedNodeEnvironmentFlags.has(name),
  );
  if (!flag) return t.skip('this Node.js cannot forbid workers');
  const found = await program(
    `
    const encoder = await load({ threads: 3 });
    const [vector] = await encoder.embedTokens([ids]);
    await until(() => encoder.info.threads === 1);
    console.log(JSON.stringify({ threads: encoder.info.threads, length: Math.hypot(...vector) }));`,
    [flag, '--allow-fs-read=*'],
  );
  assert.equal(found.threads, 1);
  assert.ok(Math.abs(found.length - 1) < 1e-5);
});

test('the command line takes --threads', async () => {
  const results = [];
  for (const threads of ['1', '3', 'auto'])
    results.push((await run(process.execPath, [CLI, 'embed', '--threads', threads, 'a cat'])).stdout);
  assert.match(results[0], /^\{"input":"a cat","embedding":\[/);
  assert.ok(
    results.every((text) => text === results[0]),
    results.join('\n'),
  );
  await assert.rejects(
    run(process.execPath, [CLI, 'embed', '--threads', 'many', 'a cat']),
    ({ code, stderr }) => code > 0 && /threads/.test(stderr),
  );
});

test('the modules for threads are the same in all but their memory', () => {
  for (const flavour of ['relaxed', 'simd128']) {
    const bytes = readFileSync(new URL(`../../dist/halfclip-${flavour}-threads.wasm`, import.meta.url));
    if (!WebAssembly.validate(bytes)) continue;
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(
      ({ module, name }) => `${module}.${name}`,
    );
    assert.deepEqual(imports.sort(), ['env.memory', 'env.write']);
  }
});
