// Loads and pictures from a server that is an enemy: each ends, within its time, its requests and its memory, in a
// right vector or in a HalfclipError, and leaves nothing open. HALFCLIP_SECONDS says for how long, HALFCLIP_SEED where
// to begin: a failure names the seed of its run, with which HALFCLIP_SECONDS=0 repeats it alone.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { HostileServer, generator } from './hostile-server.mjs';
import { buildSafetensors, golden, parseSafetensors, rows, scatteredCheckpoint } from './support.mjs';

const SECONDS = Number(process.env.HALFCLIP_SECONDS ?? 12);
const SEED = Number(process.env.HALFCLIP_SEED ?? 1);

const ATTEMPTS = 3;
const RETRY = { attempts: ATTEMPTS, pause: 1, stall: 60 };
const LIMITS = { json: 1e6, picture: 1e6, whole: 4e6, weights: 8e6 };
const LONGEST = 20_000; // milliseconds of one run, on a machine that has other things to do
// Of a name of a hub: three small files, and eight for weights; an index and two files of several ranges.
const MOST_REQUESTS = 40 * ATTEMPTS;
const MOST_MEMORY = 400e6;

const clip = golden('clip');
const torch = golden('no-ln-pre');
const whole = scatteredCheckpoint(clip);
const { tensors } = parseSafetensors(whole);
const halves = [{}, {}];
Object.entries(tensors).forEach(([name, tensor], i) => (halves[i % 2][name] = tensor));
const index = {
  weight_map: Object.fromEntries(
    Object.keys(tensors).map((name) => [name, halves[0][name] ? 'a.safetensors' : 'b.safetensors']),
  ),
};
const repository = '/org/clip/resolve/main';

const TARGETS = {
  'a safetensors file': { model: clip, weights: '/model.safetensors' },
  'an index': { model: clip, weights: '/model.safetensors.index.json' },
  'a PyTorch file': { model: torch, weights: '/model.pt' },
  'a model of a hub': { model: clip, hub: true },
  'a picture': { picture: '/picture.jpg' },
};

let server;
let image;
let right; // vectors by target

before(async () => {
  server = await HostileServer.start();
  server.files = {
    '/model.safetensors': whole,
    '/model.safetensors.index.json': Buffer.from(JSON.stringify(index)),
    '/a.safetensors': buildSafetensors({ tensors: halves[0] }),
    '/b.safetensors': buildSafetensors({ tensors: halves[1] }),
    '/model.pt': readFileSync(new URL('../golden/torch/whole.pt', import.meta.url)),
    '/picture.jpg': readFileSync(new URL('../pictures/airplane.jpg', import.meta.url)),
    [`${repository}/open_clip_config.json`]: Buffer.from(JSON.stringify(clip.config)),
    [`${repository}/open_clip_model.safetensors`]: whole,
  };
  image = await loadImageEncoder({ model: 'halfclip-emoji', retry: { ...RETRY, timeout: 2000 }, limits: LIMITS });
  right = {};
  for (const [name, target] of Object.entries(TARGETS)) {
    server.reset(generator(0), 0);
    right[name] = await transfer(target, { stall: 10_000 });
  }
});

after(async () => {
  image.dispose();
  await server.close();
});

async function transfer(
  { model, weights, hub, picture },
  { timeout = Infinity, stall = RETRY.stall, signal, integrity },
) {
  if (picture) return image.embed(server.base + picture, { signal });
  const encoder = await loadTextEncoder({
    ...(hub ? { model: 'hf-hub:org/clip', hub: server.base } : { model: model.config, weights: server.base + weights }),
    dtype: 'fp32',
    cache: 'no-store',
    retry: { ...RETRY, stall, timeout },
    limits: LIMITS,
    worker: false,
    signal,
    integrity,
  });
  try {
    return await encoder.embedTokens(rows(model.expected.tokens)[0]);
  } finally {
    encoder.dispose();
  }
}

