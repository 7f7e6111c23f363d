// What is saved again is added to the end of a VectorIndex's file, in place: whatever ends that (a full disk, a kill
// between any two writes or within one, a loss of power, another writer), nothing that was reported as saved is lost.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';

import { VectorIndex } from '../../dist/vector-index-node.js';
import { fails } from './fails.mjs';
import { parseSafetensors } from './support.mjs';
import { randomVectors } from './vectors.mjs';

const DIM = 200;
const COUNT = 500; // enough for a file that is added to
const vectors = randomVectors(COUNT + 100, DIM, 15);

let folder;
before(() => (folder = mkdtempSync(path.join(tmpdir(), 'halfclip-append-'))));
after(() => rmSync(folder, { recursive: true }));
const place = (name) => path.join(folder, name);

let seed = 1;
const random = (n) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;

/** Everything that an index holds. */
const contents = (index) => ({
  metadata: index.metadata,
  entries: [...index.ids()].map((id) => {
    const { vector, data } = index.get(id);
    return [id, Buffer.from(vector.buffer).toString('latin1'), data];
  }),
});

function fill(options) {
  const index = new VectorIndex({ dim: DIM, ...options });
  for (let i = 0; i < COUNT; i++) index.add(`ü ${i}`, vectors[i], i % 3 ? {} : { data: { i } });
  return index;
}

/** Something of each kind. */
function change(index) {
  index.remove('ü 7');
  index.remove(`ü ${COUNT - 1}`);
  index.replace('ü 100', vectors[COUNT], { data: 'replaced' });
  index.add('new', vectors[COUNT + 1]);
  index.add('gone at once', vectors[COUNT + 2]);
  index.remove('gone at once');
  index.remove('ü 3');
  index.add('ü 3', vectors[COUNT + 3], { data: 'at the end now' });
  index.add(12, vectors[COUNT + 4]);
  index.metadata = { saved: 'again' };
}

const { open } = fs;
afterEach(() => useOpen(open));

function useOpen(replacement) {
  fs.open = replacement;
  syncBuiltinESMExports();
}

/** From now on each write, truncation and sync of files goes through `hook` first. */
function watch(hook) {
  useOpen(async (name, ...rest) => {
    const file = await open(name, ...rest);
    const wrap = (method, describe) => {
      const original = file[method].bind(file);
      file[method] = async (...args) => {
        await hook({ name, method, ...describe(...args) }, () => original(...args), file);
        return original(...args);
      };
    };
    wrap('truncate', (length) => ({ length }));
    wrap('sync', () => ({}));
    wrap('write', (bytes, from, length, at) => ({ bytes: bytes.slice(from, from + length), at }));
    return file;
  });
}

/** Saves an index, and returns what was done to its file. */
async function recorded(index, file) {
  const steps = [];
  watch(({ name, ...step }) => {
    if (name === file) steps.push(step);
  });
  await index.save(file);
  useOpen(open);
  return steps;
}

const apply = (bytes, { method, length, bytes: written, at }) => {
  if (method === 'truncate')
    return Buffer.concat([bytes, Buffer.alloc(Math.max(0, length - bytes.length))]).subarray(0, length);
  if (method !== 'write') return bytes;
  const next = Buffer.alloc(Math.max(bytes.length, at + written.length));
  bytes.copy(next);
  next.set(written, at);
  return next;
};

/** A file with one saved change, the index before and after another one, and the steps of saving that. */
async function example(options, name = 'example.index') {
  const file = place(name);
  await fill(options).save(file);
  const index = await VectorIndex.load(file);
  index.add('first', vectors[COUNT + 50]);
  await index.save(file);
  const [old, former] = [readFileSync(file), contents(index)];
  change(index);
  const steps = await recorded(index, file);
  return { file, index, old, former, latter: contents(index), steps };
}

