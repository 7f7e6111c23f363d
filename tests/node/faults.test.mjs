// What servers and networks do: each fault ends in the right vector or in its own error, and leaves nothing behind.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { FaultServer, inMemory } from './fault-server.mjs';
import { golden, randomCheckpoint, rows, scatteredCheckpoint } from './support.mjs';

const clip = golden('clip');
const file = scatteredCheckpoint(clip);
const ids = rows(clip.expected.tokens)[0];
const RETRY = { attempts: 4, pause: 1 };

let server;
let other;
let expected;

before(async () => {
  const files = {
    '/clip': inMemory(file),
    '/empty': inMemory(Buffer.alloc(0)),
    '/short': inMemory(file.subarray(0, 400_000)),
  };
  server = await FaultServer.start(files);
  other = await FaultServer.start(files);
  const encoder = await loadTextEncoder({ model: clip.config, weights: file, dtype: 'fp32' });
  expected = await encoder.embedTokens(ids);
  encoder.dispose();
});

beforeEach(() => [server, other].forEach((one) => one.reset()));
after(() => Promise.all([server.close(), other.close()]));

const load = (options) =>
  loadTextEncoder({
    model: clip.config,
    weights: `${server.base}/clip`,
    dtype: 'fp32',
    cache: 'no-store',
    retry: RETRY,
    ...options,
  });

/** Loads, and checks the vector. */
async function works(options) {
  const encoder = await load(options);
  assert.deepEqual(await encoder.embedTokens(ids), expected);
  encoder.dispose();
  return encoder.info;
}

async function fails(options, code, ...patterns) {
  const error = await load(options).then(
    () => assert.fail(`expected ${code}, but it worked`),
    (error) => error,
  );
  assert.ok(error instanceof HalfclipError, error.stack);
  assert.equal(error.code, code, error.message);
  for (const pattern of patterns) assert.match(error.message, pattern);
  return error;
}

/** A fault of the requests that `which` picks by number, once each. */
const once = (which, fault) => {
  server.fault = ({ number }) => (which(number) ? fault : undefined);
};
const first = (number) => number === 0;
const second = (number) => number === 1;
const always = () => true;

test('without faults, one request for the header and one for each range, of nothing but this tower', async () => {
  const { fetchedBytes, fileBytes } = await works();
  assert.equal(fileBytes, file.length);
  const [head, ...ranges] = server.requests.map(({ range }) => /^bytes=(\d+)-(\d+)$/.exec(range).slice(1).map(Number));
  assert.deepEqual(head, [0, 262143]);
  assert.ok(ranges.length >= 3, `${ranges.length} ranges`);
  assert.equal(
    fetchedBytes,
    [head, ...ranges].reduce((sum, [begin, end]) => sum + end + 1 - begin, 0),
  );
  assert.equal(
    fetchedBytes,
    server.requests.reduce((sum, { sent }) => sum + sent, 0),
  );
  assert.ok(fetchedBytes < 262144 + 130_000, `${fetchedBytes} bytes`);
  assert.ok(server.requests.every(({ headers }) => headers['accept-encoding'] === 'identity'));
});

test('ranges are asked for side by side, at most four at once', async () => {
  let open = 0;
  let most = 0;
  const counting = async (...args) => {
    most = Math.max(most, ++open);
    const response = await fetch(...args);
    const body = response.body.pipeThrough(
      new TransformStream({
        flush: () => {
          open--;
        },
      }),
    );
    return new Response(body, response);
  };
  await works({ fetch: counting });
  assert.ok(most >= 2 && most <= 4, `${most} at once`);
});

test('a small file comes in one request', async () => {
  const { config, file } = randomCheckpoint({
    text_cfg: { context_length: 12, vocab_size: 96, width: 64, heads: 1, layers: 1 },
  });
  server.files['/small'] = inMemory(file);
  const encoder = await loadTextEncoder({ model: config, weights: `${server.base}/small` });
  assert.equal(server.requests.length, 1);
  assert.equal(encoder.info.fetchedBytes, file.length);
  encoder.dispose();
});

test('a connection that breaks at any byte is resumed there', async () => {
  for (const cut of [0, 1, 7, 8, 9, 1000, 262143]) {
    server.reset();
    once(first, { cut });
    await works();
    assert.equal(server.requests[1].range, `bytes=${server.requests[0].sent}-262143`);
    assert.equal(server.requests[1].headers['if-range'], cut ? '"1"' : undefined);
  }
  for (const cut of [0, 1, 333]) {
    server.reset();
    once(second, { cut });
    await works();
  }
});