/** One run; says how it ended. */
async function run(seed) {
  const draw = generator(seed);
  const { random, pick, chance } = draw;
  const name = pick(Object.keys(TARGETS));
  const abort = new AbortController();
  const reason = new Error('aborted');
  const timer = chance(10) ? setTimeout(() => abort.abort(reason), random(60)) : undefined;
  const options = { timeout: pick([Infinity, 50, 500]), signal: abort.signal };
  if (chance(10)) options.integrity = `sha256-${'A'.repeat(43)}=`;
  server.reset(draw, pick([10, 30, 60, 100]));
  const begin = performance.now();
  const check = (what, value, limit) =>
    assert.ok(value <= limit, `seed ${seed}, ${name}: ${what}: ${value}, expected at most ${limit}`);
  try {
    const vector = await transfer(TARGETS[name], options);
    if (!server.poisoned) assert.deepEqual(vector, right[name], `seed ${seed}, ${name}: a wrong vector`);
    return server.poisoned ? 'whatever was sent' : 'right';
  } catch (error) {
    if (error === reason) return 'aborted';
    if (!(error instanceof HalfclipError)) throw new Error(`seed ${seed}, ${name}: ${error.stack}`, { cause: error });
    assert.doesNotMatch(error.message, /\p{Cc}/u, `seed ${seed}`);
    return error.code;
  } finally {
    clearTimeout(timer);
    check('milliseconds', performance.now() - begin, LONGEST + 1000 * server.pauses);
    check('requests', server.requests - 20 * server.redirects, MOST_REQUESTS);
  }
}

/** The bodies of all responses so far, except those that have ended. */
let bodies = [];
const { fetch } = globalThis;
globalThis.fetch = async (...args) => {
  const response = await fetch(...args);
  if (response.body) bodies.push(response.body);
  return response;
};

/**
 * What is open when nothing is under way: files, timers, and bodies that nobody has read to their end or cancelled.
 * Sockets are Node.js's: it forgets some, of redirections that lead nowhere.
 */
async function settle() {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  // For a second at most, which is what a busy machine may need until a socket is known to be closed.
  for (let i = 0; i < 100; i++) {
    bodies = bodies.filter((body) => /state: 'readable'/.test(inspect(body)));
    if (i > 10 && !bodies.length && !timers()) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const isFile = (handle) => {
    try {
      return !readlinkSync(`/proc/self/fd/${handle}`).startsWith('socket:');
    } catch {
      return false; // that of readdir itself
    }
  };
  const files = readdirSync('/proc/self/fd').filter(isFile).length;
  return { files, timers: timers(), bodies: bodies.length };
}

test(`${SECONDS} seconds from seed ${SEED}`, { timeout: SECONDS * 1000 + 120_000 }, async (t) => {
  const outcomes = {};
  for (let i = 0; i < 20; i++) await run(SEED + i); // what is made once is made
  const begin = await settle();
  let memory = process.memoryUsage.rss();
  const atFirst = memory;
  const watch = setInterval(() => (memory = Math.max(memory, process.memoryUsage.rss())), 5);
  const end = performance.now() + SECONDS * 1000;
  let runs = 0;
  do {
    const outcome = await run(SEED + runs++);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (runs % 100 === 0) bodies = bodies.filter((body) => !/state: '(closed|errored)'/.test(inspect(body)));
  } while (performance.now() < end);
  clearInterval(watch);
  const left = await settle();
  t.diagnostic(JSON.stringify({ runs, outcomes, begin, left, memory: memory - atFirst }));
  assert.ok(memory - atFirst < MOST_MEMORY, `${memory - atFirst} bytes more memory at most`);
  assert.deepEqual(left, { ...begin, bodies: 0 });
  if (SECONDS)
    assert.ok(
      outcomes.right > runs / 20 && outcomes['http/network'] && outcomes['http/status'],
      'all kinds of outcomes',
    );
});
