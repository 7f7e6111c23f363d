// Every transfer has a bound: of requests by what they bring, of time by how fast it comes, of bytes by what it is.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { fails } from './fails.mjs';
import { FaultServer, inMemory } from './fault-server.mjs';
import { golden, rows, scatteredCheckpoint } from './support.mjs';

const clip = golden('clip');
const file = scatteredCheckpoint(clip);
const ids = rows(clip.expected.tokens)[0];
const torch = readFileSync(new URL('../golden/torch/whole.pt', import.meta.url));
const picture = readFileSync(new URL('../../dist/demo/pictures/airplane.jpg', import.meta.url));
const ATTEMPTS = 3;
const RETRY = { attempts: ATTEMPTS, pause: 1 };

/** Spaces, which are JSON as far as they go, made as they are asked for. */
const spaces = (size) => ({ size, read: (begin, end) => Buffer.alloc(end - begin, ' ') });

let server;
let image;
let expected; // the vector of `ids`

before(async () => {
  server = await FaultServer.start({});
  const encoder = await loadTextEncoder({ model: clip.config, weights: file, dtype: 'fp32' });
  expected = await encoder.embedTokens(ids);
  encoder.dispose();
  image = await loadImageEncoder({ model: 'halfclip-emoji', retry: RETRY });
});

beforeEach(() => {
  server.reset();
  server.files = {
    '/clip': inMemory(file),
    '/whole.pt': inMemory(torch),
    '/picture': inMemory(picture),
    '/org/clip/resolve/main/open_clip_config.json': inMemory(Buffer.from(JSON.stringify(clip.config))),
    '/org/clip/resolve/main/open_clip_model.safetensors': inMemory(file),
  };
});

after(async () => {
  image.dispose();
  await server.close();
});

const load = (options) =>
  loadTextEncoder({
    model: clip.config,
    weights: `${server.base}/clip`,
    dtype: 'fp32',
    cache: 'no-store',
    retry: RETRY,
    ...options,
  });
const loadTorch = (options) =>
  load({ model: golden('no-ln-pre').config, weights: `${server.base}/whole.pt`, ...options });
const loadHub = (options) => load({ model: 'hf-hub:org/clip', weights: undefined, hub: server.base, ...options });
const embedPicture = (options) =>
  options?.retry ? embedWith(options) : image.embed(`${server.base}/picture`, options);

const sent = () => server.requests.reduce((sum, { sent }) => sum + sent, 0);

const transfers = {
  weights: load,
  'a PyTorch file': loadTorch,
  'a model of a hub': loadHub,
  'a picture': embedPicture,
};

for (const [name, transfer] of Object.entries(transfers)) {
  test(`${name}: a server that always gives the same status`, async () => {
    for (const status of [204, 206, 304, 400, 401, 403, 404, 408, 410, 416, 418, 425, 429, 451, 500, 501, 503, 599]) {
      for (const headers of [
        {},
        { 'retry-after': '0' },
        { 'content-range': 'bytes */5' },
        { 'content-range': `bytes */${file.length}` },
      ]) {
        server.requests = [];
        server.fault = () => ({ status, headers });
        await assert.rejects(transfer(), HalfclipError, `${status}`);
        // A name of a hub stands for one config of two, and eight files.
        assert.ok(server.requests.length <= 10 * ATTEMPTS, `${server.requests.length} requests at ${status}`);
      }
    }
  });

  test(`${name}: a server that breaks off or says nothing`, async () => {
    for (const fault of [{ cut: 0 }, { stall: 0 }, { end: 0 }, { cut: 1 }, { stall: 1 }]) {
      server.requests = [];
      server.fault = () => fault;
      await assert.rejects(transfer({ retry: { ...RETRY, stall: 20 } }), HalfclipError, JSON.stringify(fault));
      assert.ok(
        server.requests.length <= 2 * ATTEMPTS,
        `${server.requests.length} requests at ${JSON.stringify(fault)}`,
      );
    }
  });

  test(`${name}: a server that only redirects`, async () => {
    for (const target of [
      'clip',
      '/nowhere',
      'ftp://example.org/',
      'file:///etc/passwd',
      'data:,x',
      'http://[',
      '//',
    ]) {
      server.requests = [];
      server.fault = () => ({ redirect: target });
      await assert.rejects(transfer(), HalfclipError, target);
      assert.ok(server.requests.length <= 25 * ATTEMPTS, `${server.requests.length} requests at ${target}`);
    }
  });
}