test('a connection that always breaks ends in an error, after as many attempts as asked for', async () => {
  once(always, { cut: 0 });
  await fails({}, 'http/network', /\/clip/);
  assert.equal(server.requests.length, RETRY.attempts);
  server.reset();
  once(always, { cut: 100 });
  await fails({}, 'http/network');
});

test('a transfer that breaks again and again is resumed as long as it advances', async () => {
  once(always, { cut: 70_000 });
  await works();
});

test('a server that falls silent', async () => {
  for (const which of [first, second]) {
    server.reset();
    once(which, { stall: 100 });
    await works({ retry: { ...RETRY, stall: 50 } });
  }
  once(always, { stall: 0 });
  await fails({ retry: { attempts: 2, pause: 1, stall: 30 } }, 'http/network', /no byte came for 30 ms/);
});

test('a time limit', async () => {
  once(always, { stall: 1000 });
  const begin = performance.now();
  await fails({ retry: { timeout: 100 } }, 'http/network', /100 ms/);
  assert.ok(performance.now() - begin < 2000);
});

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`status ${status}, once and always`, async () => {
    once(first, { status });
    await works();
    once(always, { status });
    server.requests = [];
    const error = await fails({}, 'http/status', new RegExp(status));
    assert.equal(error.status, status);
    assert.equal(server.requests.length, RETRY.attempts);
  });
}

test('Retry-After is respected, in seconds and as a date, up to a minute', async () => {
  for (const value of [() => 1, () => new Date(Date.now() + 2000).toUTCString()]) {
    server.reset();
    once(first, { status: 503, headers: { 'retry-after': value() } });
    const begin = performance.now();
    await works();
    assert.ok(performance.now() - begin >= 900);
  }
  server.reset();
  once(first, { status: 429, headers: { 'retry-after': 3600 } });
  await fails({}, 'http/status', /429/);
  assert.equal(server.requests.length, 1);
});

for (const status of [400, 401, 403, 404, 410]) {
  test(`status ${status} is not asked again`, async () => {
    once(always, { status });
    assert.equal((await fails({}, 'http/status', new RegExp(status))).status, status);
    assert.equal(server.requests.length, 1);
  });
}

test('a server that ignores Range', async () => {
  once(always, { ranges: false });
  const { fetchedBytes } = await works();
  assert.equal(server.requests.length, 1);
  assert.ok(fetchedBytes <= file.length);
  for (const cut of [10, 262144, 500_000]) {
    server.reset();
    once(first, { ranges: false, cut });
    await works();
    assert.equal(server.requests.length, 2);
    assert.equal(server.requests[1].range, `bytes=${server.requests[0].sent}-`);
  }
  server.reset();
  once(always, { ranges: false, cut: 400_000 });
  await fails({}, 'http/network');
});

test('a server that ignores Range later on', async () => {
  once((number) => number > 0, { ranges: false });
  await works();
});

test('a server that ignores Range and says no length', async () => {
  once(always, { ranges: false, length: false });
  await works();
  assert.equal(server.requests.length, 1);
});

test('no length, only Content-Range', async () => {
  once(always, { length: false });
  await works();
});

test('an answer without Content-Range makes no sense', async () => {
  once((number) => number === 0, { rangeHeader: false });
  await works();
  assert.equal(server.requests[1].range, undefined, 'all of the file is asked for instead');
  server.reset();
  once((number) => number > 0, { rangeHeader: false });
  await fails({}, 'http/network');
});

test('a host that lets a page see no headers', async () => {
  // As a page sees the answers of another host: type "cors" and none of these headers.
  const opaque = async (...args) => {
    const response = await fetch(...args);
    const headers = new Headers(response.headers);
    for (const name of ['content-range', 'etag', 'content-encoding', 'accept-ranges']) headers.delete(name);
    const seen = new Response(response.body, { status: response.status, headers });
    return Object.defineProperty(seen, 'type', { value: 'cors' });
  };
  assert.equal((await works({ fetch: opaque })).fileBytes, null);
  once(first, { ranges: false });
  await works({ fetch: opaque });
  server.files['/tiny'] = inMemory(file.subarray(0, 1000));
  await fails({ fetch: opaque, weights: `${server.base}/tiny` }, 'weights/truncated', /1000/);
});

test('compressed transfer', async () => {
  once(always, { ranges: false, gzip: true });
  await works();
  server.reset();
  once(always, { gzip: true }); // of a part: nothing can be made of that
  await works().catch((error) => assert.equal(error.code, 'http/network'));
  assert.equal(server.requests[1].range, undefined);
});

