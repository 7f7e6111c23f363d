// web/cli/server.js answers as HTTP says (RFC 9110) and serves nothing beyond its folders.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { contentSecurityPolicy, isServable, serve } from '../../web/cli/server.js';

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
  for (const name of ['a.js', 'a.wasm', 'a.css', 'a.svg', 'a.png', 'a.json'])
    await writeFile(path.join(root, name), ' ');
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
function getRaw(target, { to = server, host } = {}) {
  const { hostname, port } = new URL(to.url);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path: target, ...(host !== undefined && { headers: { host } }) }, (response) => {
      let body = '';
      response
        .setEncoding('utf8')
        .on('data', (text) => (body += text))
        .on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    })
      .on('error', reject)
      .end();
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
    'a.js': 'text/javascript; charset=utf-8',
    'a.wasm': 'application/wasm',
    'a.css': 'text/css; charset=utf-8',
    'a.svg': 'image/svg+xml',
    'a.png': 'image/png',
    'a.json': 'application/json',
    'page/': 'text/html; charset=utf-8',
  };
  for (const [name, type] of Object.entries(types)) {
    const response = await get(`/${name}`);
    assert.equal(response.headers.get('content-type'), type, name);
    await response.arrayBuffer();
  }
});

test('byte ranges', async () => {
  for (const [range, from, to] of [
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['bytes=990-', 990, 999],
    ['bytes=-5', 995, 999],
    ['bytes=990-5000', 990, 999],
    ['bytes=-5000', 0, 999],
  ]) {
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
  for (const target of [
    '/../secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e/secret.txt',
    '/page/../../secret.txt',
    '/..\\secret.txt',
    '/..%5csecret.txt',
    '/more/../secret.txt',
    '/more/..%2f..%2fsecret.txt',
    '/../root-sibling/secret.txt',
    '/%00',
    'secret.txt',
    '/a.js%00.txt',
  ]) {
    const { status, body } = await getRaw(target);
    assert.ok(status === 404 || status === 400, `${target}: ${status}`);
    assert.doesNotMatch(body, /secret/);
  }
  assert.equal((await getRaw('/%')).status, 400);
});

test('links that lead out of the folders are not followed, those within are', async () => {
  const root = path.join(folder, 'links');
  const within = path.join(root, 'within');
  await mkdir(within, { recursive: true });
  await writeFile(path.join(within, 'a.txt'), 'fine');
  await writeFile(path.join(within, 'index.html'), 'fine');
  const links = {
    'file.txt': '../secret.txt',
    'absolute.txt': path.join(folder, 'secret.txt'),
    folder: '..',
    sibling: '../root-sibling',
    loop: 'loop',
    nowhere: 'nothing',
    device: '/dev/zero',
    'within/up.txt': '../../secret.txt',
    'good.txt': 'within/a.txt',
    good: 'within',
  };
  for (const [name, target] of Object.entries(links)) await symlink(target, path.join(root, name));
  await mkdir(path.join(root, 'page'));
  await symlink('../../secret.txt', path.join(root, 'page', 'index.html'));
  const linked = path.join(folder, 'linked');
  await symlink(root, linked);
  const site = await serve({ root: linked });
  try {
    for (const target of [
      '/file.txt',
      '/absolute.txt',
      '/folder/secret.txt',
      '/folder/',
      '/sibling/secret.txt',
      '/loop',
      '/nowhere',
      '/device',
      '/within/up.txt',
      '/page/',
      '/page/index.html',
    ]) {
      const { status, body } = await getRaw(target, { to: site });
      assert.equal(status, 404, target);
      assert.doesNotMatch(body, /secret/);
    }
    for (const target of ['/good.txt', '/good/a.txt', '/good/', '/within/a.txt'])
      assert.deepEqual((await getRaw(target, { to: site })).body, 'fine', target);
  } finally {
    await site.close();
  }
});

test('what is no file is not opened', { timeout: 20_000 }, async () => {
  const place = path.join(folder, 'root', 'fifo.txt');
  execFileSync('mkfifo', [place]);
  assert.equal((await get('/fifo.txt')).status, 404);
  await rm(place);
});

test('hidden files are not served, nor names that mean something else to the system', async () => {
  for (const name of ['.env', '.git/config', 'page/.htaccess', '.hidden/index.html']) {
    const place = path.join(folder, 'root', name);
    await mkdir(path.dirname(place), { recursive: true });
    await writeFile(place, 'secret');
    assert.equal((await get(`/${name}`)).status, 404, name);
  }
  assert.equal((await get('/.hidden/')).status, 404);
  assert.equal((await get('/.hidden')).status, 404);
  const odd = [
    'a.txt::$DATA',
    'C:/a.txt',
    'c:a.txt',
    'a.txt.',
    'a.txt ',
    'CON',
    'aux.txt',
    'nul',
    'a/com1.txt',
    'lpt9',
    'a?.txt',
    'a|b',
    '"a"',
    'page /a.txt',
    'prn/a',
  ];
  for (const name of odd) assert.equal(isServable(`/${name}`, true), false, name);
  for (const name of ['a.txt', 'a b.txt', 'console.txt', 'nulls/a', 'a.b.c', 'nulx', 'ü.png'])
    assert.equal(isServable(`/${name}`, true), true, name);
  for (const windows of [true, false])
    for (const name of ['..', '../a', 'a/../b', 'a\\b', '.a', 'a\0', 'a\n', '\x1b[2J', '\x7f'])
      assert.equal(isServable(`/${name}`, windows), false, name);
});

test('only who asks for this server is answered: pages of other sites, whose names can be made to lead here, are not', async () => {
  const { port } = new URL(server.url);
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`])
    assert.equal((await getRaw('/a.js', { host })).status, 200, host);
  for (const host of [
    `evil.example:${port}`,
    `127.0.0.1:${Number(port) + 1}`,
    '127.0.0.1',
    'localhost',
    `localhost.evil.example:${port}`,
    `127.0.0.1.evil.example:${port}`,
    `evil@127.0.0.1:${port}`,
    `10.0.0.1:${port}`,
    `0.0.0.0:${port}`,
    `[::2]:${port}`,
    `localhost:${port}:${port}`,
    `localhost :${port}`,
    `localhost:${port}/`,
    `:${port}`,
    `localhost:`,
  ]) {
    const { status, body } = await getRaw('/a.js', { host });
    assert.ok(status === 403 || status === 400, `${host}: ${status}`);
    assert.match(body, /^(403\n)?$/);
  }
  for (const head of ['HTTP/1.0', 'HTTP/1.0\r\nHost:', 'HTTP/1.1\r\nConnection: close\r\nHost:'])
    assert.match(await rawAnswer(`GET /a.js ${head}\r\n\r\n`), /^HTTP\/1\.1 403 /);
  assert.match(
    await rawAnswer(`GET http://evil.example/a.js HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`),
    /^HTTP\/1\.1 404 /,
  );
});

