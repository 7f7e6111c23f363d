// The cache of packed towers in Node.js: what is kept and found again, when it is asked for and fetched anew, and how
// much of it there may be.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';

import { loadTextEncoder } from '../../dist/index.js';
import { serve } from '../../web/cli/server.js';
import { clip, dir, file, load, server } from './cache-fixture.mjs';
import { fails } from './fails.mjs';
import { FaultServer, inMemory } from './fault-server.mjs';
import { buildSafetensors, golden, parseSafetensors } from './support.mjs';

const integrity = `sha256-${createHash('sha256').update(file).digest('base64')}`;

const entries = (where = dir) => (existsSync(where) ? readdirSync(where) : []);
const place = (name) => path.join(dir, name);

for (const worker of [false, true]) {
  for (const tower of ['text', 'image']) {
    test(`a ${tower} tower is found again, and gives the same vectors bit for bit, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
      for (const dtype of ['fp32', 'fp16', 'int8']) {
        const { vector, requests: _, memoryBytes, ...first } = await load({ tower, dtype, worker });
        const { vector: again, requests, memoryBytes: memoryAgain, ...second } = await load({ tower, dtype, worker });
        assert.equal(first.cached, false);
        assert.deepEqual(second, { ...first, cached: true, fetchedBytes: 1 });
        assert.deepEqual(again, vector);
        assert.ok(memoryAgain <= memoryBytes + 65536 * 10, `${memoryAgain} bytes of memory, ${memoryBytes} at first`);
        assert.deepEqual(
          requests.map(({ range, headers, sent }) => [range, headers['if-none-match'], sent]),
          [['bytes=0-0', '"1"', 1]],
        );
      }
      assert.equal(entries().length, 3);
    });
  }
}

test('an answer of 304 costs no byte', async () => {
  const site = await serve({ root: path.dirname(clip.path.pathname) });
  const weights = `${site.url}/clip.safetensors`;
  await load({ weights });
  const sent = site.served.get('/clip.safetensors');
  const { cached, fetchedBytes, fileBytes } = await load({ weights });
  assert.deepEqual({ cached, fetchedBytes, fileBytes }, { cached: true, fetchedBytes: 0, fileBytes: file.length });
  assert.equal(site.served.get('/clip.safetensors'), sent);
  await site.close();
});

test('shards are kept too, at the dtype that they hold', async () => {
  const { data } = await shardOf('text');
  server.files['/shard.safetensors'] = inMemory(data);
  const options = { model: undefined, dtype: undefined, weights: `${server.base}/shard.safetensors` };
  const first = await load(options);
  const second = await load(options);
  assert.deepEqual([first.cached, second.cached, second.dtype], [false, true, 'fp16']);
  assert.deepEqual(second.vector, first.vector);
});

/** The bytes of a shard, and a text that only its own vocabulary tokenizes. */
async function shardOf(tower) {
  await import('../../web/node/index.js');
  const { loadEncoder } = await import('../../web/encoder/load-encoder.js');
  const { writeShard } = await import('../../web/encoder/write-shard.js');
  const encoder = await loadEncoder(
    {
      tower,
      model: null,
      config: JSON.stringify(clip.config),
      weights: { bytes: file },
      dtype: 'fp16',
      families: 'all',
    },
    {},
  );
  const parts = [];
  await writeShard(encoder.tower, (piece) => parts.push(Buffer.from(piece)));
  encoder.dispose();
  return { data: Buffer.concat(parts) };
}

test("a shard's vocabulary is kept with it", async () => {
  const models = new URL('../../dist/models/', import.meta.url);
  const shard = readFileSync(new URL('halfclip-emoji-text.safetensors', models));
  server.files['/emoji.safetensors'] = inMemory(shard);
  const options = { weights: `${server.base}/emoji.safetensors`, cache: { dir } };
  const tokens = [];
  for (const cached of [false, true]) {
    const encoder = await loadTextEncoder(options);
    assert.equal(encoder.info.cached, cached);
    tokens.push(await encoder.tokenize('a dog on a bicycle'));
    encoder.dispose();
  }
  assert.deepEqual(tokens[1], tokens[0]);
});

test('towers, dtypes, configs and URLs have entries of their own', async () => {
  const other = structuredClone(clip.config);
  other.preprocess_cfg = { ...other.preprocess_cfg, mean: [0, 0, 0] };
  const options = [
    {},
    { tower: 'image' },
    { dtype: 'fp16' },
    { tower: 'image', model: other },
    { weights: `${server.base}/clip.safetensors?2` },
  ];
  for (const option of options) assert.equal((await load(option)).cached, false);
  for (const option of options) assert.equal((await load(option)).cached, true);
  assert.equal(entries().length, options.length);
});

test('a changed ETag: the tower is fetched again, and kept', async () => {
  const { vector } = await load();
  const { tensors } = parseSafetensors(file);
  const { bytes, ...shape } = tensors.text_projection;
  const changed = buildSafetensors({
    tensors: {
      ...tensors,
      text_projection: { ...shape, bytes: Buffer.concat([bytes.subarray(96), bytes.subarray(0, 96)]) },
    },
  });
  server.files['/clip.safetensors'] = inMemory(changed);
  server.etag = '"2"';
  const second = await load({ dtype: 'int8' });
  assert.equal(second.cached, false);
  assert.notDeepEqual(second.vector, vector);
  const third = await load();
  assert.equal(third.cached, true);
  assert.deepEqual(third.vector, second.vector);
  assert.equal(entries().length, 1);
});

test('a weak ETag, and one that was made weak on the way', async () => {
  await load();
  server.etag = 'W/"1"';
  assert.equal((await load()).cached, true);
  server.etag = 'W/"2"';
  assert.equal((await load()).cached, false);
  assert.equal((await load()).cached, true);
});

test('a server that has only Last-Modified', async () => {
  const only = (modified) => (server.fault = () => ({ validators: false, headers: { 'last-modified': modified } }));
  only('Wed, 01 Jan 2025 00:00:00 GMT');
  assert.equal((await load()).cached, false);
  const { cached, requests } = await load();
  assert.equal(cached, true);
  assert.equal(requests[0].headers['if-modified-since'], 'Wed, 01 Jan 2025 00:00:00 GMT');
  only('Thu, 02 Jan 2025 00:00:00 GMT');
  assert.equal((await load()).cached, false);
  assert.equal((await load()).cached, true);
});

test('another size is another file, whatever its validators say', async () => {
  await load();
  server.files['/clip.safetensors'] = inMemory(Buffer.concat([file, Buffer.alloc(8)]));
  await fails(load(), 'weights/format');
});

test('a server without ranges or that ignores conditions', async () => {
  server.fault = () => ({ ranges: false });
  assert.equal((await load()).cached, false);
  const { cached, fetchedBytes } = await load();
  assert.deepEqual([cached, fetchedBytes], [true, 0]);
});

test('without validators nothing is kept', async () => {
  server.fault = () => ({ validators: false });
  for (let i = 0; i < 2; i++) assert.equal((await load()).cached, false);
  assert.deepEqual(entries(), []);
});

test('integrity: what was verified is used again without any request', async () => {
  server.fault = () => ({ validators: false });
  assert.equal((await load({ integrity })).cached, false);
  const { cached, requests, fetchedBytes } = await load({ integrity });
  assert.deepEqual([cached, requests.length, fetchedBytes], [true, 0, 0]);
  assert.equal((await load()).cached, false, 'nobody can tell whether it is what the server has now');
});

test('integrity: only under the same digest', async () => {
  await load();
  assert.equal((await load({ integrity })).cached, false, 'what was kept was not verified');
  assert.equal((await load({ integrity })).cached, true);
  assert.equal((await load()).cached, true, 'the validators still hold');
  const wrong = `sha256-${'A'.repeat(43)}=`;
  await fails(load({ integrity: wrong }), 'integrity/mismatch');
  assert.equal((await load({ integrity })).cached, true);
  assert.equal((await load({ integrity: `${integrity} ${wrong}` })).cached, false);
});

test('offline, and a server that is not well', async () => {
  await load();
  const offline = async () => {
    throw new TypeError('fetch failed');
  };
  assert.equal((await load({ fetch: offline })).cached, true);
  for (const status of [500, 502, 503, 504, 429, 408]) {
    server.fault = () => ({ status });
    assert.equal((await load()).cached, true, String(status));
  }
  await fails(load({ fetch: offline, cache: 'no-store' }), 'http/network');
  await fails(load({ fetch: offline, cache: { dir, mode: 'reload' } }), 'http/network');
});

test('a server that is gone', async () => {
  const another = await FaultServer.start({ '/clip': inMemory(file) });
  const weights = `${another.base}/clip`;
  await load({ weights });
  await another.close();
  const { cached, fetchedBytes } = await load({ weights });
  assert.deepEqual([cached, fetchedBytes], [true, 0]);
});

test('a file that is gone or forbidden', async () => {
  await load();
  for (const status of [401, 403, 404, 410]) {
    server.fault = () => ({ status });
    await fails(load(), 'http/status');
  }
  server.fault = () => undefined;
  assert.equal((await load()).cached, true);
});

test('no-store neither reads nor writes', async () => {
  await load({ cache: { dir, mode: 'no-store' } });
  assert.deepEqual(entries(), []);
  await load();
  const [name] = entries();
  const { mtimeMs } = statSync(place(name));
  assert.equal((await load({ cache: { dir, mode: 'no-store' } })).cached, false);
  assert.equal(statSync(place(name)).mtimeMs, mtimeMs);
});

test('reload fetches again and keeps that', async () => {
  await load();
  const [name] = entries();
  const { ino } = statSync(place(name));
  assert.equal((await load({ cache: { dir, mode: 'reload' } })).cached, false);
  assert.deepEqual(entries(), [name]);
  assert.notEqual(statSync(place(name)).ino, ino);
  assert.equal((await load()).cached, true);
});

test('paths, Blobs, bytes, data: URLs and the bundled model are not kept', async () => {
  const sources = [
    clip.path,
    clip.path.pathname,
    new Blob([file]),
    file,
    Uint8Array.from(file).buffer,
    `data:application/octet-stream;base64,${file.toString('base64')}`,
  ];
  for (const weights of sources) for (let i = 0; i < 2; i++) assert.equal((await load({ weights })).cached, false);
  for (let i = 0; i < 2; i++) {
    const encoder = await loadTextEncoder({ model: 'halfclip-emoji', cache: { dir } });
    assert.equal(encoder.info.cached, false);
    encoder.dispose();
  }
  assert.deepEqual(entries(), []);
});

test('a checkpoint in several files: each one is asked for', async () => {
  const { tensors } = parseSafetensors(file);
  const parts = { 'a.safetensors': {}, 'b.safetensors': {} };
  const weight_map = {};
  Object.entries(tensors).forEach(([name, tensor], i) => {
    weight_map[name] = i % 2 ? 'a.safetensors' : 'b.safetensors';
    parts[weight_map[name]][name] = tensor;
  });
  for (const [name, tensors] of Object.entries(parts))
    server.files[`/${name}`] = inMemory(buildSafetensors({ tensors }));
  server.files['/model.safetensors.index.json'] = inMemory(Buffer.from(JSON.stringify({ metadata: {}, weight_map })));
  const options = { weights: `${server.base}/model.safetensors.index.json` };
  const first = await load(options);
  const second = await load(options);
  assert.deepEqual([first.cached, second.cached, second.fetchedBytes], [false, true, 3]);
  assert.deepEqual(second.vector, first.vector);
  assert.deepEqual(second.requests.map(({ path }) => path).sort(), [
    '/a.safetensors',
    '/b.safetensors',
    '/model.safetensors.index.json',
  ]);
  server.fault = ({ path }) => (path === '/b.safetensors' ? { headers: { etag: '"other"' } } : undefined);
  assert.equal((await load(options)).cached, false);
  assert.equal((await load(options)).cached, true);
});

test('a PyTorch file, with ranges and without', async () => {
  server.files['/whole.pt'] = inMemory(readFileSync(new URL('../golden/torch/whole.pt', import.meta.url)));
  const options = { weights: `${server.base}/whole.pt`, model: golden('no-ln-pre').config };
  for (const ranges of [true, false]) {
    server.fault = () => ({ ranges });
    const cache = { dir: path.join(dir, String(ranges)) };
    for (const cached of [false, true]) {
      const encoder = await loadTextEncoder({ ...options, cache });
      assert.equal(encoder.info.cached, cached);
      encoder.dispose();
    }
  }
});

test('a hub that is out of reach: its names stand for what they stood for last', async () => {
  const repo = '/org/clip/resolve/main';
  server.files = {
    [`${repo}/open_clip_config.json`]: inMemory(Buffer.from(JSON.stringify(clip.config))),
    [`${repo}/open_clip_model.safetensors`]: inMemory(file),
  };
  const options = { model: 'hf-hub:org/clip', weights: undefined, hub: server.base };
  const first = await load(options);
  const offline = async () => {
    throw new TypeError('fetch failed');
  };
  const second = await load({ ...options, fetch: offline });
  assert.deepEqual([first.cached, second.cached, second.model], [false, true, 'hf-hub:org/clip']);
  assert.deepEqual(second.vector, first.vector);
  await fails(load({ ...options, fetch: offline, tower: 'image' }), 'http/network');
  await fails(load({ ...options, fetch: offline, model: 'hf-hub:org/other' }), 'http/network');
  server.fault = () => ({ status: 503 });
  assert.equal((await load(options)).cached, true);
});

test('a name that stands for something else than before', async () => {
  const repo = '/org/clip/resolve/main';
  const files = (config) => ({
    [`${repo}/open_clip_config.json`]: inMemory(Buffer.from(JSON.stringify(config))),
    [`${repo}/open_clip_model.safetensors`]: inMemory(file),
  });
  const options = { model: 'hf-hub:org/clip', weights: undefined, hub: server.base };
  server.files = files(clip.config);
  await load(options);
  server.files = files({ ...clip.config, preprocess_cfg: { mean: [0, 0, 0] } });
  assert.equal((await load(options)).cached, false);
});

test('progress of a tower that was kept', async () => {
  await load();
  const steps = [];
  await load({ onProgress: (step) => steps.push(step) });
  assert.ok(
    steps.length && steps.every(({ phase, loaded, total }) => phase === 'cache' && loaded > 0 && loaded <= total),
  );
  assert.equal(steps.at(-1).loaded, steps.at(-1).total);
});

test('what was not used for longest goes first', async () => {
  const weights = (i) => `${server.base}/clip.safetensors?${i}`;
  const now = Date.now() / 1000;
  const names = [];
  for (let i = 0; i < 4; i++) {
    await load({ weights: weights(i) });
    const name = entries().find((entry) => !names.includes(entry));
    names.push(name);
    utimesSync(place(name), now - 1000 + i, now - 1000 + i);
  }
  const { size } = statSync(place(names[0]));
  await load({ weights: weights(0) }); // is used
  await load({ weights: weights(4), cache: { dir, maxBytes: 3.5 * size } });
  const left = entries();
  assert.equal(left.length, 3);
  assert.ok(left.includes(names[0]) && left.includes(names[3]) && !left.includes(names[1]) && !left.includes(names[2]));
  assert.equal((await load({ weights: weights(4) })).cached, true);
});

test('a tower larger than the limit is not kept, and nothing goes for it', async () => {
  await load({ tower: 'image' });
  const [name] = entries();
  await load({ cache: { dir, maxBytes: statSync(place(name)).size / 4 } });
  assert.deepEqual(entries(), [name]);
  await load({ cache: { dir, maxBytes: 0 } });
  assert.deepEqual(entries(), [name]);
});

test('the folder: XDG_CACHE_HOME if it is an absolute path, else ~/.cache', async () => {
  const { XDG_CACHE_HOME, HOME } = process.env;
  try {
    process.env.HOME = path.join(dir, 'home');
    process.env.XDG_CACHE_HOME = path.join(dir, 'xdg');
    for (const cached of [false, true]) assert.equal((await load({ cache: undefined })).cached, cached);
    assert.equal(entries(path.join(dir, 'xdg', 'halfclip')).length, 1);
    for (const home of ['relative', '']) {
      process.env.XDG_CACHE_HOME = home;
      await load({ cache: 'default' });
      assert.equal(entries(path.join(dir, 'home', '.cache', 'halfclip')).length, 1);
    }
    assert.equal(statSync(path.join(dir, 'xdg', 'halfclip')).mode & 0o777, 0o700);
  } finally {
    Object.assign(process.env, { XDG_CACHE_HOME, HOME });
  }
});

test('options of the wrong type', async () => {
  for (const cache of [
    'force-cache',
    7,
    null,
    true,
    { mode: 'no' },
    { dir: '' },
    { dir: 7 },
    { maxBytes: -1 },
    { maxBytes: 'all' },
    { persist: 1 },
    { folder: dir },
  ]) {
    await fails(load({ cache }), 'input/type');
  }
  assert.equal((await load({ cache: { dir, persist: true } })).cached, false, 'persist is for pages');
});
