// Thousands of loads from a server that fails at random: each ends in a right vector or in a HalfclipError, and nothing
// is left behind. HALFCLIP_LOADS and HALFCLIP_SEED say how many, and which.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { FaultServer, inMemory } from './fault-server.mjs';
import { GOLDEN, buildSafetensors, golden, parseSafetensors, rows, scatteredCheckpoint } from './support.mjs';

const LOADS = Number(process.env.HALFCLIP_LOADS ?? 1000);
const SEED = Number(process.env.HALFCLIP_SEED ?? 1);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

/** Numbers in 0 … n - 1, the same in every run. */
function generator(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

const clip = golden('clip');
const torch = golden('no-ln-pre');
const first = scatteredCheckpoint(clip);

/** The same checkpoint after more training: other weights, the same shapes. */
function trainedOn(file) {
  const { tensors } = parseSafetensors(Buffer.from(file));
  for (const tensor of Object.values(tensors)) {
    if (tensor.dtype === 'U8') continue;
    tensor.bytes = Buffer.from(tensor.bytes);
    // The sign of every seventh value.
    const size = tensor.dtype === 'F32' ? 4 : 2;
    for (let at = size - 1; at < tensor.bytes.length; at += 7 * size) tensor.bytes[at] ^= 0x80;
  }
  return buildSafetensors({ tensors });
}

// Each version of the files has its own vectors.
const versions = [first, trainedOn(first)].map((bytes) => {
  const { tensors } = parseSafetensors(bytes);
  const halves = [{}, {}];
  Object.entries(tensors).forEach(([name, tensor], i) => (halves[i % 2][name] = tensor));
  const [a, b] = halves.map((tensors) => buildSafetensors({ tensors }));
  const weight_map = Object.fromEntries(
    Object.keys(tensors).map((name) => [name, halves[0][name] ? 'a.safetensors' : 'b.safetensors']),
  );
  return {
    '/model.safetensors': inMemory(bytes),
    '/model.safetensors.index.json': inMemory(Buffer.from(JSON.stringify({ weight_map }))),
    '/a.safetensors': inMemory(a),
    '/b.safetensors': inMemory(b),
    '/model.pt': inMemory(readFileSync(new URL('torch/whole.pt', GOLDEN))),
  };
});
const MODELS = { '/model.safetensors': clip, '/model.safetensors.index.json': clip, '/model.pt': torch };

let server;
let other;

before(async () => {
  server = await FaultServer.start({});
  other = await FaultServer.start({});
});
after(() => Promise.all([server.close(), other.close()]));

const run = (tower, path, options) =>
  (tower === 'text' ? loadTextEncoder : loadImageEncoder)({
    model: MODELS[path].config,
    dtype: 'fp32',
    cache: 'no-store',
    ...options,
  });
const vectorOf = (encoder, path) =>
  encoder.info.tower === 'text'
    ? encoder.embedTokens(rows(MODELS[path].expected.tokens)[0])
    : encoder.embedPixels(rows(MODELS[path].expected.pixels)[0]);

const FAULTS = [
  (random, { first }) => ({ cut: first ? random(270_000) : random(20_000) }),
  (random) => ({ stall: random(20_000) }),
  (random) => ({ end: random(20_000) }),
  (random) => ({ status: [400, 403, 404, 408, 410, 416, 429, 500, 502, 503, 504][random(11)] }),
  (random) => ({ status: 503, headers: { 'retry-after': '0' }, cut: random(10) }),
  (random) => ({ extra: 1 + random(1000) }),
  (random) => ({ shift: 1 + random(100) }),
  (random) => ({ early: 1 + random(100) }),
  () => ({ ranges: false }),
  (random) => ({ ranges: false, cut: random(500_000) }),
  () => ({ length: false }),
  () => ({ rangeHeader: false }),
  () => ({ gzip: true, ranges: false }),
  () => ({ gzip: true }),
  () => ({ headers: { 'content-type': 'multipart/byteranges; boundary=x' } }),
  (random, { path }) => ({ redirect: `${other.base}${path}` }),
  () => ({ redirect: 'nowhere' }),
  (random, { first }) => (first ? { body: Buffer.alloc(random(3000), 'garbage') } : {}),
  (random, { first }) => (first ? { body: Buffer.from('<!DOCTYPE html><p>Please sign in.'), ranges: false } : {}),
  (random) => ({ chunk: 1 + random(5000) }),
];

/** Vectors of all towers in all versions, to know the right ones by. */
async function rightVectors() {
  const right = new Map();
  for (const path of Object.keys(MODELS)) {
    for (const tower of ['text', 'image']) {
      const vectors = [];
      for (const files of versions) {
        server.reset();
        server.files = files;
        const encoder = await run(tower, path, { weights: `${server.base}${path}` });
        vectors.push(await vectorOf(encoder, path));
        encoder.dispose();
      }
      right.set(path + tower, vectors);
    }
  }
  return right;
}

async function settle() {
  for (let i = 0; i < 200; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if ((await server.connections()) + (await other.connections()) === 0) break;
    if (i === 5) [server, other].forEach((one) => one.closeConnections());
  }
  collectGarbage();
  await new Promise((resolve) => setTimeout(resolve, 50));
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return {
    heap: heapUsed + arrayBuffers,
    handles: readdirSync('/proc/self/fd').length,
    timers: process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length,
  };
}

test(`${LOADS} loads, seed ${SEED}`, { timeout: 3_600_000 }, async (t) => {
  const random = generator(SEED);
  const right = await rightVectors();
  const outcomes = {};
  const load = async () => {
    [server, other].forEach((one) => one.reset());
    other.files = server.files = versions[0];
    const path = Object.keys(MODELS)[Math.min(2, random(5))];
    const tower = random(2) ? 'text' : 'image';
    const rate = [0, 20, 50, 90][random(4)]; // percent of the answers that fail
    const change = random(8) ? Infinity : random(5); // after so many requests there is another version
    const hidden = change === Infinity && !random(6);
    let number = 0;
    const decide = ({ range, path }) => {
      if (number++ === change) {
        other.files = server.files = versions[1];
        other.etag = server.etag = '"2"';
        other.modified = server.modified = 'Fri, 03 Jan 2025 00:00:00 GMT';
      }
      const fault =
        random(100) < rate ? FAULTS[random(FAULTS.length)](random, { first: /^bytes=0-/.test(range ?? ''), path }) : {};
      return hidden ? { validators: false, ...fault } : fault;
    };
    server.fault = decide;
    other.fault = (request) => (random(100) < rate / 2 ? decide(request) : {});
    const abort = new AbortController();
    const timer = random(10) ? undefined : setTimeout(() => abort.abort(new Error('aborted')), random(12));
    try {
      const encoder = await run(tower, path, {
        weights: `${server.base}${path}`,
        signal: abort.signal,
        worker: false,
        retry: { attempts: 1 + random(4), pause: 0, stall: 15, timeout: random(5) ? 1000 : 5 + random(20) },
      });
      const vector = await vectorOf(encoder, path);
      encoder.dispose();
      assert.ok(
        right.get(path + tower).some((one) => one.every((x, i) => x === vector[i])),
        `a wrong vector of ${path}, ${tower}`,
      );
      return 'right';
    } catch (error) {
      if (error.message === 'aborted') return 'aborted';
      if (!(error instanceof HalfclipError)) throw error;
      return error.code;
    } finally {
      clearTimeout(timer);
    }
  };
  for (let i = 0; i < Math.min(100, LOADS); i++) await load();
  const begin = await settle();
  for (let i = 0; i < LOADS; i++) {
    const outcome = await load();
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  const end = await settle();
  t.diagnostic(JSON.stringify({ outcomes, begin, end }));
  assert.ok(outcomes.right > LOADS / 4);
  assert.ok(outcomes['weights/changed'] && outcomes['http/network'] && outcomes['http/status'] && outcomes.aborted);
  assert.ok(end.heap - begin.heap < 4e6, `the heap grew by ${end.heap - begin.heap} bytes`);
  assert.ok(end.handles <= begin.handles + 2, `${begin.handles} handles, then ${end.handles}`);
  assert.ok(end.timers <= begin.timers + 2, `${begin.timers} timers, then ${end.timers}`);
});