test('other names, where the caller gives them, and addresses where it listens everywhere', async () => {
  const named = await serve({ root: path.join(folder, 'root'), hosts: ['Halfclip.test', 'forwarded.example:9000'] });
  const open = await serve({ root: path.join(folder, 'root'), host: '0.0.0.0' });
  try {
    const { port } = new URL(named.url);
    for (const host of [`halfclip.test:${port}`, 'halfclip.test', 'forwarded.example:9000', `127.0.0.1:${port}`])
      assert.equal((await getRaw('/a.js', { to: named, host })).status, 200, host);
    for (const host of ['forwarded.example', 'forwarded.example:9001', 'halfclip.test:9000'])
      assert.equal((await getRaw('/a.js', { to: named, host })).status, 403, host);
    const { port: other } = new URL(open.url);
    for (const host of [`10.0.0.1:${other}`, `[fe80::1]:${other}`, `localhost:${other}`])
      assert.equal((await getRaw('/a.js', { to: open, host })).status, 200, host);
    for (const host of [`evil.example:${other}`, '10.0.0.1', '10.0.0.1:9'])
      assert.equal((await getRaw('/a.js', { to: open, host })).status, 403, host);
  } finally {
    await named.close();
    await open.close();
  }
});

/** Everything that comes back for bytes that are sent as they stand, until the server ends the connection. */
function rawAnswer(text, to = server) {
  return new Promise((resolve, reject) => {
    const socket = connect(new URL(to.url).port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket
      .setEncoding('latin1')
      .on('data', (data) => (answer += data))
      .on('error', reject)
      .on('close', () => resolve(answer));
  });
}

test('clients that are slow, or send too much, do not hold the server', { timeout: 20_000 }, async () => {
  const place = path.join(folder, 'large');
  await mkdir(place);
  await writeFile(path.join(place, 'large.bin'), Buffer.alloc(50e6));
  const site = await serve({ root: place, patience: { request: 300, answer: 600 } });
  const { port } = new URL(site.url);
  try {
    assert.match(await rawAnswer(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX-Slow: `, site), /^HTTP\/1\.1 408 /);
    assert.match(
      await rawAnswer(`GET /${'a'.repeat(1e5)} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`, site),
      /^HTTP\/1\.1 (431|414) /,
    );
    assert.match(
      await rawAnswer(`POST / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 1000000000\r\n\r\nx`, site),
      /^HTTP\/1\.1 405 /,
    );
    // A body that is not read any more.
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET /large.bin HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`),
    );
    socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    assert.ok(site.served.get('/large.bin') < 50e6);
    let got = 0;
    await new Promise((resolve) =>
      socket
        .on('data', ({ length }) => (got += length))
        .on('error', () => {})
        .on('close', resolve)
        .resume(),
    );
    assert.ok(got < 50e6, 'the server has ended the connection');
    assert.equal((await fetch(`${site.url}/large.bin`, { method: 'HEAD' })).status, 200);
  } finally {
    await site.close();
  }
});

test('the policy: no other page may frame this one, no form may send elsewhere', () => {
  assert.match(contentSecurityPolicy, /(^|; )frame-ancestors 'self'(;|$)/);
  assert.match(contentSecurityPolicy, /(^|; )form-action 'self'(;|$)/);
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
