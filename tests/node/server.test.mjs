// web/server.js answers as HTTP says (RFC 9110) and serves nothing beyond its folders.

import assert from 'node:assert/strict';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { contentSecurityPolicy, serve } from '../../web/server.js';

let folder;
let server;
const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'halfclip-server-'));
  const root = path.join(folder, 'root');
  await mkdir(path.join(root, 'page'), { recursive: true });
  await mkdir(path.join(folder, 'more'));
  await mkdir(path.join(folder, 'root-sibling'));
  await writeFile(path.join(root, 'a b.safetensors'), BYTES);
  await writeFile(path.join(root, 'empty.bin'), '');
  await writeFile(path.join(root, 'page', 'index.html'), '<!doctype html><title>page</title>');
  for (const name of ['a.js', 'a.wasm', 'a.css', 'a.svg', 'a.png', 'a.json']) await writeFile(path.join(root, name), ' ');
  await writeFile(path.join(folder, 'secret.txt'), 'secret');
  await writeFile(path.join(folder, 'root-sibling', 'secret.txt'), 'secret');
  await writeFile(path.join(folder, 'more', 'extra.txt'), 'extra');
  server = await serve({
    root: { '/': root, '/more/': path.join(folder, 'more') },
    headers: { 'X-Extra': 'yes', 'Referrer-Policy': undefined },
    home: '/page/',
  });
});

after(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const get = (name, headers = {}, method = 'GET') => fetch(server.url + name, { headers, method, redirect: 'manual' });
const bytesOf = async (response) => new Uint8Array(await response.arrayBuffer());

/** A request whose path is sent as it stands: fetch would normalise it first. */
function getRaw(target) {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path: target }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => (body += text)).on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    }).on('error', reject).end();
  });
}

test('a file whole, with its type, length, validators and the strict headers', async () => {
  const response = await get('/a%20b.safetensors');
  assert.equal(response.status, 200);
  assert.deepEqual(await bytesOf(response), BYTES);
  assert.equal(response.headers.get('content-type'), 'application/octet-stream');
  assert.equal(response.headers.get('content-length'), '1000');
  assert.equal(response.headers.get('accept-ranges'), 'bytes');
  assert.equal(response.headers.get('content-security-policy'), contentSecurityPolicy);
  assert.equal(response.headers.get('cross-origin-opener-policy'), 'same-origin');
  assert.equal(response.headers.get('cross-origin-embedder-policy'), 'require-corp');
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(response.headers.get('x-extra'), 'yes');
  assert.equal(response.headers.get('referrer-policy'), null);
  assert.match(response.headers.get('etag'), /^"[^"]+"$/);
  assert.ok(Date.parse(response.headers.get('last-modified')) > 0);
});

test('media types', async () => {
  const types = {
    'a.js': 'text/javascript; charset=utf-8', 'a.wasm': 'application/wasm', 'a.css': 'text/css; charset=utf-8',
    'a.svg': 'image/svg+xml', 'a.png': 'image/png', 'a.json': 'application/json', 'page/': 'text/html; charset=utf-8',
  };
  for (const [name, type] of Object.entries(types)) {
    const response = await get(`/${name}`);
    assert.equal(response.headers.get('content-type'), type, name);
    await response.arrayBuffer();
  }
});

