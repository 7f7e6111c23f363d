// The file of a VectorIndex: an ordinary .safetensors file, whose damage is told and costs no more than it has to, and
// which nobody finds half-written or loses what was saved in.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { VectorIndex } from '../../dist/vector-index-node.js';
import { hashBytes } from '../../web/search/xxh32.js';
import { fails } from './fails.mjs';
import { buildSafetensors, parseSafetensors } from './support.mjs';
import { randomVectors } from './vectors.mjs';

const MODULE = new URL('../../dist/vector-index-node.js', import.meta.url).href;

let folder;
before(() => (folder = mkdtempSync(path.join(tmpdir(), 'halfclip-index-'))));
after(() => rmSync(folder, { recursive: true }));

const place = (name) => path.join(folder, name);

/** An index of ids of all kinds, with something removed and something replaced. */
function example(dtype, { dim = 12, count = 20 } = {}) {
  const index = new VectorIndex({ dim, dtype, metadata: { model: 'ViT-B-32', tags: ['a', '"\n'] } });
  const vectors = randomVectors(count + 2, dim, 61);
  for (let i = 0; i < count; i++)
    index.add(i % 3 ? `IMG_${i} ü\t\n"😀".jpg` : i, vectors[i], i % 4 ? {} : { data: { i, text: 'tab\t, line\n' } });
  index.remove(3);
  index.replace(0, vectors[count], { data: null });
  index.add('\ud800 alone', vectors[count + 1]);
  return index;
}

/** Everything that an index holds. */
const contents = (index) => ({
  metadata: index.metadata,
  dtype: index.dtype,
  entries: [...index.ids()].map((id) => [id, index.get(id)]),
});

const bytesOf = async (index) => new Uint8Array(await (await index.save()).arrayBuffer());

/** The entries that two indexes both hold are the same, and in the same order; how many entries `some` has. */
function assertPart(some, all) {
  assert.deepEqual(some.metadata, all.metadata);
  const ids = [...some.ids()];
  for (const id of ids) assert.deepEqual(some.get(id), all.get(id));
  assert.deepEqual(
    ids,
    [...all.ids()].filter((id) => some.has(id)),
  );
  return ids.length;
}

test('XXH32 is what others compute', () => {
  const ascii = (text) => Uint8Array.from(Buffer.from(text));
  const hash = (text, seed) => hashBytes(ascii(text), seed) >>> 0;
  assert.equal(hash(''), 0x02cc5d05);
  assert.equal(hash('', 0x9e3779b1), 0x36b78ae7);
  assert.equal(hash('a'), 0x550d7456);
  assert.equal(hash('abc'), 0x32d153ff);
  assert.equal(hash('Nobody inspects the spammish repetition'), 0xe2293b2f);
});