test('status 416 for everything: the Range is left out once, and that is it', async () => {
  server.fault = () => ({ status: 416 });
  const error = await fails(load({ retry: { attempts: 5, pause: 1 } }), 'http/status', /416/);
  assert.equal(error.status, 416);
  assert.deepEqual(
    server.requests.map(({ range }) => range),
    ['bytes=0-262143', undefined],
  );
});

test('one byte at a time is not worth asking for', async () => {
  server.fault = () => ({ most: 1 });
  const begin = performance.now();
  await fails(load({ retry: { attempts: 4, pause: 20 } }), 'http/network', /no more than 1 bytes at a time/);
  assert.equal(server.requests.length, 4);
  assert.ok(performance.now() - begin > 20 + 40 + 80 - 40, 'with a pause after each');
});

test('a few bytes at a time: as many requests as may fail have to bring 64 KiB', async () => {
  server.fault = () => ({ most: 10_000 });
  await fails(load(), 'http/network', /no more than 10000 bytes/);
  assert.equal(server.requests.length, ATTEMPTS);
  server.requests = [];
  server.fault = () => ({ most: 30_000 });
  const encoder = await load();
  assert.deepEqual(await encoder.embedTokens(ids), expected);
  encoder.dispose();
  assert.ok(server.requests.length > 10);
});

test('bodies of 200 that break off again and again cost no more than a few times the file', async () => {
  const size = 8e6;
  server.files['/large'] = spaces(size);
  let step = 0;
  server.fault = () => ({
    ranges: false,
    cut: 70_000 * ++step,
    body: Buffer.concat([file.subarray(0, 300_000), Buffer.alloc(size - 300_000)]),
  });
  await assert.rejects(
    load({ weights: `${server.base}/large`, integrity: `sha256-${'A'.repeat(43)}=` }),
    HalfclipError,
  );
  assert.ok(sent() < 40 * size, `${sent()} bytes`);
});

test('bodies that are shorter each time', async () => {
  let length = file.length + 1000;
  server.fault = () => ({ ranges: false, validators: false, body: file.subarray(0, (length -= 1000)), cut: 100_000 });
  await fails(load(), 'weights/changed', /size/);
  length = 500_000;
  server.fault = () => ({ ranges: false, validators: false, body: file.subarray(0, (length -= 1000)), length: false });
  await fails(load(), 'weights/truncated');
});

test('a body that comes so slowly that it never ends', async () => {
  for (const transfer of [load, embedPicture]) {
    server.requests = [];
    server.fault = () => ({ chunk: 1, pause: 5, ranges: false });
    const begin = performance.now();
    await fails(
      transfer({ retry: { attempts: 2, pause: 1, stall: 100 } }),
      'http/network',
      /only \d+ bytes came for 100 ms/,
    );
    assert.ok(performance.now() - begin < 3000);
    assert.equal(server.requests.length, 2);
    server.closeConnections();
  }
});

test("a reader that is slow is not the server's fault", async () => {
  // Chunks that are not taken for longer than `stall`, by a thread that is busy.
  const busy = () => {
    const until = performance.now() + 350;
    while (performance.now() < until);
  };
  server.fault = () => ({ ranges: false });
  (await load({ onProgress: busy, retry: { ...RETRY, stall: 300 } })).dispose();
  assert.equal(server.requests.length, 1);
});

