// halfclip/index in the browser, under the strict policy: on a page's own thread and in a worker, with files of the origin
// private file system, and two tabs that save the same one.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { VectorIndex } from '../../dist/vector-index-node.js';
import { serve } from '../../web/cli/server.js';
import { randomVectors } from '../node/vectors.mjs';
import { launch } from './engine.mjs';

const DIM = 70;
const vectors = randomVectors(300, DIM, 17).map((vector) => [...vector]);

let folder;
let server;
let browser;

// What a page and a worker do.
const MODULE = `
import { HalfclipError, VectorIndex } from '/halfclip/vector-index.js';
const calls = {
  fill({ name, vectors, dtype }) {
    const index = new VectorIndex({ dim: vectors[0].length, dtype, metadata: { from: name } });
    vectors.forEach((vector, i) => index.add(i, vector, { data: { i } }));
    const found = index.search(vectors[0], { limit: 20 });
    return index.save(name).then(() => ({ found, kernels: index.kernels }));
  },
  async search({ source, query }) {
    const index = await VectorIndex.load(source);
    return { metadata: index.metadata, found: index.search(query, { limit: 20 }) };
  },
  async add({ name, id, vector }) {
    for (;;) {
      const index = await VectorIndex.load(name);
      index.add(id, vector);
      try {
        return await index.save(name);
      } catch (error) {
        if (error.code !== 'weights/changed') throw error;
      }
    }
  },
  async stale({ name, vector }) {
    const [one, other] = [await VectorIndex.load(name), await VectorIndex.load(name)];
    one.remove(0);
    await one.save(name);
    return other.save(name).catch((error) => [error.code, error instanceof HalfclipError]);
  },
  async blob({ vectors }) {
    const index = new VectorIndex({ dim: vectors[0].length });
    index.add('a', vectors[0]);
    const blob = await index.save();
    return [blob.size, (await VectorIndex.load(blob.stream())).size];
  },
  async ids(name) {
    return [...(await VectorIndex.load(name)).ids()];
  },
  async load(name) {
    return VectorIndex.load(name).catch(({ code, message }) => [code, message]);
  },
  async replaced({ name, times, vector }) {
    const handle = await (await navigator.storage.getDirectory()).getFileHandle(name);
    let left = times;
    return VectorIndex.load({
      [Symbol.toStringTag]: 'FileSystemFileHandle',
      async getFile() {
        const file = await handle.getFile();
        if (left-- > 0) {
          const index = await VectorIndex.load(handle);
          index.add('after ' + left, vector);
          await index.save(handle);
        }
        return file;
      },
    }).then(({ size }) => size, ({ code }) => code);
  },
  async parts(name) {
    const file = await (await (await navigator.storage.getDirectory()).getFileHandle(name)).getFile();
    const length = new DataView(await file.slice(0, 8).arrayBuffer()).getUint32(0, true);
    const header = JSON.parse(await file.slice(8, 8 + length).text());
    return Object.keys(header).filter((key) => /^vectors/.test(key)).length;
  },
  async full({ name, vectors }) {
    // The n-th write to a file that is added to fails, each time after half of it; then the next save works.
    const { prototype } = FileSystemSyncAccessHandle;
    const { write } = prototype;
    const outcomes = [];
    for (let n = 0; ; n++) {
      const index = await VectorIndex.load(name);
      const before = index.size;
      let count = 0;
      prototype.write = function (bytes, options) {
        if (count++ !== n) return write.call(this, bytes, options);
        prototype.write = write;
        return write.call(this, bytes.subarray(0, bytes.length >> 1), options);
      };
      index.add('full ' + n, vectors[0]);
      const error = await index.save(name).catch((error) => error);
      prototype.write = write;
      if (!error) return outcomes;
      const { size, damage } = await VectorIndex.load(name);
      await index.save(name);
      const after = (await VectorIndex.load(name)).size;
      outcomes.push([error.name, size - before, after - before, damage?.lost ?? 0]);
    }
  },
  async names() {
    const names = [];
    for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
    return names.sort();
  },
};
export const call = (name, value) => calls[name](value);
`;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const site = path.join(folder, 'site');
  mkdirSync(site);
  writeFileSync(path.join(site, 'calls.js'), MODULE);
  writeFileSync(
    path.join(site, 'worker.js'),
    `import { call } from './calls.js';
    onmessage = async ({ data: [name, value] }) => postMessage(await call(name, value));`,
  );
  writeFileSync(
    path.join(site, 'main.js'),
    `import { call } from './calls.js';
    window.call = call;
    const worker = new Worker('worker.js', { type: 'module' });
    window.callWorker = (name, value) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage([name, value]);
      });`,
  );
  writeFileSync(
    path.join(site, 'index.html'),
    '<!DOCTYPE html><link rel="icon" href="data:,"><title>index</title><script type="module" src="main.js"></script>',
  );
  const other = new VectorIndex({ dim: DIM, metadata: { from: 'a server' } });
  vectors.forEach((vector, i) => other.add(`served ${i}`, vector));
  await other.save(path.join(site, 'served.index'));
  server = await serve({ root: { '/': site, '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)) } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true });
});

async function openPage(context) {
  const page = await context.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => window.callWorker);
  return page;
}