for (const dtype of ['int8', 'fp32']) {
  test(`${dtype}: saved and loaded it is the same`, async () => {
    const index = example(dtype);
    const file = place(`${dtype}.index`);
    await index.save(file);
    const bytes = readFileSync(file);
    const { port } = await serve(bytes);
    const stream = new Blob([bytes]).stream();
    for (const source of [
      file,
      pathToFileURL(file),
      bytes,
      bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
      new Blob([bytes]),
      stream,
      `http://127.0.0.1:${port}/photos.index`,
    ]) {
      const back = await VectorIndex.load(source);
      assert.deepEqual(contents(back), contents(index));
      assert.equal(back.damage, null);
      const [query] = randomVectors(1, 12, 99);
      assert.deepEqual(back.search(query, { limit: 30 }), index.search(query, { limit: 30 }));
    }
    assert.deepEqual(contents(await VectorIndex.load(await bytesOf(index))), contents(index));
    const empty = new VectorIndex({ dim: 5, dtype });
    assert.deepEqual(contents(await VectorIndex.load(await empty.save())), contents(empty));
  });

  test(`${dtype}: others can read it`, async () => {
    const index = example(dtype);
    const { metadata, tensors } = parseSafetensors(Buffer.from(await bytesOf(index)));
    assert.equal(metadata.format, 'pt');
    const { vectors, scales, ends, entries } = tensors;
    assert.deepEqual(vectors.shape, [index.size, 12]);
    const view = (Type, { bytes }) => new Type(Uint8Array.from(bytes).buffer);
    const numbers = view(dtype === 'int8' ? Int8Array : Float32Array, vectors);
    const lasts = view(Int32Array, ends);
    [...index.ids()].forEach((id, row) => {
      const scale = view(Float32Array, scales)[row];
      const vector = Float32Array.from(numbers.subarray(12 * row, 12 * row + 12), (x) => x * scale);
      assert.deepEqual(vector, index.get(id).vector);
      assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6);
      const line = entries.bytes.subarray(row ? lasts[row - 1] : 0, lasts[row]).toString();
      assert.equal(JSON.parse(line.split('\t')[0]), id);
    });
    for (const { bytes } of [vectors, scales]) assert.equal(bytes.byteOffset % 4, 0);
  });

  test(`${dtype}: cut at every byte, what is whole is told and kept`, async () => {
    const index = example(dtype, { count: 8 });
    const bytes = await bytesOf(index);
    let most = 0;
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.subarray(0, length);
      const error = await VectorIndex.load(cut).then(
        () => assert.fail(`${length} bytes were enough`),
        (error) => error,
      );
      assert.match(error.code, /^weights\/(truncated|format)$/, error.message);
      const salvaged = await VectorIndex.load(cut, { salvage: true }).catch(() => null);
      if (!salvaged) {
        assert.equal(most, 0, 'once the header is whole, all cuts can be loaded');
        continue;
      }
      const whole = assertPart(salvaged, index);
      assert.ok(whole >= most, 'more bytes, more vectors');
      most = whole;
      assert.equal(salvaged.damage.lost, index.size - whole);
      assert.match(
        error.message,
        new RegExp(`${whole} of ${index.size} vectors are whole, which the option salvage loads`),
      );
      assert.match(salvaged.damage.message, new RegExp(`ends before byte ${bytes.length}`));
    }
    assert.equal(most, index.size);
  });

  test(`${dtype}: each byte damaged, at most two vectors are lost`, async () => {
    const index = example(dtype, { count: 8 });
    const bytes = await bytesOf(index);
    const all = contents(index);
    const noticed = { vector: 0, other: 0, none: 0 };
    for (let at = 0; at < bytes.length; at++) {
      for (const change of [1, 0x80]) {
        const damaged = bytes.slice();
        damaged[at] ^= change;
        const loaded = await VectorIndex.load(damaged).catch((error) => error);
        if (loaded instanceof VectorIndex) {
          noticed.none++; // in a place that says nothing
          assert.deepEqual(contents(loaded), all, `byte ${at}`);
          continue;
        }
        assert.equal(loaded.code, 'weights/corrupt', loaded.message);
        const salvaged = await VectorIndex.load(damaged, { salvage: true });
        const whole = assertPart(salvaged, index);
        assert.ok(whole >= index.size - 2, `byte ${at}: ${whole}`);
        assert.equal(salvaged.damage.lost, index.size - whole);
        noticed[whole < index.size ? 'vector' : 'other']++;
      }
    }
    assert.ok(noticed.vector > noticed.none && noticed.other > 300, JSON.stringify(noticed));
    assert.ok(noticed.none < 900, JSON.stringify(noticed));
  });
}

test('bytes at random, and much damage at once', async () => {
  const bytes = await bytesOf(example('int8', { count: 40 }));
  const index = example('int8', { count: 40 });
  let state = 5;
  const random = (n) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % n;
  for (let run = 0; run < 600; run++) {
    const damaged = bytes.slice(0, random(3) ? bytes.length : random(bytes.length));
    const begin = random(2) ? 400 : 0; // at times behind the header
    for (let n = random(60); n-- && damaged.length > begin;)
      damaged[begin + random(damaged.length - begin)] = random(4) ? random(256) : 0x39;
    const error = await VectorIndex.load(damaged).catch((error) => error);
    if (!(error instanceof VectorIndex)) assert.match(error.code, /^weights\/(truncated|format|corrupt)$/, error.stack);
    const salvaged = await VectorIndex.load(damaged, { salvage: true }).catch((error) => error);
    if (salvaged instanceof VectorIndex) assertPart(salvaged, index);
    else assert.match(salvaged.code, /^weights\/(truncated|format)$/, salvaged.stack);
  }
});

test('what is no index is told', async () => {
  await fails(VectorIndex.load(place('nowhere.index')), 'weights/not-found', 'nowhere.index', 'no such file');
  await fails(VectorIndex.load(folder), 'weights/not-found', 'is not a file');
  const towers = new URL('../golden/towers/clip.safetensors', import.meta.url);
  await fails(VectorIndex.load(towers), 'weights/format', 'clip.safetensors', 'expected an index of halfclip');
  await fails(VectorIndex.load(new Uint8Array(100)), 'weights/format', 'is none');
  const bytes = Buffer.from(await bytesOf(example('int8')));
  const text = bytes.toString('latin1').replace('\\"version\\":1', '\\"version\\":2');
  await fails(VectorIndex.load(Buffer.from(text, 'latin1')), 'weights/corrupt', 'header');
  const { port } = await serve(Buffer.from('nothing'), 404);
  await fails(VectorIndex.load(`http://127.0.0.1:${port}/x.index`), 'http/status', '404');
});

