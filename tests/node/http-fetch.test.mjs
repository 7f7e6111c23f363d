// Files over Node.js's own http in place of its fetch(): only where nobody could tell, and whatever a program put in
// fetch's place is asked. (make test-over-fetch has the other tests of the network use fetch() as well.)

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { setImmediate } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';

import { loadTextEncoder } from '../../dist/index.js';
import { fetchOver } from '../../web/node/http-fetch.js';
import { golden } from './support.mjs';

const { config: model, path } = golden('clip');
const file = readFileSync(path);
const { createServer } = createRequire(import.meta.url)('node:http'); // an import of it may load undici
const large = Uint8Array.from({ length: 5_000_011 }, (_, i) => (i * 2654435761) >>> 13);
const DISPATCHERS = [1, 2].map((version) => Symbol.for(`undici.globalDispatcher.${version}`));

let server;
let url;
let asked; // { path, over } of each request

/** Answers by the first part of a path, else the file. */
const ANSWERS = {
  large: (response) => response.writeHead(200, { 'content-length': large.length }).end(large),
  pieces: (response) => {
    for (let at = 0; at < large.length; at += 70_001) response.write(large.subarray(at, at + 70_001));
    response.end();
  },
  packed: (response) => encoded(response, 'gzip', gzipSync(large, { level: 1 })),
  gzip: (response) => encoded(response, 'gzip', gzipSync(file)),
  deflate: (response) => encoded(response, 'deflate', deflateSync(file)),
  br: (response) => encoded(response, 'br', brotliCompressSync(file)),
  ranges: (response, { range }) => {
    const [from, to] = range.match(/\d+/g).map(Number);
    const end = Math.min(to + 1, file.length);
    response
      .writeHead(206, { 'content-range': `bytes ${from}-${end - 1}/${file.length}` })
      .end(file.subarray(from, end));
  },
  moved: (response) => response.writeHead(307, { location: Buffer.from('/über/file').toString('latin1') }).end('moved'),
  elsewhere: (response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  secret: (response) => response.writeHead(302, { location: url.replace('//', '//name:word@') }).end(),
};

const encoded = (response, coding, bytes) => response.writeHead(200, { 'content-encoding': coding }).end(bytes);

before(async () => {
  server = createServer((request, response) => {
    asked.push({ path: request.url, over: request.headers['sec-fetch-mode'] ? 'fetch' : 'http' });
    const answer = ANSWERS[request.url.split('/')[1]];
    if (answer) answer(response, request.headers);
    else response.writeHead(200, { 'content-length': file.length }).end(file);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  url = `http://127.0.0.1:${server.address().port}`;
});

after(() => server.close());

/** Loads an encoder; returns the paths that were asked for, and by what. */
async function load(place, options) {
  asked = [];
  const encoder = await loadTextEncoder({
    model,
    weights: `${url}${place}`,
    cache: 'no-store',
    retry: { attempts: 1 },
    ...options,
  });
  encoder.dispose();
  return asked;
}

test('over http, where nothing was put in its place', async () => {
  assert.deepEqual(await load('/file'), [{ path: '/file', over: 'http' }]);
  for (const one of DISPATCHERS) assert.equal(globalThis[one], undefined, 'nothing has loaded undici');
});

test('one connection for requests one after the other', async () => {
  let count = 0;
  server.on('connection', () => count++);
  for (let i = 0; i < 3; i++) await load('/ranges/file');
  assert.ok(count <= 1, `${count} connections`);
});

test('an answer that was compressed, and a redirection to what is not ASCII', async () => {
  for (const coding of ['gzip', 'deflate', 'br'])
    assert.ok(
      (await load(`/${coding}/file`)).every(({ over }) => over === 'http'),
      coding,
    );
  assert.deepEqual(
    (await load('/moved/file')).map(({ path }) => path),
    ['/moved/file', '/%C3%BCber/file'],
  );
});

test('every byte, however slowly they are read, of bodies one after the other and at once', async () => {
  const read = async (place) => {
    const reader = (await fetchOver(url)(`${url}/${place}`, {})).body.getReader();
    const parts = [];
    for (let part; !(part = await reader.read()).done; await setImmediate()) parts.push(part.value);
    assert.ok(Buffer.concat(parts).equals(large), place);
  };
  asked = [];
  for (const place of ['large', 'pieces', 'packed', 'large']) await read(place);
  await Promise.all(['large', 'pieces', 'packed', 'large'].map(read));
});

test('redirections that fetch() does not follow either', async () => {
  for (const path of ['/elsewhere/file', '/secret/file'])
    await assert.rejects(load(path), { code: 'http/network', message: /redirected to/ });
});

test('option fetch, and a fetch that a program put in place of the global one', async () => {
  const { fetch } = globalThis;
  const seen = [];
  const own = (...args) => (seen.push(args[0]), Promise.resolve(new Response(file)));
  await load('/file', { fetch: own });
  globalThis.fetch = own;
  await load('/file').finally(() => (globalThis.fetch = fetch));
  assert.deepEqual(asked, []);
  assert.deepEqual(seen, [`${url}/file`, `${url}/file`]);
});

test('listeners to requests of undici', async () => {
  const program = `
    import { subscribe } from 'node:diagnostics_channel';
    import { loadTextEncoder } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
    let count = 0;
    subscribe('undici:request:create', () => count++);
    await loadTextEncoder({ model: ${JSON.stringify(model)}, weights: '${url}/file', cache: 'no-store' });
    process.stdout.write(String(count));`;
  asked = [];
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  });
  assert.equal(stdout, '1');
  assert.deepEqual(asked, [{ path: '/file', over: 'fetch' }]);
});

test('a dispatcher that a program gave to undici', async () => {
  const dispatch = (options, handler) => {
    handler.onConnect?.(() => {});
    handler.onRequestStart?.({ abort() {}, pause() {}, resume() {} }, {});
    const error = new Error(`${options.path} is not for you`);
    handler.onError ? handler.onError(error) : handler.onResponseError({}, error);
    return true;
  };
  for (const one of DISPATCHERS) globalThis[one] = { dispatch };
  await assert.rejects(load('/file'), { code: 'http/network', message: /\/file is not for you/ });
  assert.deepEqual(asked, []);
});
