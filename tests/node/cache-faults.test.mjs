// What can go wrong with what is kept of towers: damaged entries, disks that are full or may not be written, writers at
// the same time, killed or aborted. The load succeeds all the same, and nothing half-written stays.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadTextEncoder } from '../../dist/index.js';
import { clip, dir, file, folder, ids, load, server } from './cache-fixture.mjs';

const reason = new Error('enough');

const entries = () => readdirSync(dir);
const openFiles = () => readdirSync('/proc/self/fd').length;

/** Loads over an entry that cannot be used: it is fetched again, and then kept. */
async function isRepaired(what, expected, options) {
  const first = await load(options);
  assert.equal(first.cached, false, what);
  assert.deepEqual(first.vector, expected, what);
  const second = await load(options);
  assert.equal(second.cached, true, what);
  assert.deepEqual(second.vector, expected, what);
  assert.equal(entries().length, 1, what);
}

test('one bit, anywhere', async () => {
  const { vector } = await load();
  const place = path.join(dir, entries()[0]);
  const whole = readFileSync(place);
  const header = Number(whole.readBigUInt64LE(0));
  const metadata = whole.length - 24 - Number(whole.readBigUInt64LE(whole.length - 16));
  const positions = [
    0,
    3,
    7,
    8,
    9,
    100,
    header,
    header + 8,
    header + 9,
    5000,
    whole.length >> 1,
    metadata - 1,
    metadata,
    metadata + 1,
    metadata + 20,
    ...Array.from({ length: 25 }, (_, i) => whole.length - 25 + i),
  ];
  for (const position of positions) {
    for (const bit of [1, 128]) {
      const damaged = Buffer.from(whole);
      damaged[position] ^= bit;
      writeFileSync(place, damaged);
      await isRepaired(`byte ${position} of ${whole.length}, bit ${bit}`, vector);
    }
  }
});

test('cut off, too long, empty, or something else', async () => {
  const { vector } = await load();
  const place = path.join(dir, entries()[0]);
  const whole = readFileSync(place);
  const footer = whole.subarray(-24);
  const wrongs = {
    ...Object.fromEntries(
      [0, 1, 23, 24, 100, 4096, whole.length >> 1, whole.length - 25, whole.length - 1].map((length) => [
        `${length} bytes`,
        whole.subarray(0, length),
      ]),
    ),
    'a byte too many': Buffer.concat([whole, Buffer.alloc(1)]),
    zeros: Buffer.alloc(whole.length),
    'only a footer': footer,
    'a footer after too little': Buffer.concat([whole.subarray(0, 1000), footer]),
    'a page': Buffer.from('<!DOCTYPE html>'.padEnd(4000)),
    'the checkpoint': file,
  };
  for (const [name, bytes] of Object.entries(wrongs)) {
    writeFileSync(place, bytes);
    await isRepaired(name, vector);
  }
});

test("another tower's entry under this one's name", async () => {
  const { vector } = await load();
  const [name] = entries();
  await load({ tower: 'image' });
  const other = entries().find((entry) => entry !== name);
  copyFileSync(path.join(dir, other), path.join(dir, name));
  rmSync(path.join(dir, other));
  await isRepaired('another name', vector);
});

test('a folder where the entry should be', async () => {
  await load();
  const [name] = entries();
  rmSync(path.join(dir, name));
  mkdirSync(path.join(dir, name));
  for (let i = 0; i < 2; i++) assert.equal((await load()).cached, false);
  assert.deepEqual(entries(), [name], 'no temporary file stays');
});

test('places that cannot be written', async () => {
  writeFileSync(path.join(dir, 'file'), '');
  for (const where of [
    '/dev/null/towers',
    '/proc/towers',
    path.join(dir, 'file'),
    path.join(dir, 'file', 'towers'),
    `${dir}/\0`,
  ]) {
    for (let i = 0; i < 2; i++) assert.equal((await load({ cache: { dir: where } })).cached, false, where);
  }
  assert.deepEqual(entries(), ['file']);
});

/** Has every write to a file go through `change` until the test ends. */
async function changeWrites(change) {
  const file = await open(fileURLToPath(import.meta.url));
  handles = Object.getPrototypeOf(file);
  await file.close();
  const { write } = handles;
  unchanged = write;
  handles.write = function (...args) {
    return change(
      () => write.apply(this, args),
      (...others) => write.apply(this, others),
      args,
    );
  };
}

let handles;
let unchanged;

afterEach(() => {
  if (unchanged) handles.write = unchanged;
  unchanged = null;
});

for (const code of ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS']) {
  test(`${code} at the first and at a later write`, async () => {
    const { vector } = await load({ cache: 'no-store' });
    for (const good of [0, 1]) {
      let writes = 0;
      await changeWrites((write) => {
        if (writes++ >= good) throw Object.assign(new Error(code), { code });
        return write();
      });
      const before = openFiles();
      const found = await load();
      assert.ok(writes > good);
      assert.deepEqual(found.vector, vector);
      assert.deepEqual(entries(), [], 'no temporary file stays');
      assert.ok(openFiles() <= before);
      handles.write = unchanged;
    }
  });
}

test('a full disk leaves the old entry where it is', async () => {
  await load();
  const kept = entries();
  const bytes = readFileSync(path.join(dir, kept[0]));
  await changeWrites(() => {
    throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
  });
  assert.equal((await load({ cache: { dir, mode: 'reload' } })).cached, false);
  assert.deepEqual(entries(), kept);
  assert.deepEqual(readFileSync(path.join(dir, kept[0])), bytes);
});