test('several parts in one answer are not understood, so all of the file is asked for', async () => {
  once(first, { headers: { 'content-type': 'multipart/byteranges; boundary=x' } });
  await works();
  assert.equal(server.requests[1].range, undefined);
});

test('other bytes than were asked for', async () => {
  for (const which of [first, second]) {
    server.reset();
    once(which, { shift: 5 });
    await works();
  }
  server.reset();
  once((number) => number > 0, { shift: 5 });
  await fails({}, 'http/network', /sent bytes \d+ to/);
  server.reset();
  once(always, { shift: 5 });
  await works(); // the last attempt asks for all of the file
  assert.equal(server.requests.at(-1).range, undefined);
});

test('bytes that begin before those asked for are skipped', async () => {
  once((number) => number > 0, { early: 7 });
  await works();
});

test('too few and too many bytes', async () => {
  for (const which of [first, second]) {
    server.reset();
    once(which, { end: 50 });
    await works();
    server.reset();
    once(which, { extra: 1000 });
    await works();
  }
  once(always, { end: 0 });
  await fails({}, 'http/network', /ended at byte/);
});

test('a file that was changed, wherever it shows', async () => {
  for (const change of [{ etag: '"2"' }, { 'last-modified': 'Thu, 02 Jan 2025 00:00:00 GMT', etag: '' }]) {
    server.reset();
    server.fault = ({ number }) => (number ? { validators: false, headers: change } : {});
    await fails({}, 'weights/changed', /clip/);
  }
  // The server heeds If-Range and sends the new file whole.
  server.reset();
  server.fault = ({ number }) => {
    if (number === 1) server.etag = '"2"';
  };
  await fails({}, 'weights/changed', /"1".*"2"/);
  // Only the size tells.
  server.reset();
  server.fault = ({ number }) => {
    server.files['/growing'] = inMemory(number ? Buffer.concat([file, file]) : file);
    return { validators: false };
  };
  await fails({ weights: `${server.base}/growing` }, 'weights/changed', /size/);
  // It has become shorter than what is asked for.
  server.reset();
  server.fault = ({ number }) => {
    server.files['/shrinking'] = inMemory(number ? file.subarray(0, 300_000) : file);
    return { validators: false };
  };
  await fails({ weights: `${server.base}/shrinking` }, 'weights/changed', /size/);
});

test('a file changed while a server that knows no ranges was sending it', async () => {
  server.fault = ({ number }) => {
    if (number === 1) server.etag = '"2"';
    return { ranges: false, ...(number === 0 && { cut: 400_000 }) };
  };
  await fails({}, 'weights/changed');
});

test('redirects to another host, in every request', async () => {
  once(always, { redirect: `${other.base}/clip` });
  await works();
  assert.ok(server.requests.length >= 4);
  assert.equal(other.requests.length, server.requests.length);
});

test('signed addresses that expire', async () => {
  let signature = 0;
  server.fault = () => ({ redirect: `${other.base}/clip?signature=${++signature}` });
  other.fault = ({ path }) => (path.endsWith(`signature=${signature}`) ? {} : { status: 403 });
  await works();
  // A redirection that comes from a cache is followed by another attempt.
  let refused = false;
  other.fault = ({ number }) => (number > 0 && !refused ? ((refused = true), { status: 403 }) : {});
  other.requests = [];
  await works();
  assert.ok(refused);
});

test('a redirect loop', async () => {
  once(always, { redirect: 'clip' });
  await fails({}, 'http/network', /redirect/);
});

test('garbage, an HTML page, and nothing at all', async () => {
  once(always, { body: Buffer.alloc(5000, 'garbage'), ranges: false });
  await fails({}, 'weights/format');
  once(always, {
    body: Buffer.from('<!DOCTYPE html><title>Sign in</title>'),
    ranges: false,
    headers: { 'content-type': 'text/html' },
  });
  await fails({}, 'weights/format', /HTML/);
  server.reset();
  await fails({ weights: `${server.base}/empty` }, 'weights/truncated');
  await fails({ weights: `${server.base}/short` }, 'weights/truncated', /400000/);
});