/** A picture's vector from an encoder with options of its own. */
async function embedWith(options, source = `${server.base}/picture`) {
  const encoder = await loadImageEncoder({ model: 'halfclip-emoji', ...options });
  try {
    return await encoder.embed(source);
  } finally {
    encoder.dispose();
  }
}

test('time limits: of weights and of a picture, also such that no timer can hold', async () => {
  server.fault = () => ({ chunk: 5000, pause: 40 });
  await fails(load({ retry: { timeout: 60 } }), 'http/network', /60 ms/);
  await fails(embedWith({ retry: { timeout: 20, attempts: 1 } }), 'http/network', /20 ms/);
  server.fault = () => undefined;
  (await load({ retry: { timeout: 1e12, stall: 1e12 } })).dispose();
  assert.equal((await embedWith({ retry: { timeout: 1e12, stall: 1e12 } })).length, image.info.dim);
});

test('pictures are asked for again, in a worker too', async () => {
  const right = await embedPicture();
  for (const worker of [false, true]) {
    for (const fault of [
      { status: 503 },
      { cut: 100 },
      { stall: 100 },
      { status: 429, headers: { 'retry-after': '0' } },
    ]) {
      server.requests = [];
      server.fault = ({ number }) => (number ? undefined : fault);
      assert.deepEqual(await embedWith({ worker, retry: { ...RETRY, stall: 200 } }), right);
      assert.equal(server.requests.length, 2);
    }
  }
  server.requests = [];
  server.fault = () => ({ status: 404 });
  assert.equal((await fails(embedPicture(), 'http/status', /404/)).status, 404);
  assert.equal(server.requests.length, 1);
});

test('a picture that is aborted while it comes', async () => {
  const reason = new Error('enough');
  for (const fault of [{ stall: 100 }, { stall: 0 }, { status: 503, headers: { 'retry-after': '30' } }]) {
    const stop = new AbortController();
    server.fault = () => {
      setTimeout(() => stop.abort(reason), 20);
      return fault;
    };
    await assert.rejects(embedPicture({ signal: stop.signal }), reason);
  }
});

test('JSON of a hub, an index, and a picture that are too large, however they come', async () => {
  const config = '/org/clip/resolve/main/open_clip_config.json';
  const bomb = gzipSync(Buffer.alloc(50e6, ' '), { level: 9 });
  for (const fault of [
    {},
    { ranges: false },
    { ranges: false, length: false },
    { ranges: false, body: bomb, headers: { 'content-encoding': 'gzip' } },
  ]) {
    server.reset();
    server.files = { [config]: spaces(3e9), '/index': spaces(3e9), '/picture': spaces(3e9) };
    server.fault = ({ path }) => (path === '/index' && !fault.body ? { ...fault, body: undefined } : fault);
    await fails(loadHub(), 'model/unknown', /open_clip_config\.json/, /10000000 bytes/, /limits\.json/);
    server.files['/index'] = { size: 3e9, read: (begin, end) => Buffer.alloc(end - begin, begin ? ' ' : '{') };
    if (!fault.body)
      await fails(load({ weights: `${server.base}/index` }), 'weights/format', /10000000 bytes/, /limits\.json/);
    assert.ok(sent() < 50e6, `${sent()} bytes`);
    await fails(embedWith({ limits: { picture: 5e6 } }), 'input/size', /\/picture/, /5000000 bytes/, /limits\.picture/);
    assert.ok(sent() < 60e6, `${sent()} bytes`);
  }
});

test('limits on JSON and pictures can be raised and lowered', async () => {
  const { size } = server.files['/org/clip/resolve/main/open_clip_config.json'];
  (await loadHub({ limits: { json: size } })).dispose();
  await fails(loadHub({ limits: { json: size - 1 } }), 'model/unknown', /limits\.json/);
  assert.equal((await embedWith({ limits: { picture: picture.length } })).length, image.info.dim);
  await fails(embedWith({ limits: { picture: picture.length - 1 }, worker: true }), 'input/size', /limits\.picture/);
});

