// A load that is cut off goes on later where it was: what came of the file is kept, in parts, and only the rest is
// fetched, if the server has the same version still.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { keptTowers, loadTextEncoder, removeKeptTowers } from '../../dist/index.js';
import { dir, folder, server } from './cache-fixture.mjs';
import { inMemory } from './fault-server.mjs';
import { buildSafetensors, parseSafetensors, randomCheckpoint } from './support.mjs';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const clip = randomCheckpoint({
  text_cfg: { context_length: 8, vocab_size: 40000, width: 64, heads: 1, layers: 1 },
});
const { config, file } = clip; // five megabytes
const other = Buffer.from(file);
for (let i = file.length - 4e6; i < file.length; i += 2) other[i] ^= 255; // mantissas
const ids = Int32Array.from({ length: 8 }, (_, i) => 39000 + i);
const MORE = 2 ** 18 + 1000; // bytes: the first request always comes
const SLOW = { chunk: 1 << 16, pause: 4 }; // less than 16 MB a second

beforeEach(() => {
  server.files = { '/clip.safetensors': inMemory(file) };
  server.fault = () => SLOW;
});

async function load(options) {
  const before = server.requests.length;
  const encoder = await loadTextEncoder({
    model: config,
    weights: `${server.base}/clip.safetensors`,
    dtype: 'fp16',
    cache: { dir },
    retry: { attempts: 1 },
    ...options,
  });
  const vector = await encoder.embedTokens(ids);
  encoder.dispose();
  const requests = server.requests.slice(before);
  return { vector, info: encoder.info, requests, sent: requests.reduce((sum, { sent }) => sum + sent, 0) };
}

/** Loads until so many bytes have come, and aborts. */
async function cutOff(bytes, options) {
  const abort = new AbortController();
  const onProgress = ({ loaded }) => loaded >= bytes && abort.abort(new Error('cut off'));
  await assert.rejects(load({ ...options, signal: abort.signal, onProgress }), /cut off/);
}

const right = (weights = file) => load({ weights, cache: 'no-store' });
const kept = () => keptTowers({ dir });
const parts = async () => (await kept()).filter(({ stored }) => stored === null);

for (const worker of [false, true]) {
  test(`after an abort only the rest is fetched, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    await cutOff(3e6, { worker });
    const [{ bytes, fetchedBytes, ...part }, ...others] = await kept();
    assert.deepEqual(others, []);
    const { name, used, ...known } = part;
    assert.deepEqual(known, {
      url: `${server.base}/clip.safetensors`,
      model: null,
      tower: 'text',
      dtype: null,
      fileBytes: file.length,
      stored: null,
    });
    assert.ok(bytes > 2e6 && fetchedBytes > 2e6 && fetchedBytes < bytes, `${fetchedBytes} of ${bytes}`);
    const { vector, sent, info } = await load({ worker });
    assert.deepEqual(vector, (await right()).vector);
    assert.ok(sent <= file.length - fetchedBytes + MORE, `${sent} sent, ${fetchedBytes} kept`);
    assert.equal(info.fetchedBytes, sent);
    assert.equal(info.cached, false);
    const after = await kept();
    assert.deepEqual(
      after.map(({ dtype, fileBytes }) => [dtype, fileBytes]),
      [['fp16', file.length]],
    );
    assert.equal((await load({ worker })).info.cached, true);
  });
}

test('once a load has rejected what it kept can be removed, and stays away', async () => {
  for (const worker of [false, true]) {
    await cutOff(3e6, { worker });
    assert.equal((await removeKeptTowers('all', { dir })).length, 1);
    assert.deepEqual(readdirSync(dir), []);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(readdirSync(dir), []);
  }
});

test('an abort does not wait for a fetch that does not heed it for longer than a moment', async () => {
  for (const worker of [false, true]) {
    const abort = new AbortController();
    const fetch = () => {
      setTimeout(() => abort.abort(new Error('cut off')), 20);
      return new Promise(() => {});
    };
    const before = performance.now();
    await assert.rejects(load({ worker, fetch, signal: abort.signal }), /cut off/);
    assert.ok(performance.now() - before < 5000);
  }
});

test('after a lost network, with integrity and for a whole file as well', async () => {
  const integrity = `sha256-${createHash('sha256').update(file).digest('base64')}`;
  server.fault = () => ({ ...SLOW, cut: 3e6 });
  await assert.rejects(load({ integrity }), { code: 'http/network' });
  server.fault = () => SLOW;
  const [{ fetchedBytes }] = await parts();
  assert.ok(fetchedBytes > 2e6);
  const { vector, sent } = await load({ integrity });
  assert.ok(sent <= file.length - fetchedBytes + MORE, `${sent} sent, ${fetchedBytes} kept`);
  assert.deepEqual(vector, (await right()).vector);
  assert.deepEqual(await parts(), []);
});

test('after the program was killed', async () => {
  const program = `
    import { loadTextEncoder } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
    const onProgress = ({ loaded }) => loaded >= 3e6 && process.kill(process.pid, 'SIGKILL');
    await loadTextEncoder({ ...${JSON.stringify({ model: config, weights: `${server.base}/clip.safetensors`, dtype: 'fp16', cache: { dir } })}, onProgress });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
  assert.equal(await new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal))), 'SIGKILL');
  const [{ fetchedBytes }] = await parts();
  const { vector, sent } = await load();
  assert.ok(sent <= file.length - fetchedBytes + MORE, `${sent} sent, ${fetchedBytes} kept`);
  assert.deepEqual(vector, (await right()).vector);
});