test('what servers say is shown without commands to a terminal, and URLs without what signs them', async () => {
  const shown = async (options) => {
    const { message, stack } = await load({ ...options, retry: { attempts: 1 } }).catch((error) => error);
    assert.doesNotMatch(message + stack.split('\n')[0], /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
    assert.doesNotMatch(message, /SECRET/);
    return message;
  };
  server.fault = ({ number }) => (number ? { headers: { etag: '"\x9b2J\x85"' } } : {});
  assert.match(await shown(), /ETag was "1" and is "\\u009b2J\\u0085"/);
  const answer = (init) => async () => new Response('x', init);
  assert.match(await shown({ fetch: answer({ status: 500, statusText: 'Not\x9b2J' }) }), /500 Not\\u009b2J/);
  const throwing = async () => {
    throw new TypeError('\x1b]0;title\x07\u202e');
  };
  for (const worker of [false, true])
    assert.match(await shown({ fetch: throwing, worker }), /\\u001b\]0;title\\u0007\\u202e/);
  server.fault = () => ({ status: 403 });
  assert.match(
    await shown({ weights: `${server.base}/clip?file=a&X-Amz-Signature=SECRET&sig=SECRET&token=SECRET` }),
    /\/clip\?file=a: HTTP status 403/,
  );
  assert.match(
    await shown({ weights: `data:application/octet-stream,${'x'.repeat(1e6)}` }),
    /^data:application\/octet-stream,x{200,300}….{0,200}$/,
  );
});

test('an index that is no file has no files beside it', async () => {
  const index = JSON.stringify({ weight_map: { text_projection: 'x.safetensors' } });
  const blob = new Blob([index]);
  for (const weights of [
    `data:application/json,${encodeURIComponent(index)}`,
    `data:;base64,${btoa(index)}`,
    URL.createObjectURL(blob),
    blob,
    Buffer.from(index),
  ]) {
    await fails({ weights }, 'weights/not-found', /x\.safetensors/);
  }
});

test('a blob: URL', async () => {
  await works({ weights: URL.createObjectURL(new Blob([file])) });
});

test('a FIFO and a device are no weight files', { timeout: 20_000 }, async () => {
  const place = path.join(mkdtempSync(path.join(tmpdir(), 'halfclip-')), 'fifo');
  execFileSync('mkfifo', [place]);
  for (const weights of [place, '/dev/zero', '/dev/null', path.dirname(place)])
    await fails({ weights }, 'weights/not-found', /is not a file/);
  rmSync(path.dirname(place), { recursive: true });
});

test('status 416 for what is there', async () => {
  once(first, { status: 416 });
  await works();
  assert.equal(server.requests[1].range, undefined);
});

test('integrity is that of the whole file, however it comes', async () => {
  const integrity = `sha256-${createHash('sha256').update(file).digest('base64')}`;
  const { fetchedBytes } = await works({ integrity });
  assert.equal(fetchedBytes, file.length);
  for (const fault of [
    { ranges: false },
    { gzip: true, ranges: false },
    { cut: 500_000 },
    { ranges: false, cut: 500_000 },
    { status: 503 },
  ]) {
    server.reset();
    once(first, fault);
    await works({ integrity });
  }
  server.reset();
  const changed = Buffer.from(file);
  changed[file.length - 1] ^= 1;
  server.files['/changed'] = inMemory(changed);
  await fails({ integrity, weights: `${server.base}/changed` }, 'integrity/mismatch');
});

test('an abort at any moment, in every phase', async () => {
  for (const [fault, delay] of [
    [{ stall: 0 }, 20],
    [{ stall: 100 }, 20],
    [{ stall: 262144 }, 20],
    [{ status: 503 }, 20],
    [{ chunk: 2000 }, 3],
    [{}, 0],
  ]) {
    server.reset();
    server.fault = () => fault;
    const reason = new Error('never mind');
    const abort = new AbortController();
    setTimeout(() => abort.abort(reason), delay);
    const outcome = await load({ signal: abort.signal, retry: { pause: 10_000 } }).then(
      (encoder) => encoder.dispose(),
      (error) => error,
    );
    if (outcome) assert.equal(outcome, reason);
  }
  for (let i = 0; i < 100 && (await server.connections()) > 4; i++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  server.reset();
  await works();
});

test('in a worker', async () => {
  once((number) => number === 0 || number === 2, { cut: 100 });
  await works({ worker: true });
  await works({ worker: true, fetch });
  once(always, { status: 403 });
  assert.equal((await fails({ worker: true }, 'http/status')).status, 403);
});

test('option retry of the wrong type', async () => {
  await fails({ retry: 5 }, 'input/type', /retry/);
  await fails({ retry: { attempts: 0 } }, 'input/type', /attempts/);
  await fails({ retry: { pause: 'long' } }, 'input/type', /pause/);
  await fails({ retry: { patience: 1 } }, 'input/type', /patience/);
});

test('image towers take the same road', async () => {
  once(second, { cut: 1 });
  const encoder = await loadImageEncoder({ model: clip.config, weights: `${server.base}/clip`, retry: RETRY });
  const [vector] = await encoder.embedPixels([rows(clip.expected.pixels)[0]]);
  assert.equal(vector.length, 24);
  encoder.dispose();
});
