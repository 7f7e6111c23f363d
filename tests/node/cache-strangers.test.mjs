// The cache in a folder that is not its own: other programs' files stay, things that are no files do no harm, and what
// is written down tells no secrets.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { dir, file, load, server } from './cache-fixture.mjs';
import { inMemory } from './fault-server.mjs';
import { buildSafetensors, parseSafetensors } from './support.mjs';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const HASH = '0123456789abcdef'.repeat(2);

const entries = () => readdirSync(dir).sort();
const place = (name) => path.join(dir, name);
const own = () => entries().find((name) => /^halfclip-[0-9a-f]{32}\.tower$/.test(name));

function cache(...args) {
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, [cli, 'cache', ...args, '--cache-dir', dir], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(signal, null, 'it hangs');
  return { stdout, stderr, status };
}

const listed = () =>
  cache('ls', '--json')
    .stdout.split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

test("other programs' files stay, whatever they are called and however old", async () => {
  const others = [
    'report.tmp',
    `${HASH}.tmp`,
    `halfclip-${HASH}.tmp`,
    `halfclip.${crypto.randomUUID()}.tmp`,
    `x${HASH}.${crypto.randomUUID()}.tmp`,
    'bell.tower',
    `${HASH}.tower`,
    `halfclip-${HASH}.tower`,
    'halfclip-.tower',
    `halfclip-${HASH.toUpperCase()}.tower`,
    `halfclip-${HASH}.tower.bak`,
    `${HASH}.used`,
    'halfclip.tower',
    '.tower',
    '.tmp',
    'notes.txt',
  ];
  const old = Math.floor(Date.now() / 1000) - 1e6;
  for (const name of others) {
    writeFileSync(place(name), `somebody's ${name}`.replaceAll('halfclip', 'other'));
    utimesSync(place(name), old, old);
  }
  const expected = [...others].sort();
  assert.deepEqual(listed(), []);
  assert.equal(cache('rm', '--all').stdout, '');
  assert.equal(cache('rm', HASH).status, 1);
  assert.deepEqual(entries(), expected);
  await load();
  await load({ tower: 'image', cache: { dir, maxBytes: 1000 } });
  await load({ cache: { dir, mode: 'reload' } });
  assert.equal(listed().length, 1);
  assert.match(cache('rm', '--all').stdout, /clip\.safetensors/);
  assert.deepEqual(entries(), expected);
  for (const name of others) {
    assert.equal(readFileSync(place(name), 'utf8'), `somebody's ${name}`.replaceAll('halfclip', 'other'));
    assert.equal(statSync(place(name)).mtimeMs, old * 1000);
  }
});

test('listing removes nothing', async () => {
  const left = `halfclip-${HASH}.${crypto.randomUUID()}.tmp`;
  writeFileSync(place(left), 'half an entry');
  utimesSync(place(left), 0, 0);
  assert.deepEqual(listed(), []);
  assert.deepEqual(entries(), [left]);
  await load();
  assert.deepEqual(entries(), [own()], 'keeping a tower does');
});

test('entries of before, whose names had no prefix, go when a tower is kept', async () => {
  await load();
  const bytes = readFileSync(place(own()));
  writeFileSync(place(`${HASH}.tower`), bytes);
  writeFileSync(place(`${HASH.replaceAll('0', '1')}.tower`), bytes.subarray(0, 1000));
  assert.equal(listed().length, 1);
  await load({ cache: { dir, mode: 'reload' } });
  assert.deepEqual(entries(), [own()]);
});

/**
 * Things that may lie where an entry should be. Each is made at a path, and says afterwards whether it is still as it
 * was.
 */
const THINGS = {
  'a FIFO': (where) => {
    execFileSync('mkfifo', [where]);
    return () => statSync(where).isFIFO();
  },
  'a folder': (where) => {
    mkdirSync(where);
    writeFileSync(path.join(where, 'within'), 'x');
    return () => statSync(path.join(where, 'within')).isFile();
  },
  'a link to a file': (where) => {
    writeFileSync(`${where}.target`, 'untouched');
    utimesSync(`${where}.target`, 1000, 1000);
    symlinkSync(`${where}.target`, where);
    return () => readFileSync(`${where}.target`, 'utf8') === 'untouched' && statSync(`${where}.target`).mtimeMs === 1e6;
  },
  'a link to a device': (where) => {
    symlinkSync('/dev/zero', where);
    return () => statSync('/dev/zero').isCharacterDevice();
  },
  'a link to itself': (where) => {
    symlinkSync(where, where);
    return () => true;
  },
  'a link to nowhere': (where) => {
    symlinkSync('/nowhere/at/all', where);
    return () => true;
  },
  'a socket': async (where) => {
    const socket = createServer();
    await new Promise((resolve) => socket.listen(where, resolve));
    return async () => {
      await new Promise((resolve) => socket.close(resolve));
      return true;
    };
  },
};

