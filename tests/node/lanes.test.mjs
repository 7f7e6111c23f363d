// Many pictures on several threads, whole ones on each: the same vectors and the same errors as on one thread, and
// nothing left of the threads when the encoder is gone.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { openAsBlob, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { loadImageEncoder } from '../../dist/index.js';
import { golden } from './support.mjs';

const run = promisify(execFile);
const MODULE = new URL('../../dist/index.js', import.meta.url).href;
const PICTURES = fileURLToPath(new URL('../pictures/', import.meta.url));
const NAMES = ['owl.jpg', 'castle.jpg', 'pizza.jpg', 'tiger.jpg'].map((name) => PICTURES + name);
const raw = (seed) => ({
  data: Uint8Array.from({ length: 90 * 70 * 3 }, (_, i) => (i * seed) % 251),
  width: 90,
  height: 70,
});

/** The outcomes of a run, all of them. */
async function collect(run) {
  const outcomes = [];
  for await (const outcome of run) outcomes.push(outcome);
  return outcomes;
}

let server;
let address;

before(async () => {
  server = createServer((request, response) => {
    if (request.url === '/none') response.writeHead(404).end();
    else response.end(readFileSync(NAMES[1]));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());

/** Of each kind of source some, damaged ones too; more than it takes until every thread has whole pictures. */
async function manySources() {
  const file = new File([readFileSync(NAMES[2])], 'pizza.jpg');
  const cut = readFileSync(NAMES[0]).subarray(0, 3000);
  const one = [...NAMES, raw(7), await openAsBlob(NAMES[3]), file, `${address}/picture`, readFileSync(NAMES[0])];
  const bad = [
    `${PICTURES}missing.jpg`,
    new File([cut], 'cut.jpg'),
    `${address}/none`,
    'data:text/plain,none',
    cut,
    {},
  ];
  return [...one, ...bad, ...one, ...bad, ...one];
}

/** What a caller sees of an outcome. */
const seen = ({ index, vector, error }) => ({ index, vector, code: error?.code, message: error?.message });

const { config, path } = golden('real-shape');
const TOWERS = {
  'bundled model': { model: 'halfclip-emoji' },
  int8: { model: config, weights: path, dtype: 'int8' },
  fp32: { model: config, weights: path, dtype: 'fp32' },
};

for (const [name, tower] of Object.entries(TOWERS)) {
  for (const worker of [false, true]) {
    test(`the same outcomes as on one thread: ${name}${worker ? ', in a worker' : ''}`, async () => {
      const sources = await manySources();
      const options = { ...tower, worker, retry: { attempts: 1 } };
      const one = await loadImageEncoder({ ...options, threads: 1 });
      const several = await loadImageEncoder({ ...options, threads: 2 });
      try {
        const expected = (await collect(one.embedAll(sources))).map(seen);
        assert.equal(expected.filter(({ code }) => code).length, 12);
        for (const ahead of [undefined, 0, 1, 9])
          assert.deepEqual((await collect(several.embedAll(sources, { ahead }))).map(seen), expected);
        const good = sources.filter((_, i) => !expected[i].code);
        const wanted = expected.filter(({ vector }) => vector).map(({ vector }) => vector);
        assert.deepEqual(await several.embed(good), wanted);
        assert.deepEqual(await Promise.all(good.map((source) => several.embed(source))), wanted);
      } finally {
        one.dispose();
        several.dispose();
      }
    });
  }
}

/** Runs a program that has `image`, an encoder with two threads, `many`, paths, and `count()`, of the main thread's workers. */
async function program(body, { worker = false, flags = [] } = {}) {
  const text = `
    import { syncBuiltinESMExports } from 'node:module';
    import threads from 'node:worker_threads';
    let workers = 0;
    const count = () => workers;
    threads.Worker = class extends threads.Worker {
      constructor(...args) {
        super(...args);
        workers++;
        this.once('exit', () => workers--);
      }
    };
    syncBuiltinESMExports();
    const { loadImageEncoder } = await import(${JSON.stringify(MODULE)});
    const until = async (right) => {
      for (let i = 0; i < 200 && !right(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    const many = Array(12).fill(${JSON.stringify(NAMES)}).flat();
    let image = await loadImageEncoder({ model: 'halfclip-emoji', threads: 2, worker: ${worker} });
    ${body}`;
  const { stdout } = await run(process.execPath, [...flags, '--input-type=module', '--eval', text], { timeout: 60000 });
  return JSON.parse(stdout);
}

test('each thread has pictures of its own once there are many, and is gone with the encoder', async () => {
  const counts = await program(
    `const counts = [count()]; // one that helps with single pictures
    await image.embed(many[0]);
    await image.embed(many.slice(0, 2));
    counts.push(count());
    await image.embed(many);
    await until(() => count() === 3);
    await image.embed(many);
    counts.push(count());
    image.dispose();
    await until(() => count() === 0);
    counts.push(count());
    console.log(JSON.stringify(counts));`,
  );
  assert.deepEqual(counts, [1, 1, 3, 0]);
});

test('the threads of an encoder that is dropped go with it', async () => {
  const counts = await program(
    `await image.embed(many);
    await until(() => count() === 3);
    const counts = [count()];
    image = null;
    await until(() => (gc(), count() === 0));
    counts.push(count());
    console.log(JSON.stringify(counts));`,
    { flags: ['--expose-gc'] },
  );
  assert.deepEqual(counts, [3, 0]);
});

for (const worker of [false, true]) {
  const where = worker ? ', from within a worker too' : '';

  test(`what is under way rejects when the encoder is disposed of${where}`, async () => {
    const codes = await program(
      `await image.embed(many);
      const failing = image.embed(many).catch(({ code }) => code);
      const one = image.embed(many[0]).catch(({ code }) => code);
      await new Promise((resolve) => setTimeout(resolve, 5));
      image.dispose();
      console.log(JSON.stringify([await failing, await one]));`,
      { worker },
    );
    assert.deepEqual(codes, ['state/disposed', 'state/disposed']);
  });
}

test('threads that are still starting go with the encoder', async () => {
  // By the time that starting takes here, at many of its moments; the program ends by itself or not at all.
  const left = await program(
    `image.dispose();
    for (let delay = 0; delay < 60; delay += 6) {
      const other = await loadImageEncoder({ model: 'halfclip-emoji', threads: 2, worker: false });
      const failing = other.embed(many).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, delay));
      other.dispose();
      await failing;
    }
    await until(() => count() === 0);
    console.log(JSON.stringify(count()));`,
  );
  assert.equal(left, 0);
});

test('an abort ends pictures under way, and the next call works', async () => {
  const several = await loadImageEncoder({ model: 'halfclip-emoji', threads: 2 });
  const many = Array(30).fill(NAMES).flat();
  const expected = await several.embed(NAMES[0]);
  await several.embed(many.slice(0, 12));
  for (const delay of [0, 1, 5, 20]) {
    const controller = new AbortController();
    const run = several.embed(many, { signal: controller.signal });
    await sleep(delay);
    controller.abort(new Error('enough'));
    await assert.rejects(run, { message: 'enough' });
    assert.deepEqual((await several.embed(many.slice(0, 8)))[0], expected);
  }
  several.dispose();
  await assert.rejects(several.embed(many), { code: 'state/disposed' });
});

test('a program ends while threads wait for pictures', async () => {
  assert.equal(await program('console.log((await image.embed(many)).length);'), 48);
});
