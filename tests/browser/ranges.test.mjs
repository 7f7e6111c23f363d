// Ranges from another host, as a page sees them: few headers, no requests that would need that host's consent first,
// and Chromium's own cache in between.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';

import { FaultServer, inMemory } from '../node/fault-server.mjs';
import { GOLDEN, cosine, golden, rows, scatteredCheckpoint } from '../node/support.mjs';
import { launch } from './chromium.mjs';

const TYPES = { js: 'text/javascript', wasm: 'application/wasm', html: 'text/html' };
const ANYONE = { 'access-control-allow-origin': '*' };
const SEEN = { ...ANYONE, 'access-control-expose-headers': 'Content-Range, ETag, Content-Encoding' };

const clip = golden('clip');
const torch = golden('no-ln-pre');
const file = scatteredCheckpoint(clip);
const gap = Buffer.alloc(600_000);

let pages;
let server;
let other;
let browser;
let page;

before(async () => {
  pages = createServer((request, response) => {
    if (request.url === '/')
      return response
        .setHeader('content-type', 'text/html')
        .end('<!DOCTYPE html><link rel="icon" href="data:,"><title>halfclip</title>');
    const place = new URL(`../../dist${request.url}`, import.meta.url);
    if (!existsSync(place)) return response.writeHead(404).end();
    return response
      .setHeader('content-type', TYPES[request.url.split('.').at(-1)] ?? 'application/octet-stream')
      .end(readFileSync(place));
  });
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const files = { '/clip': inMemory(file), '/whole.pt': inMemory(readFileSync(new URL('torch/whole.pt', GOLDEN))) };
  server = await FaultServer.start(files);
  other = await FaultServer.start(files);
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
});

beforeEach(() => [server, other].forEach((one) => one.reset()));

after(async () => {
  await browser?.close();
  await Promise.all([server.close(), other.close(), new Promise((resolve) => pages.close(resolve))]);
});

/** Loads in the page: { vector, info } or { code, message }. */
const load = (model, path, options = {}) =>
  page.evaluate(
    async ({ config, weights, ids, options }) => {
      const { loadTextEncoder } = await import('/index.js');
      try {
        const encoder = await loadTextEncoder({
          model: config,
          weights,
          dtype: 'fp32',
          cache: 'no-store',
          retry: { attempts: 3, pause: 1 },
          ...options,
        });
        const vector = await encoder.embedTokens(Int32Array.from(ids), { normalize: false });
        encoder.dispose();
        return { vector: [...vector], info: encoder.info };
      } catch ({ code, message }) {
        return { code, message };
      }
    },
    { config: model.config, weights: `${server.base}${path}`, ids: [...rows(model.expected.tokens)[0]], options },
  );

async function works(options, model = clip, path = '/clip') {
  const { vector, info, message } = await load(model, path, options);
  assert.ok(vector, message);
  assert.ok(cosine(vector, rows(model.expected.text_features)[0]) > 0.99999);
  assert.ok(
    ![...server.requests, ...other.requests].some(({ method }) => method === 'OPTIONS'),
    'no consent is asked for',
  );
  return info;
}

for (const worker of [true, false]) {
  test(`a host that shows a page no headers, and one that does, ${worker ? 'in a worker' : "on the page's thread"}`, async () => {
    server.fault = () => ({ headers: ANYONE });
    const blind = await works({ worker });
    assert.equal(blind.fileBytes, null);
    assert.ok(blind.fetchedBytes < 400_000);
    assert.ok(server.requests.length > 3 && server.requests.every(({ range }) => range));
    server.reset();
    server.fault = () => ({ headers: SEEN });
    assert.equal((await works({ worker })).fileBytes, file.length);
  });
}

test('faults', async () => {
  for (const fault of [
    { cut: 1000 },
    { ranges: false },
    { ranges: false, gzip: true },
    { status: 503 },
    { cut: 0 },
    { length: false },
  ]) {
    server.reset();
    server.fault = ({ number }) => ({ headers: SEEN, ...(number < 1 ? fault : {}) });
    await works();
  }
  server.reset();
  server.fault = () => ({ headers: ANYONE, ranges: false, gzip: true });
  await works();
  server.reset();
  server.fault = ({ number }) => {
    if (number === 1) server.etag = '"2"';
    return { headers: SEEN };
  };
  assert.equal((await load(clip, '/clip')).code, 'weights/changed');
});

test('a host that allows nobody', async () => {
  assert.equal((await load(clip, '/clip')).code, 'http/network');
  server.reset();
  server.fault = () => ({ status: 404, headers: ANYONE });
  assert.equal((await load(clip, '/clip')).code, 'http/status');
});

test('redirects to a third host', async () => {
  server.fault = ({ path }) => ({ redirect: `${other.base}${path}`, headers: ANYONE });
  other.fault = () => ({ headers: SEEN });
  assert.equal((await works()).fileBytes, file.length);
  assert.equal(server.requests.length, other.requests.length);
});

test('a PyTorch file whose size is hidden', async () => {
  const whole = readFileSync(new URL('torch/whole.pt', GOLDEN));
  server.files['/large.pt'] = inMemory(Buffer.concat([whole, gap]));
  server.fault = () => ({ headers: ANYONE });
  await works({}, torch, '/whole.pt');
  const { code } = await load(torch, '/large.pt'); // an archive with something behind it is none
  assert.match(code, /^weights\//);
  assert.ok(server.requests.some(({ method }) => method === 'HEAD'));
});

test('the default cache of requests, and again', async () => {
  server.fault = () => ({ headers: { ...SEEN, 'cache-control': 'max-age=60' } });
  for (let i = 0; i < 2; i++) await works({ cache: { mode: 'default', maxBytes: 0 } });
});