for (const [what, make] of Object.entries(THINGS)) {
  test(`${what} as an entry, and as a leftover`, { timeout: 60_000 }, async () => {
    const { vector } = await load();
    const name = own();
    rmSync(place(name));
    const isSame = await make(place(name));
    const leftover = place(`halfclip-${HASH}.${crypto.randomUUID()}.tmp`);
    const isLeft = await make(leftover);
    assert.deepEqual(listed(), []);
    assert.equal(cache('rm', '--all').status, 0);
    for (let i = 0; i < 2; i++) assert.deepEqual((await load()).vector, vector);
    if (what !== 'a folder') assert.equal((await load()).cached, true, 'an entry has taken its place');
    // A FIFO or a socket of an entry's own name gives way to it.
    assert.ok((await isSame()) || what === 'a FIFO');
    assert.ok(await isLeft());
  });
}

test('a link to another entry is not followed', async () => {
  await load();
  const name = own();
  const elsewhere = place('elsewhere');
  writeFileSync(elsewhere, readFileSync(place(name)));
  rmSync(place(name));
  symlinkSync(elsewhere, place(name));
  assert.deepEqual(listed(), []);
  assert.equal((await load()).cached, false);
  assert.ok(statSync(elsewhere).isFile());
});

test('an entry whose metadata is anything', async () => {
  await load();
  const whole = readFileSync(place(own()));
  const length = Number(whole.readBigUInt64LE(whole.length - 16));
  const shard = whole.subarray(0, whole.length - 24 - length);
  const { name } = JSON.parse(whole.subarray(shard.length, shard.length + length));
  const fetched = [];
  const watched = (url, init) => {
    fetched.push(String(url));
    return fetch(url, init);
  };
  const elsewhere = [
    'http://127.0.0.1:9/x',
    'file:///etc/passwd',
    'data:,x',
    `${server.base}/../secret`,
    'not a URL',
    5,
    null,
    {},
  ];
  const metadatas = [
    null,
    5,
    [],
    {},
    { versions: 5 },
    { name, versions: [null] },
    { name, versions: [{}] },
    { name, url: {}, model: [], tower: 5, versions: [] },
    ...elsewhere.map((url) => ({ name, versions: [{ url, etag: '"1"' }] })),
  ];
  for (const metadata of metadatas) {
    const text = Buffer.from(JSON.stringify(metadata));
    const footer = Buffer.concat([whole.subarray(-24, -16), Buffer.alloc(8), Buffer.from('halfclip')]);
    footer.writeBigUInt64LE(BigInt(text.length), 8);
    writeFileSync(place(own()), Buffer.concat([shard, text, footer]));
    assert.match(cache('ls').stdout, / 1 in all/);
    assert.equal((await load({ fetch: watched })).cached, false, JSON.stringify(metadata));
  }
  assert.ok(
    fetched.every((url) => url === `${server.base}/clip.safetensors`),
    String(fetched),
  );
});

test('a signed address is not written down, and a new signature finds the same tower', async () => {
  const signed = (n, rest = '') =>
    `${server.base}/clip.safetensors?X-Amz-Algorithm=AWS4&X-Amz-Credential=me-${n}-SECRET&X-Amz-Date=${n}&X-Amz-Signature=${n}-SECRET${rest}`;
  for (const [n, cached] of [
    [1, false],
    [1, true],
    [2, true],
  ])
    assert.equal((await load({ weights: signed(n) })).cached, cached);
  assert.ok(
    server.requests.every(({ path }) => path.includes('SECRET')),
    'every request is signed',
  );
  assert.ok(server.requests.at(-1).path.includes('2-SECRET'), 'by what was given last');
  for (const query of [
    'token=SECRET',
    'sig=SECRET&se=2030&sv=1',
    'Expires=5&Signature=SECRET&Key-Pair-Id=SECRET',
    'access_token=SECRET',
    'apikey=SECRET',
    'anything=SECRET',
    'SECRET',
    '#SECRET',
  ]) {
    await load({ weights: `${server.base}/clip.safetensors?${query}` });
  }
  for (const name of entries()) assert.ok(!readFileSync(place(name)).includes('SECRET'), name);
  const shown = cache('ls').stdout + cache('ls', '--json').stdout;
  assert.doesNotMatch(shown, /SECRET|Amz/);
  assert.match(shown, new RegExp(`${server.base}/clip\\.safetensors\\b`));
  // What says which file it is, is kept apart.
  for (const cached of [false, true]) {
    for (const which of ['a', 'b']) assert.equal((await load({ weights: signed(3, `&file=${which}`) })).cached, cached);
  }
});

test('the files of an index that has a token are asked for with it', async () => {
  const { tensors } = parseSafetensors(file);
  const weight_map = {};
  const parts = [{}, {}];
  Object.entries(tensors).forEach(([name, tensor], i) => {
    parts[i % 2][name] = tensor;
    weight_map[name] = `part-${i % 2}.safetensors`;
  });
  parts.forEach(
    (tensors, i) => (server.files[`/folder/part-${i}.safetensors`] = inMemory(buildSafetensors({ tensors }))),
  );
  server.files['/folder/index.json'] = inMemory(Buffer.from(JSON.stringify({ weight_map })));
  server.fault = ({ path }) => (/\?sv=1&sig=\d-SECRET$/.test(path) ? undefined : { status: 403 });
  for (const [n, cached] of [
    [1, false],
    [2, true],
  ]) {
    assert.equal(
      (await load({ weights: `${server.base}/folder/index.json?sv=1&sig=${n}-SECRET#part` })).cached,
      cached,
    );
  }
  assert.ok(!readFileSync(place(own())).includes('SECRET'));
});