for (const dtype of ['int8', 'fp32']) {
  test(`${dtype}: what has changed is added, and the file is a .safetensors file each time`, async () => {
    const { file, index, old, latter, steps } = await example({ dtype });
    const written = steps.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0);
    assert.ok(written < old.length / 10, `${written} of ${old.length} bytes`);
    const now = readFileSync(file);
    const { tensors } = parseSafetensors(now);
    const end = Math.max(
      ...Object.values(tensors).map(({ bytes }) => bytes.byteOffset - now.byteOffset + bytes.length),
    );
    assert.equal(end, now.length);
    assert.equal(
      Object.values(tensors).reduce((sum, { bytes }) => sum + bytes.length, 0),
      now.length - 8 - Number(now.readBigUInt64LE()),
    );
    assert.deepEqual(tensors['vectors.2'].shape, [4, DIM]);
    for (const [name, { bytes }] of Object.entries(tensors))
      if (/^(rows|ends|scales|checks|vectors)/.test(name))
        assert.equal((bytes.byteOffset - now.byteOffset) % 4, 0, name);
    const back = await VectorIndex.load(file);
    assert.equal(back.damage, null);
    assert.deepEqual(contents(back), latter);
    const query = vectors[5];
    assert.deepEqual(back.search(query, { limit: COUNT }), index.search(query, { limit: COUNT }));
    assert.deepEqual(contents(await VectorIndex.load(new Blob([now]).stream())), latter);
  });
}

test('killed between any two writes, or within one, it is as before or as afterwards', async () => {
  const { old, former, latter, steps } = await example();
  const writes = steps.filter(({ method }) => method === 'write');
  const header = writes.at(-1);
  assert.equal(header.at, 0);
  let bytes = old;
  const found = { former: 0, latter: 0 };
  for (const step of steps) {
    const cuts = step.method === 'write' ? step.bytes.length : 0;
    const stride = Math.max(1, Math.floor(cuts / (step === header ? 200 : 20)));
    for (let cut = 0; cut < cuts; cut += stride) {
      const state = apply(bytes, { ...step, bytes: step.bytes.subarray(0, cut) });
      const index = await VectorIndex.load(state);
      const isFormer = !index.has('new');
      assert.deepEqual(contents(index), isFormer ? former : latter);
      if (step !== header) assert.ok(isFormer);
      assert.ok(!index.damage || (step === header && index.damage.lost === 0), index.damage?.message);
      found[isFormer ? 'former' : 'latter']++;
    }
    bytes = apply(bytes, step);
  }
  assert.ok(found.former > 100 && found.latter > 50, JSON.stringify(found));
  assert.deepEqual(contents(await VectorIndex.load(bytes)), latter);
});

test('a loss of power: of what was written since the last sync any part may be missing', async () => {
  const { old, former, latter, steps } = await example();
  const SECTOR = 512;
  let [kept, bytes] = [old, old];
  for (const step of steps) {
    if (step.method !== 'sync') {
      bytes = apply(bytes, step);
      continue;
    }
    for (let run = 0; run < 60; run++) {
      const state = Buffer.from(
        random(2) ? bytes : bytes.subarray(0, kept.length + random(bytes.length - kept.length + 1)),
      );
      for (let at = 0; at < state.length; at += SECTOR) {
        if (random(2)) continue;
        const before = Buffer.alloc(SECTOR);
        if (at < kept.length) kept.copy(before, 0, at, at + SECTOR);
        before.copy(state, at, 0, Math.min(SECTOR, state.length - at));
      }
      const index = await VectorIndex.load(state);
      assert.deepEqual(contents(index), index.has('new') ? latter : former);
      if (kept === old) assert.ok(!index.has('new'));
    }
    kept = bytes;
  }
  assert.deepEqual(contents(await VectorIndex.load(kept)), latter);
});

test('a full disk, at each write: it is told, the file is as before, and the next save works', async () => {
  const { steps } = await example();
  for (let n = 0; n < steps.length; n++) {
    for (const part of [0, 0.5]) {
      const file = place('full.index');
      rmSync(file, { force: true });
      const index = fill();
      await index.save(file);
      const former = contents(index);
      change(index);
      let count = 0;
      watch(async ({ name, method, bytes, at }, _, handle) => {
        if (name !== file || count++ !== n) return;
        useOpen(open);
        if (method === 'write' && part) {
          const whole = await open(file, 'r+');
          await whole.write(bytes, 0, Math.floor(part * bytes.length), at);
          await whole.close();
        }
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', syscall: method });
      });
      await fails(index.save(file), 'weights/not-found', 'full.index: cannot be written', 'ENOSPC');
      const between = await VectorIndex.load(file);
      assert.deepEqual(contents(between), between.has('new') ? contents(index) : former);
      assert.ok(!between.has('new') || n >= steps.length - 2, `step ${n}`);
      index.add('later', vectors[COUNT + 9]);
      await index.save(file);
      assert.deepEqual(contents(await VectorIndex.load(file)), contents(index));
    }
  }
});