test('byte ranges', async () => {
  for (const [range, from, to] of [['bytes=0-0', 0, 0], ['bytes=10-19', 10, 19], ['bytes=990-', 990, 999], ['bytes=-5', 995, 999],
    ['bytes=990-5000', 990, 999], ['bytes=-5000', 0, 999]]) {
    const response = await get('/a%20b.safetensors', { Range: range });
    assert.equal(response.status, 206, range);
    assert.equal(response.headers.get('content-range'), `bytes ${from}-${to}/1000`, range);
    assert.deepEqual(await bytesOf(response), BYTES.slice(from, to + 1), range);
  }
  for (const range of ['bytes=1000-', 'bytes=1000-1001', 'bytes=-0']) {
    const response = await get('/a%20b.safetensors', { Range: range });
    assert.equal(response.status, 416, range);
    assert.equal(response.headers.get('content-range'), 'bytes */1000', range);
    await response.arrayBuffer();
  }
  for (const range of ['bytes=', 'bytes=-', 'bytes=5-4', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=a-b']) {
    const response = await get('/a%20b.safetensors', { Range: range });
    assert.equal(response.status, 200, range);
    assert.equal((await bytesOf(response)).length, 1000, range);
  }
  assert.equal((await get('/empty.bin', { Range: 'bytes=0-' })).status, 416);
});

test('If-Range gives a range of the same version only', async () => {
  const etag = (await get('/a%20b.safetensors', {}, 'HEAD')).headers.get('etag');
  const same = await get('/a%20b.safetensors', { Range: 'bytes=1-2', 'If-Range': etag });
  assert.equal(same.status, 206);
  await same.arrayBuffer();
  const other = await get('/a%20b.safetensors', { Range: 'bytes=1-2', 'If-Range': '"other"' });
  assert.equal(other.status, 200);
  assert.equal((await bytesOf(other)).length, 1000);
});

test('what the client holds is not sent again', async () => {
  const first = await get('/a%20b.safetensors', {}, 'HEAD');
  const etag = first.headers.get('etag');
  for (const tags of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
    const response = await get('/a%20b.safetensors', { 'If-None-Match': tags });
    assert.equal(response.status, 304, tags);
    assert.equal(response.headers.get('etag'), etag);
    assert.equal((await bytesOf(response)).length, 0);
  }
  const modified = first.headers.get('last-modified');
  assert.equal((await get('/a%20b.safetensors', { 'If-Modified-Since': modified })).status, 304);
  const stale = await get('/a%20b.safetensors', { 'If-Modified-Since': modified, 'If-None-Match': '"other"' });
  assert.equal(stale.status, 200);
  await stale.arrayBuffer();
});

test('HEAD sends the headers alone, other methods are refused', async () => {
  const head = await get('/a%20b.safetensors', {}, 'HEAD');
  assert.equal(head.status, 200);
  assert.equal(head.headers.get('content-length'), '1000');
  assert.equal((await bytesOf(head)).length, 0);
  const post = await get('/a%20b.safetensors', {}, 'POST');
  assert.equal(post.status, 405);
  assert.equal(post.headers.get('allow'), 'GET, HEAD');
  await post.arrayBuffer();
});

test('folders, mounted folders and the home page', async () => {
  const bare = await get('/page?x=1');
  assert.equal(bare.status, 301);
  assert.equal(bare.headers.get('location'), '/page/?x=1');
  assert.match(await (await get('/page/')).text(), /<title>page/);
  assert.equal((await get('/')).headers.get('location'), '/page/');
  assert.equal(await (await get('/more/extra.txt')).text(), 'extra');
  assert.equal((await getRaw('//page')).headers.location, '/page/');
  for (const name of ['/none', '/more/', '/a.js/', '/page/none/']) assert.equal((await get(name)).status, 404, name);
});

test('nothing beyond the folders is served', async () => {
  for (const target of ['/../secret.txt', '/..%2fsecret.txt', '/%2e%2e/secret.txt', '/page/../../secret.txt', '/..\\secret.txt',
    '/..%5csecret.txt', '/more/../secret.txt', '/more/..%2f..%2fsecret.txt', '/../root-sibling/secret.txt', '/%00', 'secret.txt',
    '/a.js%00.txt']) {
    const { status, body } = await getRaw(target);
    assert.ok(status === 404 || status === 400, `${target}: ${status}`);
    assert.doesNotMatch(body, /secret/);
  }
  assert.equal((await getRaw('/%')).status, 400);
});

test('served counts the bytes of bodies by path', async () => {
  const count = () => server.served.get('/a b.safetensors');
  const start = count();
  await (await get('/a%20b.safetensors', { Range: 'bytes=0-99' })).arrayBuffer();
  await get('/a%20b.safetensors', {}, 'HEAD');
  assert.equal(count() - start, 100);
});

test('a port that is taken gives way to the next', async () => {
  const port = Number(new URL(server.url).port);
  const next = await serve({ root: folder, port });
  try {
    assert.ok(Number(new URL(next.url).port) > port);
    assert.equal(await (await fetch(`${next.url}/secret.txt`)).text(), 'secret');
  } finally {
    await next.close();
  }
});
