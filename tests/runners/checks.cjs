// What holds in every test runner and environment: the package as an app's tests use it, with whatever that environment
// has in the place of Node.js's own classes.

const assert = require('node:assert');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:http');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

// One pixel, red.
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';
const DIM = 192;

/**
 * @param {typeof import('halfclip')} halfclip
 * @param {(name: string, check: () => Promise<void>) => void} test
 * @param {string} models the folder with the bundled model's shards
 */
module.exports = function check({ HalfclipError, cosineSimilarity, loadImageEncoder, loadTextEncoder }, test, models) {
  const shard = path.join(models, 'halfclip-emoji-text.safetensors');
  const png = Buffer.from(PNG, 'base64');
  const fails = async (promise, code, pattern) => {
    const error = await promise.then(
      () => {
        throw new Error('it worked');
      },
      (error) => error,
    );
    if (!(error instanceof HalfclipError)) throw error;
    assert.strictEqual(error.code, code, error.message);
    assert.match(error.message, pattern);
  };

  for (const options of [
    { worker: false, threads: 1 },
    { worker: false, threads: 2 },
    { worker: true, threads: 2 },
  ]) {
    const where = `${options.worker ? 'in a worker' : 'on this thread'}, ${options.threads} thread(s)`;

    test(`both towers, ${where}`, async () => {
      const text = await loadTextEncoder({ model: 'halfclip-emoji', ...options });
      const image = await loadImageEncoder({ model: 'halfclip-emoji', ...options });
      assert.strictEqual(text.info.threads, options.threads);
      const [cat, face, train] = await text.embed(['a cat', 'a cat face', 'a train']);
      assert.ok(cat instanceof Float32Array);
      assert.strictEqual(cat.length, DIM);
      assert.ok(cosineSimilarity(cat, face) > cosineSimilarity(cat, train));
      const ids = await text.tokenize('a cat');
      assert.deepStrictEqual([...(await text.embedTokens(Int32Array.from(ids)))], [...cat]);

      const pixels = await image.preprocess({ data: Uint8ClampedArray.of(255, 0, 0, 255), width: 1, height: 1 });
      const file = path.join(mkdtempSync(path.join(tmpdir(), 'halfclip-')), 'a b.png');
      writeFileSync(file, png);
      const sources = {
        bytes: Uint8Array.from(png),
        buffer: png,
        arrayBuffer: Uint8Array.from(png).buffer,
        blob: new Blob([Uint8Array.from(png)]),
        file: new File([Uint8Array.from(png)], 'a.png'),
        path: file,
        url: new URL(pathToFileURL(file).href),
        string: pathToFileURL(file).href,
      };
      for (const [name, source] of Object.entries(sources))
        assert.deepStrictEqual([...(await image.preprocess(source))], [...pixels], name);
      assert.strictEqual((await image.embed(Object.values(sources))).length, 8);
      assert.strictEqual((await image.embedPixels(Float32Array.from(pixels))).length, DIM);
      let count = 0;
      for await (const { vector, error } of image.embedAll([png, 'nothing.png', new Blob([png])]))
        count += vector ? 1 : error instanceof HalfclipError ? 10 : 100;
      assert.strictEqual(count, 12);
      rmSync(path.dirname(file), { recursive: true });
      text.dispose();
      image.dispose();
    });

    test(`weights of every kind, ${where}`, async () => {
      const bytes = readFileSync(shard);
      const copy = Uint8Array.from(bytes);
      const given = {
        bytes,
        copy,
        buffer: copy.buffer,
        blob: new Blob([copy]),
        file: new File([copy], 'shard'),
        path: shard,
        url: new URL(pathToFileURL(shard).href),
      };
      for (const [name, weights] of Object.entries(given)) {
        const text = await loadTextEncoder({
          weights,
          ...options,
          signal: new AbortController().signal,
          onProgress() {},
        });
        assert.strictEqual((await text.embed('a cat')).length, DIM, name);
        text.dispose();
      }
    });

    test(`failures and aborts, ${where}`, async () => {
      await fails(
        loadTextEncoder({ model: 'halfclip-emoji', modle: 1, ...options }),
        'input/type',
        /the nearest is model/,
      );
      await fails(
        loadTextEncoder({ weights: 'nothing.safetensors', ...options }),
        'weights/not-found',
        /nothing\.safetensors/,
      );
      await fails(
        loadTextEncoder({ weights: new Blob(['<html>'.padEnd(1000)]), ...options }),
        'weights/format',
        /HTML/,
      );
      const image = await loadImageEncoder({ model: 'halfclip-emoji', ...options });
      await fails(image.embed(new Blob(['no picture'])), 'input/decode', /./);
      await fails(image.embed({ data: 5 }), 'input/type', /data is the number 5/);
      const reason = new Error('enough');
      const aborted = new AbortController();
      aborted.abort(reason);
      assert.strictEqual(await image.embed(png, { signal: aborted.signal }).catch((error) => error), reason);
      const controller = new AbortController();
      const running = image.embed(Array(1000).fill(png), { signal: controller.signal });
      setTimeout(() => controller.abort(reason), 20);
      assert.strictEqual(await running.catch((error) => error), reason);
      const loading = new AbortController();
      const slow = loadTextEncoder({
        weights: 'http://localhost/slow',
        fetch: () => new Promise(() => {}),
        signal: loading.signal,
        ...options,
      });
      setTimeout(() => loading.abort(reason), 20);
      assert.strictEqual(await slow.catch((error) => error), reason);
      assert.strictEqual((await image.embed(png)).length, DIM);
      image.dispose();
      await fails(image.embed(png), 'state/disposed', /disposed/);
    });

    test(`over HTTP, ${where}`, async () => {
      const server = createServer((request, response) =>
        response.end(request.url === '/a.png' ? png : readFileSync(shard)),
      );
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      const base = `http://127.0.0.1:${server.address().port}`;
      try {
        const image = await loadImageEncoder({ model: 'halfclip-emoji', ...options });
        const load = () =>
          loadTextEncoder({
            weights: new URL(`${base}/text`),
            cache: 'no-store',
            signal: new AbortController().signal,
            ...options,
          });
        if (typeof fetch === 'function' || options.worker) {
          const text = await load();
          assert.strictEqual((await text.embed('a cat')).length, DIM);
          text.dispose();
          assert.strictEqual(
            (await image.embed([`${base}/a.png`, new URL(`${base}/a.png`)], { signal: new AbortController().signal }))
              .length,
            2,
          );
        } else {
          await fails(load(), 'http/network', /no fetch\(\) here: .*option fetch/);
          await fails(image.embed(`${base}/a.png`), 'http/network', /no fetch\(\) here: .*option fetch/);
        }
        image.dispose();
      } finally {
        server.closeAllConnections();
        server.close();
      }
    });
  }

  test('elements, which have no pixels here', async () => {
    if (typeof document !== 'object') return;
    const image = await loadImageEncoder({ model: 'halfclip-emoji' });
    const picture = document.createElement('img');
    picture.src = `data:image/png;base64,${PNG}`;
    for (const element of [picture, document.createElement('canvas'), document.createElement('video')]) {
      await fails(image.embed(element), 'input/type', /only a browser can read/);
    }
    await fails(image.embed(document.createElement('div')), 'input/type', /expected a picture/);
    image.dispose();
  });
};