test('a full disk while all is written: the old file stays, and nothing else', async () => {
  const file = place('whole.index');
  const index = fill();
  await index.save(file);
  const other = fill({ metadata: { of: 'another' } });
  for (let n = 0; n < 5; n++) {
    let count = 0;
    watch(({ name }) => {
      if (name.startsWith(file) && count++ === n)
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', syscall: 'write' });
    });
    await fails(other.save(file), 'weights/not-found', 'ENOSPC');
    useOpen(open);
    assert.deepEqual(contents(await VectorIndex.load(file)), contents(index));
    assert.deepEqual(
      (await fs.readdir(folder)).filter((name) => name.startsWith('whole')),
      ['whole.index'],
    );
  }
});

test('cut anywhere, what is whole is told and kept', async () => {
  const { old, file, index } = await example();
  const bytes = readFileSync(file);
  const before = new Set((await VectorIndex.load(old)).ids());
  for (let length = old.length - 300; length < bytes.length; length += 1 + random(20)) {
    const cut = bytes.subarray(0, length);
    await fails(VectorIndex.load(cut), 'weights/truncated', `ends before byte ${bytes.length}`, 'are whole');
    const salvaged = await VectorIndex.load(cut, { salvage: true });
    assert.ok(salvaged.damage.lost <= 6);
    if (salvaged.damage.lost === 0) assert.deepEqual(contents(salvaged), contents(index));
    for (const id of salvaged.ids()) assert.ok(before.has(id) || index.has(id));
  }
});

test('damage anywhere is told, and costs no more than it has to', async () => {
  const { file, index } = await example();
  const bytes = readFileSync(file);
  const all = contents(index);
  const header = 8 + Number(bytes.readBigUInt64LE());
  let told = 0;
  for (let at = 0; at < bytes.length; at += at < header || at > bytes.length - 1200 ? 7 : 997) {
    const damaged = Buffer.from(bytes);
    damaged[at] ^= 1 << random(8);
    const loaded = await VectorIndex.load(damaged).catch((error) => error);
    if (loaded instanceof VectorIndex && !loaded.damage) {
      assert.deepEqual(contents(loaded), all, `byte ${at}`);
      continue;
    }
    told++;
    if (loaded instanceof VectorIndex)
      assert.equal(loaded.damage.lost, 0); // of the header
    else assert.equal(loaded.code, 'weights/corrupt', loaded.message);
    const salvaged = await VectorIndex.load(damaged, { salvage: true });
    assert.ok(salvaged.damage.lost <= 2, `byte ${at}: ${salvaged.damage.message}`);
    assert.ok(Math.abs(salvaged.size - index.size) <= 4);
  }
  assert.ok(told > 150, `${told}`);
});

test('added to again and again, against a Map, until the header has no more room or too much is gone', async () => {
  const file = place('often.index');
  const map = new Map();
  let index = new VectorIndex({ dim: DIM });
  const put = (id) => {
    const data = { n: random(1000) };
    const vector = vectors[random(vectors.length)];
    index.replace(id, vector, { data });
    map.set(id, data);
  };
  for (let i = 0; i < COUNT; i++) put(i);
  await index.save(file);
  const inodes = new Set();
  let inPlace = 0;
  for (let round = 0; round < 120; round++) {
    if (round % 7 === 3) index = await VectorIndex.load(file);
    for (let n = random(round % 20 === 11 ? 900 : 20); n--;) {
      const id = random(1.5 * COUNT);
      if (random(3)) put(id);
      else assert.equal(index.remove(id), map.delete(id));
    }
    const before = statSync(file).ino;
    await index.save(file);
    const now = statSync(file).ino;
    inodes.add(now);
    if (now === before) inPlace++;
    const back = await VectorIndex.load(file);
    assert.deepEqual([...back.ids()], [...index.ids()]);
    assert.deepEqual(new Map([...back.ids()].map((id) => [id, back.get(id).data])), map);
    for (let n = 0; n < 20; n++) {
      const id = random(1.5 * COUNT);
      assert.deepEqual(back.get(id), index.get(id));
    }
  }
  assert.ok(inPlace > 60 && inPlace < 119, `${inPlace} of 120 in place`);
});