test('a PyTorch file from a server without ranges is kept in memory up to a limit', async () => {
  for (const fault of [{ ranges: false }, { ranges: false, length: false }, { ranges: false, gzip: true }]) {
    server.fault = () => fault;
    (await loadTorch({ limits: { whole: torch.length } })).dispose();
    await fails(loadTorch({ limits: { whole: torch.length - 1 } }), 'memory/exhausted', /whole\.pt/, /limits\.whole/);
  }
  // What its server says is too much is not fetched at all.
  server.reset();
  const head = (begin, end) =>
    Buffer.concat(
      [torch.subarray(begin, Math.min(end, 1000)), Buffer.alloc(end - Math.max(begin, 1000))].slice(
        begin < 1000 ? 0 : 1,
      ),
    );
  server.files['/whole.pt'] = { size: 3e9, read: head };
  server.fault = () => ({ ranges: false });
  await fails(loadTorch(), 'memory/exhausted', /1000000000 bytes/);
  assert.ok(sent() < 10e6, `${sent()} bytes`);
});

test('the files of an index together are within that limit', async () => {
  server.files['/a.pt'] = server.files['/b.pt'] = inMemory(torch);
  server.files['/index'] = inMemory(Buffer.from(JSON.stringify({ weight_map: { x: 'a.pt', y: 'b.pt' } })));
  server.fault = () => ({ ranges: false });
  await fails(
    load({ weights: `${server.base}/index`, limits: { whole: 1.5 * torch.length } }),
    'memory/exhausted',
    /b\.pt/,
  );
});

test('weights that never end', async () => {
  const integrity = `sha256-${'A'.repeat(43)}=`;
  server.files['/endless'] = {
    size: 1e15,
    read: (begin, end) => (end <= file.length ? file.subarray(begin, end) : Buffer.alloc(end - begin)),
  };
  server.fault = () => ({ ranges: false, length: false });
  await fails(
    load({ weights: `${server.base}/endless`, integrity, limits: { weights: 3e6 } }),
    'weights/format',
    /3000000 bytes/,
    /limits\.weights/,
  );
  (await load({ limits: { weights: file.length } })).dispose();
  await fails(load({ limits: { weights: 300_000 } }), 'weights/format', /limits\.weights/);
});

test('headers that make no sense', async () => {
  const huge = '9'.repeat(30);
  for (const range of [
    `bytes 0-262143/${huge}`,
    `bytes 0-${huge}/*`,
    `bytes ${huge}-${huge}/${huge}`,
    'bytes 5-3/10',
    'bytes 0-262143/5',
    'bytes */*',
    'bytes -1-5/10',
    'garbage',
  ]) {
    server.reset();
    server.fault = () => ({ headers: { 'content-range': range } });
    const outcome = await load().catch((error) => error);
    if (outcome instanceof Error) assert.ok(outcome instanceof HalfclipError, outcome.stack);
    else assert.deepEqual(await outcome.embedTokens(ids), expected);
    outcome.dispose?.();
    assert.ok(server.requests.length <= 2 * ATTEMPTS + 2, `${server.requests.length} requests at ${range}`);
  }
});

test('a redirection that gives up encryption is not followed', async () => {
  const downgraded = async () => {
    const response = new Response(file);
    Object.defineProperty(response, 'url', { value: 'http://example.org/clip' });
    return response;
  };
  await fails(
    load({ weights: 'https://example.org/clip', fetch: downgraded }),
    'http/network',
    /http:\/\/example\.org/,
    /encrypted/,
  );
});

test('options of the wrong type', async () => {
  for (const limits of [null, 5, { json: -1 }, { picture: '1 MB' }, { whole: NaN }, { weight: 1 }])
    await fails(load({ limits }), 'input/type', /limits/);
});