const expected = (dtype, ids = (i) => i, data = true) => {
  const index = new VectorIndex({ dim: DIM, dtype });
  vectors.forEach((vector, i) => index.add(ids(i), vector, data ? { data: { i } } : {}));
  return index.search(vectors[0], { limit: 20 });
};

for (const where of ['call', 'callWorker']) {
  for (const dtype of ['int8', 'fp32']) {
    test(`${where}, ${dtype}: what Node.js finds, before and after a file`, async () => {
      const page = await openPage(await browser.newContext());
      const ask = (name, value) =>
        page.evaluate(([where, name, value]) => window[where](name, value), [where, name, value]);
      const { found, kernels } = await ask('fill', { name: 'photos.index', vectors, dtype });
      assert.deepEqual(found, expected(dtype));
      assert.match(kernels, /^(relaxed|simd128)$/);
      assert.deepEqual(await ask('search', { source: 'photos.index', query: vectors[0] }), {
        metadata: { from: 'photos.index' },
        found: expected(dtype),
      });
      assert.deepEqual(await ask('names'), ['photos.index']);
      assert.deepEqual(await ask('stale', { name: 'photos.index' }), ['weights/changed', true]);
      await page.context().close();
    });
  }
}

for (const where of ['call', 'callWorker'])
  test(`${where}: what has changed is added to the end of a file`, async () => {
    const page = await openPage(await browser.newContext());
    const ask = (name, value) =>
      page.evaluate(([where, name, value]) => window[where](name, value), [where, name, value]);
    const many = randomVectors(1200, DIM, 19).map((vector) => [...vector]);
    await ask('fill', { name: 'many.index', vectors: many });
    for (let n = 1; n < 4; n++) {
      await ask('add', { name: 'many.index', id: `added ${n}`, vector: vectors[n] });
      assert.equal(await ask('parts', 'many.index'), n + 1);
      const { found } = await ask('search', { source: 'many.index', query: vectors[n] });
      assert.equal(found[0].id, `added ${n}`);
    }
    assert.deepEqual(await ask('stale', { name: 'many.index' }), ['weights/changed', true]);
    assert.deepEqual(await ask('names'), ['many.index']);
    if (where === 'callWorker') {
      const outcomes = await ask('full', { name: 'many.index', vectors });
      assert.ok(outcomes.length > 5);
      outcomes.forEach(([name, during, after, lost], n) => {
        const isHeader = n === outcomes.length - 1;
        assert.equal(name, 'QuotaExceededError');
        assert.ok(during === 0 || (isHeader && during === 1), `${n}: ${during}`);
        assert.equal(after, 1);
        assert.equal(lost, 0);
      });
    }
    await page.context().close();
  });

test('a URL, relative to the document; a Blob and a stream; what is not there', async () => {
  const page = await openPage(await browser.newContext());
  const { metadata, found } = await page.evaluate(
    ([query]) => window.call('search', { source: './served.index', query }),
    vectors,
  );
  assert.equal(metadata.from, 'a server');
  assert.deepEqual(
    found,
    expected('int8', (i) => `served ${i}`, false),
  );
  const [size, count] = await page.evaluate((vectors) => window.call('blob', { vectors }), vectors);
  assert.ok(size > 70 && count === 1);
  const [code, message] = await page.evaluate(() => window.call('load', 'nothing.index'));
  assert.equal(code, 'weights/not-found');
  assert.match(message, /nothing\.index: there is no such file in the origin private file system/);
  await page.context().close();
});

test("a handle's file that another tab replaces while it is read", async () => {
  const page = await openPage(await browser.newContext());
  const name = 'replaced.index';
  await page.evaluate(([name, vectors]) => window.call('fill', { name, vectors }), [name, vectors]);
  const ask = (times) => page.evaluate((value) => window.call('replaced', value), { name, times, vector: vectors[0] });
  assert.equal(await ask(2), vectors.length + 2, 'it is read again');
  assert.equal(await ask(100), 'weights/changed', 'but not without end');
  await page.context().close();
});

for (const few of [5, 1200])
  test(`tabs and workers that add to the same file of ${few} vectors at once lose nothing`, async () => {
    const context = await browser.newContext();
    const pages = [await openPage(context), await openPage(context)];
    await pages[0].evaluate(
      (vectors) => window.call('fill', { name: 'shared.index', vectors }),
      randomVectors(few, DIM, 23).map((vector) => [...vector]),
    );
    await Promise.all(
      pages.flatMap((page, tab) =>
        ['call', 'callWorker'].map(async (where) => {
          for (let n = 0; n < 4; n++) {
            const value = { name: 'shared.index', id: `${tab} ${where} ${n}`, vector: vectors[n] };
            await page.evaluate(([where, value]) => window[where]('add', value), [where, value]);
          }
        }),
      ),
    );
    const ids = new Set(await pages[0].evaluate(() => window.call('ids', 'shared.index')));
    assert.equal(ids.size, few + 16);
    for (const tab of [0, 1])
      for (const where of ['call', 'callWorker'])
        for (let n = 0; n < 4; n++) assert.ok(ids.has(`${tab} ${where} ${n}`), `${tab} ${where} ${n}`);
    assert.deepEqual(await pages[0].evaluate(() => window.call('names')), ['shared.index']);
    await context.close();
  });