test('what changes while it is added comes with the next save', async () => {
  const file = place('moving.index');
  const index = fill();
  await index.save(file);
  change(index);
  const before = contents(index);
  let n = 0;
  watch(({ name, method }) => {
    if (name !== file || method !== 'write') return;
    index.replace('ü 100', vectors[COUNT + 20 + n]);
    index.replace('new', vectors[COUNT + 21 + n]);
    index.add(`during ${n++}`, vectors[COUNT + 30]);
    index.remove('ü 50');
    index.remove('ü 3');
  });
  await index.save(file);
  useOpen(open);
  assert.ok(n > 3);
  assert.deepEqual(contents(await VectorIndex.load(file)), before);
  await index.save(file);
  assert.deepEqual(contents(await VectorIndex.load(file)), contents(index));
});

test('an aborted save leaves the file as it was', async () => {
  const file = place('abort.index');
  const index = fill();
  await index.save(file);
  const old = readFileSync(file);
  change(index);
  const controller = new AbortController();
  watch(({ name, method }) => {
    if (name === file && method === 'sync') controller.abort(new Error('enough'));
  });
  await assert.rejects(index.save(file, { signal: controller.signal }), /enough/);
  useOpen(open);
  assert.deepEqual(readFileSync(file), old);
  await index.save(file);
  assert.deepEqual(contents(await VectorIndex.load(file)), contents(index));
});

test('a file that may not be changed is replaced; metadata that no header holds are told', async () => {
  const file = place('protected.index');
  const index = fill();
  await index.save(file);
  index.add('more', vectors[0]);
  watch(() => {}); // and whoever may write everything, too
  const { open: watched } = fs;
  useOpen((name, flags, ...rest) => {
    if (name === file && flags & 2) throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    return watched(name, flags, ...rest);
  });
  await index.save(file);
  useOpen(open);
  assert.deepEqual(contents(await VectorIndex.load(file)), contents(index));
  index.metadata = { text: 'x'.repeat(17e6) };
  await fails(index.save(file), 'input/size', 'metadata');
  await fails(index.save(), 'input/size', 'metadata');
  index.metadata = { text: 'x'.repeat(4e6) }; // more than the header has room for
  await index.save(file);
  assert.deepEqual(contents(await VectorIndex.load(file)), contents(index));
});

test('of two writers none loses what the other added', async () => {
  const file = place('two.index');
  await fill().save(file);
  const [one, other] = [await VectorIndex.load(file), await VectorIndex.load(file)];
  one.add('of one', vectors[0]);
  other.add('of the other', vectors[1]);
  await one.save(file);
  await fails(other.save(file), 'weights/changed', 'two.index', 'merge()');
  const now = await VectorIndex.load(file);
  assert.ok(now.has('of one') && !now.has('of the other'));
  now.merge(other);
  await now.save(file);
  assert.ok((await VectorIndex.load(file)).has('of the other'));
});

test('a writer that stood still until its lock was taken reports nothing as saved', async () => {
  const file = place('still.index');
  const lock = `${file}.lock`;
  const index = fill();
  await index.save(file);
  const other = await VectorIndex.load(file);
  index.add('too late', vectors[0]);
  other.add('meanwhile', vectors[1]);
  let asleep = false;
  watch(async ({ name, method }) => {
    if (name !== file || method !== 'sync' || asleep) return;
    asleep = true;
    utimesSync(lock, 1e9, 1e9);
    await other.save(file);
  });
  await fails(index.save(file), 'weights/changed', 'stood still');
  useOpen(open);
  const now = await VectorIndex.load(file);
  assert.ok(now.has('meanwhile') && !now.has('too late'));
  assert.equal(now.damage, null);
});

test('who reads while it is added to finds it as before or as afterwards', async () => {
  const { file, old, former, latter, steps } = await example();
  const place = `${file}.read`;
  writeFileSync(place, old);
  // The file grows and its header changes once it was opened.
  const opened = await open(place, 'r+');
  let loads = [];
  for (const step of steps) {
    loads.push(VectorIndex.load(place));
    if (step.method === 'truncate') await opened.truncate(step.length);
    if (step.method === 'write') await opened.write(step.bytes, 0, step.bytes.length, step.at);
    loads.push(VectorIndex.load(place));
  }
  for (const index of await Promise.all(loads)) assert.deepEqual(contents(index), index.has('new') ? latter : former);
  await opened.close();
});