test('what another program has written again, in another order; and what a newer version has written', async () => {
  const index = example('int8');
  const { metadata, tensors } = parseSafetensors(Buffer.from(await bytesOf(index)));
  const sorted = Object.fromEntries(Object.entries(tensors).sort(([a], [b]) => (a < b ? 1 : -1)));
  const again = buildSafetensors({ metadata: { ...metadata, more: 'of its own' }, tensors: sorted });
  assert.deepEqual(contents(await VectorIndex.load(again)), contents(index));
  const text = metadata.halfclip_index.replace('"version":1', '"version":3');
  const newer = { halfclip_index: text, halfclip_index_xxh32: String(hashBytes(Buffer.from(text))) };
  await fails(
    VectorIndex.load(buildSafetensors({ metadata: newer, tensors })),
    'weights/format',
    'of version 3, which is newer',
  );
});

test('of two writers none loses what the other saved', async () => {
  const file = place('two.index');
  await example('int8').save(file);
  const [one, other] = [await VectorIndex.load(file), await VectorIndex.load(pathToFileURL(file))];
  const [a, b] = randomVectors(2, 12, 71);
  one.add('of one', a);
  other.add('of the other', b);
  await one.save(file);
  await fails(other.save(file), 'weights/changed', 'two.index', 'merge()');
  const now = await VectorIndex.load(file);
  assert.ok(now.has('of one') && !now.has('of the other'));
  now.merge(other);
  await now.save(path.relative('.', file));
  await now.save(file); // once more, of the same
  assert.ok((await VectorIndex.load(file)).has('of the other'));
  await example('int8').save(file); // what was not loaded from there replaces it
  rmSync(file);
  await now.save(file);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('two.')),
    ['two.index'],
  );
});

test('what changes while an index is saved is saved next time, and two saves follow each other', async () => {
  const index = example('int8', { dim: 700, count: 4000 });
  const before = contents(index);
  const pieces = [];
  const slow = new WritableStream({
    write(piece) {
      pieces.push(piece);
      const id = `added ${pieces.length}`;
      index.add(id, randomVectors(1, 700, 81)[0]);
      for (let i = 6; i < 4000; i += 3 * pieces.length)
        if (i % 3 === 0 && index.has(i)) index.replace(i, randomVectors(1, 700, 91)[0]);
      for (const id of [...index.ids()].slice(0, 1500)) index.remove(id);
    },
  });
  const file = place('moving.index');
  const [, , later] = [index.save(slow), index.save(), index.save(file)];
  await later;
  assert.ok(pieces.length > 2);
  assert.deepEqual(contents(await VectorIndex.load(new Blob(pieces))), before);
  assert.deepEqual(contents(await VectorIndex.load(file)), contents(index));
  assert.ok(index.size < 1000);
});

test('an aborted save leaves the old file and nothing else; the next one works', async () => {
  const file = place('abort.index');
  const index = example('int8', { dim: 500, count: 5000 });
  await example('int8').save(file);
  const old = readFileSync(file);
  const controller = new AbortController();
  const saved = index.save(file, { signal: controller.signal });
  setImmediate(() => controller.abort(new Error('enough')));
  await assert.rejects(saved, /enough/);
  await assert.rejects(index.save(file, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.deepEqual(readFileSync(file), old);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('abort')),
    ['abort.index'],
  );
  await index.save(file);
  await assert.rejects(VectorIndex.load(file, { signal: AbortSignal.abort(new Error('no')) }), /no/);
  assert.equal((await VectorIndex.load(file)).size, index.size);
  await fails(index.save(path.join(folder, 'no folder', 'x.index')), 'weights/not-found', 'cannot be written');
  assert.equal((await index.save()).size, readFileSync(file).length);
});

test('a link stays a link; what killed writers left goes; a lock that nobody holds does not hold', async () => {
  const file = place('real.index');
  const index = example('int8');
  await index.save(file);
  symlinkSync('real.index', place('link.index'));
  const hourOld = Date.now() / 1000 - 4000;
  for (const name of ['real.index.0123456789abcdef.tmp', 'real.index.lock']) {
    writeFileSync(place(name), '');
    utimesSync(place(name), hourOld, hourOld);
  }
  writeFileSync(place('real.index.fedcba9876543210.tmp'), 'somebody is writing');
  index.remove(0);
  await index.save(place('link.index'));
  assert.deepEqual(readFileSync(place('link.index')), readFileSync(file));
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('real')),
    ['real.index', 'real.index.fedcba9876543210.tmp'],
  );
});