test('what is cut off again and again comes in the end, none of it twice', async () => {
  let sent = 0;
  for (let bytes = 1.5e6; bytes < file.length; bytes += 1.2e6) {
    await cutOff(bytes);
    sent += server.requests.reduce((sum, request) => sum + request.sent, 0);
    server.requests = [];
  }
  const last = await load();
  assert.deepEqual(last.vector, (await right()).vector);
  sent += last.sent;
  assert.ok(sent < file.length + 4 * 2 ** 19, `${sent} sent of ${file.length}`);
});

for (const [what, change] of [
  ['ETag', () => (server.etag = '"2"')],
  ['date', () => (server.modified = 'Thu, 02 Jan 2025 00:00:00 GMT')],
])
  test(`of a file with another ${what} nothing is used`, async () => {
    server.fault = () => ({ ...SLOW, headers: what === 'date' ? { etag: '' } : {} });
    await cutOff(3e6);
    server.files['/clip.safetensors'] = inMemory(other);
    change();
    const { vector, sent } = await load();
    assert.ok(sent > file.length - 3e6 + 2 ** 18);
    assert.deepEqual(vector, (await right(other)).vector);
    assert.notDeepEqual(vector, (await right()).vector);
  });

test('what is damaged comes once more', async () => {
  await cutOff(4e6);
  const [{ name }] = await parts();
  const place = path.join(dir, `halfclip-${name}.tower`);
  const whole = readFileSync(place);
  const { vector } = await right();
  for (const damage of [
    (bytes) => bytes.subarray(0, 2000),
    (bytes) => bytes.subarray(0, 4096 + 10),
    (bytes) => bytes.subarray(0, bytes.length - 5000),
    (bytes) => bytes.fill(0, 5000, 5500),
    (bytes) => bytes.fill(255, 4096, 4104),
    (bytes) => bytes.fill(0, 4096),
    (bytes) => Buffer.concat([bytes, bytes.subarray(4096)]),
    (bytes) => ((bytes[bytes.length - 9] ^= 1), bytes),
  ]) {
    writeFileSync(place, damage(Buffer.from(whole)));
    server.fault = () => undefined;
    const again = await load();
    assert.deepEqual(again.vector, vector, String(damage));
    assert.deepEqual(await parts(), []);
    await removeKeptTowers('all', { dir });
  }
});