test('writes that write less than they were given', async () => {
  let short = 0;
  await changeWrites((write, others, [piece, at]) => {
    const length = piece.length - at;
    if (length < 100) return write();
    short++;
    return others(piece, at, length >> 1);
  });
  const { vector } = await load();
  assert.ok(short > 3);
  const second = await load();
  assert.equal(second.cached, true);
  assert.deepEqual(second.vector, vector);
});

test('aborted while it is stored', async () => {
  for (const at of [1, 2]) {
    const stop = new AbortController();
    let writes = 0;
    await changeWrites((write) => {
      if (++writes === at) stop.abort(reason);
      return write();
    });
    const before = openFiles();
    await assert.rejects(load({ signal: stop.signal }), reason);
    assert.equal(writes, at);
    assert.deepEqual(entries(), []);
    assert.ok(openFiles() <= before);
    handles.write = unchanged;
  }
  assert.equal((await load()).cached, false);
});

test('aborted while it is read', async () => {
  await load();
  const kept = entries();
  const before = openFiles();
  for (let i = 0; i < 3; i++) {
    const stop = new AbortController();
    await assert.rejects(
      load({ signal: stop.signal, onProgress: ({ phase }) => phase === 'cache' && stop.abort(reason) }),
      reason,
    );
  }
  const asked = new AbortController();
  server.fault = () => {
    asked.abort(reason);
    return { stall: 0 };
  };
  await assert.rejects(load({ signal: asked.signal }), reason);
  server.fault = () => undefined;
  await new Promise((resolve) => setTimeout(resolve, 50)); // the file is closed a moment after the abort
  assert.ok(openFiles() <= before + 1, 'but for a connection that is kept alive');
  assert.deepEqual(entries(), kept);
  assert.equal((await load()).cached, true);
});

test('aborted in a worker, at many moments', async () => {
  for (let i = 0; i < 12; i++) {
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), 40 + 15 * i);
    const outcome = await load({
      worker: true,
      signal: stop.signal,
      weights: `${server.base}/clip.safetensors?${i}`,
    }).catch((error) => error);
    assert.ok(outcome === reason || outcome.cached === false, String(outcome));
  }
  for (let i = 0; i < 40 && entries().some((name) => name.endsWith('.tmp')); i++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(
    entries().every((name) => name.endsWith('.tower')),
    String(entries()),
  );
});

test('what a killed writer left behind goes after an hour', async () => {
  const now = Date.now() / 1000;
  const [old, young] = [0, 1].map((i) => `halfclip-${String(i).repeat(32)}.${crypto.randomUUID()}.tmp`);
  for (const [name, age] of [
    [old, 3700],
    [young, 3500],
  ]) {
    writeFileSync(path.join(dir, name), 'half');
    utimesSync(path.join(dir, name), now - age, now - age);
  }
  await load();
  assert.deepEqual(
    entries().filter((name) => name.endsWith('.tmp')),
    [young],
  );
});

test('loads at the same time, on this thread and in workers', async () => {
  const found = await Promise.all(Array.from({ length: 6 }, (_, i) => load({ worker: i % 2 === 0 })));
  for (const { vector } of found) assert.deepEqual(vector, found[0].vector);
  assert.equal(entries().length, 1);
  const again = await Promise.all(Array.from({ length: 6 }, (_, i) => load({ worker: i % 2 === 0 })));
  for (const { cached, vector } of again) {
    assert.equal(cached, true);
    assert.deepEqual(vector, found[0].vector);
  }
});

/** A process that loads again and again, and prints the vectors as one line of JSON for each load. */
const PROGRAM = `
  import { loadTextEncoder } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
  const { weights, model, dir, ids, modes } = JSON.parse(process.argv[1]);
  for (const mode of modes) {
    const encoder = await loadTextEncoder({ model, weights, dtype: 'int8', cache: { dir, mode } });
    console.log(JSON.stringify({ cached: encoder.info.cached, vector: [...await encoder.embedTokens(Int32Array.from(ids))] }));
    encoder.dispose();
  }`;

function start(modes) {
  const given = JSON.stringify({
    weights: `${server.base}/clip.safetensors`,
    model: clip.config,
    dir,
    ids: [...ids],
    modes,
  });
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, given], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = (async () => {
    let text = '';
    for await (const chunk of child.stdout) text += chunk;
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  })();
  return { child, output, end: new Promise((resolve) => child.once('exit', resolve)) };
}

test('three processes that read and write the same entry', async () => {
  const { vector } = await load({ cache: 'no-store' });
  const modes = ['default', 'reload', 'default', 'reload', 'default', 'reload', 'default'];
  const all = await Promise.all(
    [start(modes), start(modes), start(modes)].map(async ({ output, end }) => {
      assert.equal(await end, 0);
      return output;
    }),
  );
  for (const found of all) {
    assert.equal(found.length, modes.length);
    for (const one of found) assert.deepEqual(one.vector, [...vector]);
    assert.ok(
      found.slice(1).every(({ cached }, i) => cached === (modes[i + 1] === 'default')),
      'an entry is always there, and whole',
    );
  }
  assert.equal(entries().length, 1);
  assert.equal((await load()).cached, true);
});

test('a process that is killed while it writes', async () => {
  const { vector } = await load({ cache: 'no-store' });
  for (const pause of [150, 250, 350]) {
    const { child, output, end } = start(Array(50).fill('reload'));
    await new Promise((resolve) => setTimeout(resolve, pause));
    child.kill('SIGKILL');
    await end;
    await output.catch(() => {}); // its last line may be cut off
    assert.deepEqual((await load()).vector, vector);
    assert.equal((await load()).cached, true);
  }
  assert.ok(existsSync(dir));
});