const WRITER = `
import { VectorIndex } from ${JSON.stringify(MODULE)};
const [file, name] = process.argv.slice(1);
const vector = Float32Array.from({ length: 64 }, (_, i) => i + 1);
for (let n = 0; ; n++) {
  for (;;) {
    const index = await VectorIndex.load(file);
    index.add(name + n, vector);
    try {
      await index.save(file);
      break;
    } catch (error) {
      if (error.code !== 'weights/changed') throw error;
    }
  }
  process.stdout.write(n + '\\n');
}`;

for (const [how, count] of [
  ['written anew', 500],
  ['added to', 3000],
])
  test(`programs that save the same file at once, ${how}, and are killed: nothing that was reported as saved is lost`, async () => {
    const file = place(`killed ${how}.index`);
    const first = new VectorIndex({ dim: 64 });
    for (const [i, vector] of randomVectors(count, 64, 3).entries()) first.add(i, vector);
    await first.save(file);
    const reported = {};
    for (const round of ['a', 'b', 'c']) {
      const children = ['one', 'two'].map((name) => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER, '--', file, `${round}-${name}-`]);
        let output = '';
        child.stdout.on('data', (data) => (output += data));
        child.stderr.pipe(process.stderr);
        const done = new Promise((resolve) => child.on('close', resolve));
        return { name, child, done, count: () => output.split('\n').length - 1 };
      });
      while (children.some(({ count }) => count() < 3)) await new Promise((resolve) => setTimeout(resolve, 5));
      for (const { child, done, name, count: saved } of children) {
        child.kill('SIGKILL');
        await done;
        reported[`${round}-${name}-`] = saved();
        const index = await VectorIndex.load(file);
        for (const [prefix, saved] of Object.entries(reported))
          for (let n = 0; n < saved; n++) assert.ok(index.has(`${prefix}${n}`), `${prefix}${n}`);
        assert.ok(index.has(count - 1));
      }
      // A killed writer may have left its lock, which the next one takes over after ten seconds.
      rmSync(`${file}.lock`, { force: true });
    }
  });

test('over HTTP: what was cut off goes on by ranges, and no more is fetched than is needed to tell that it is none', async () => {
  const index = example('int8', { dim: 700, count: 4000 });
  const bytes = Buffer.from(await bytesOf(index));
  const asked = [];
  let [sent, body] = [0, bytes];
  const server = createServer((request, response) => {
    const [, first] = /^bytes=(\d+)-/.exec(request.headers.range ?? '') ?? [];
    asked.push(first);
    const rest = body.subarray(Number(first ?? 0));
    response.writeHead(first ? 206 : 200, {
      'accept-ranges': 'bytes',
      'content-length': rest.length,
      etag: '"1"',
      ...(first && { 'content-range': `bytes ${first}-${body.length - 1}/${body.length}` }),
    });
    const piece = (at) => {
      if (at >= rest.length) return response.end();
      if (body === bytes && asked.length < 3 && at > 800_000) return response.destroy();
      sent += Math.min(50_000, rest.length - at);
      return response.write(rest.subarray(at, at + 50_000), () => piece(at + 50_000));
    };
    piece(0);
  });
  servers.push(server);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/photos.index`;
  const back = await VectorIndex.load(url);
  assert.deepEqual([...back.ids()], [...index.ids()]);
  assert.deepEqual(back.search(randomVectors(1, 700, 5)[0]), index.search(randomVectors(1, 700, 5)[0]));
  assert.equal(asked.length, 3);
  assert.ok(!Number(asked[0] ?? 0) && Number(asked[1]) > 500_000 && Number(asked[2]) > Number(asked[1]), `${asked}`);
  assert.ok(sent < 1.3 * bytes.length, `${sent} of ${bytes.length}`);
  [sent, body] = [0, Buffer.alloc(100_000_000, 'no index')];
  await fails(VectorIndex.load(url), 'weights/format', 'is none');
  assert.ok(sent < 20_000_000, `${sent}`);
});

const servers = [];
after(() => servers.forEach((server) => server.close()));

async function serve(bytes, status = 200) {
  const server = createServer((request, response) => {
    response.writeHead(status, { 'content-length': bytes.length, etag: '"1"', connection: 'close' });
    response.end(bytes);
  });
  servers.push(server);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address();
}