test('two loads at once keep apart, whichever is cut off', async () => {
  const both = await Promise.allSettled([cutOff(2e6), load({ worker: true })]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['fulfilled', 'fulfilled'],
  );
  const { vector } = await right();
  assert.deepEqual(both[1].value.vector, vector);
  await removeKeptTowers('all', { dir });
  await Promise.all([cutOff(2e6), cutOff(3e6)]);
  assert.deepEqual((await load()).vector, vector);
});

test('of files of a checkpoint in several each keeps its own', async () => {
  const { tensors } = parseSafetensors(file);
  const names = Object.keys(tensors);
  const isFirst = (name) => name === 'token_embedding.weight';
  const pick = (wanted) =>
    buildSafetensors({ tensors: Object.fromEntries(names.filter(wanted).map((name) => [name, tensors[name]])) });
  const weight_map = Object.fromEntries(names.map((name) => [name, isFirst(name) ? 'a.safetensors' : 'b.safetensors']));
  server.files = {
    '/model.safetensors.index.json': inMemory(Buffer.from(JSON.stringify({ metadata: {}, weight_map }))),
    '/a.safetensors': inMemory(pick(isFirst)),
    '/b.safetensors': inMemory(pick((name) => !isFirst(name))),
  };
  const weights = `${server.base}/model.safetensors.index.json`;
  await cutOff(3e6, { weights });
  const [part, ...others] = await parts();
  assert.deepEqual([part.url, others], [`${server.base}/a.safetensors`, []]);
  const { vector, requests } = await load({ weights });
  const sent = requests.filter(({ path }) => path === '/a.safetensors').reduce((sum, { sent }) => sum + sent, 0);
  assert.ok(sent <= part.fileBytes - part.fetchedBytes + MORE, `${sent} sent`);
  assert.deepEqual(vector, (await right()).vector);
  assert.deepEqual(await parts(), []);
});

test('nothing is kept in part of a server without ranges or without a version, nor where nobody wants it, nor beyond maxBytes', async () => {
  for (const [fault, options] of [
    [{ ranges: false }],
    [{ validators: false }],
    [{}, { cache: 'no-store' }],
    [{}, { cache: { dir, maxBytes: 1000 } }],
  ]) {
    server.fault = () => ({ ...SLOW, ...fault });
    await cutOff(2e6, options);
    assert.deepEqual(await kept(), [], JSON.stringify([fault, options]));
  }
});

test('cache: reload takes nothing of what came', async () => {
  await cutOff(3e6);
  const { sent } = await load({ cache: { dir, mode: 'reload' } });
  assert.ok(sent > 5e6);
  assert.deepEqual(await parts(), []);
});

test('a link in its place is not followed', async () => {
  await cutOff(2e6);
  const [{ name }] = await parts();
  const place = path.join(dir, `halfclip-${name}.tower`);
  rmSync(place);
  const victim = path.join(folder, 'victim');
  writeFileSync(victim, 'mine');
  symlinkSync(victim, place);
  assert.deepEqual((await load()).vector, (await right()).vector);
  assert.equal(readFileSync(victim, 'utf8'), 'mine');
});

test('what comes fast is not written down', async (t) => {
  server.fault = () => undefined;
  t.mock.method(performance, 'now', () => 1000);
  const made = [];
  const onProgress = () => made.push(...(existsSync(dir) ? readdirSync(dir) : []));
  await load({ onProgress, worker: false });
  assert.deepEqual(made, []);
});

test('it is listed, and removed, as any other', async () => {
  await cutOff(2e6);
  const [part] = await parts();
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'cache', 'ls', '--cache-dir', dir]);
  assert.match(stdout, /text +in part +http.*clip.safetensors/);
  assert.deepEqual(await removeKeptTowers([part], { dir }), [part]);
  assert.deepEqual(readdirSync(dir), []);
});
