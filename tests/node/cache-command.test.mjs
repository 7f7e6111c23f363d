// `halfclip cache`, and the options of the command line that say what is kept.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { FaultServer, inMemory } from './fault-server.mjs';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const shard = (tower) =>
  inMemory(readFileSync(new URL(`../../dist/models/halfclip-emoji-${tower}.safetensors`, import.meta.url)));

let server;
let folder;
let towers;

before(async () => {
  server = await FaultServer.start({ '/text.safetensors': shard('text'), '/image.safetensors': shard('image') });
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  towers = path.join(folder, 'halfclip');
});

after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

async function run(...args) {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, XDG_CACHE_HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const all = async (stream) => {
    let text = '';
    for await (const chunk of stream) text += chunk;
    return text;
  };
  const [stdout, stderr, status] = await Promise.all([
    all(child.stdout),
    all(child.stderr),
    new Promise((resolve) => child.once('close', resolve)),
  ]);
  return { stdout, stderr, status };
}

const url = (tower) => `${server.base}/${tower}.safetensors`;
const embed = (tower, ...args) => run('embed', '--tower', tower, '--weights', url(tower), ...args);
const list = async () =>
  (await run('cache', 'ls', '--json')).stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

test('nothing is kept at first', async () => {
  assert.deepEqual(await run('cache', 'ls', '--json'), { stdout: '', stderr: '', status: 0 });
  const { stdout, status } = await run('cache', 'ls');
  assert.match(stdout, /^ {2}last used, UTC +size +tower +dtype +URL\n {2}0 in all +0\.0 MB\n$/);
  assert.equal(status, 0);
});

test('what embed loads is kept, and listed', async () => {
  const { stdout, status } = await embed('text', 'a dog');
  assert.equal(status, 0);
  assert.equal((await embed('text', 'a dog')).stdout, stdout);
  assert.equal((await embed('image', fileURLToPath(new URL('../pictures/airplane.jpg', import.meta.url)))).status, 0);
  const [{ name, used, stored, bytes, fetchedBytes, ...entry }] = (await list()).filter(
    ({ tower }) => tower === 'text',
  );
  assert.match(name, /^[0-9a-f]{32}$/);
  assert.ok(Date.parse(used) >= Date.parse(stored));
  assert.equal(bytes, readFileSync(path.join(towers, `halfclip-${name}.tower`)).length);
  assert.ok(fetchedBytes > 0);
  const size = shard('text').size;
  assert.deepEqual(entry, { url: url('text'), model: null, tower: 'text', dtype: 'int8', fileBytes: size });
  const table = (await run('cache', 'ls')).stdout;
  assert.match(table, /text +int8 +http.*text\.safetensors/);
  assert.match(table, new RegExp(`\\n +${(await list()).length} in all`));
});

test('--cache and --cache-dir', async () => {
  const elsewhere = path.join(folder, 'elsewhere');
  assert.equal((await embed('text', '--cache', 'no-store', '--cache-dir', elsewhere, 'a dog')).status, 0);
  assert.throws(() => readdirSync(elsewhere), /ENOENT/);
  assert.equal((await embed('text', '--cache-dir', elsewhere, 'a dog')).status, 0);
  assert.equal(readdirSync(elsewhere).length, 1);
  const before = server.requests.length;
  assert.equal((await embed('text', '--cache', 'reload', '--cache-dir', elsewhere, 'a dog')).status, 0);
  assert.ok(server.requests.slice(before).some(({ range }) => range !== 'bytes=0-0'));
  assert.match((await run('cache', 'ls', '--cache-dir', elsewhere)).stdout, /1 in all/);
  assert.equal((await run('cache', 'rm', '--all', '--cache-dir', elsewhere)).status, 0);
  assert.deepEqual(readdirSync(elsewhere), []);
  const wrong = await embed('text', '--cache', 'never', 'a dog');
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /input\/type.*"never"/);
});

test('rm by a part of the URL, by pattern, by name, and all', async () => {
  const kept = async () => (await list()).map(({ tower }) => tower);
  await embed('text', 'a dog');
  const missing = await run('cache', 'rm', 'nothing-like-it');
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /nothing-like-it/);
  assert.ok((await kept()).includes('text'));

  assert.deepEqual(await run('cache', 'rm', 'text.safe'), { stdout: `${url('text')}\n`, stderr: '', status: 0 });
  assert.ok(!(await kept()).includes('text'));
  await embed('text', 'a dog');
  assert.equal((await run('cache', 'rm', '127.0.0.1*/text.')).status, 0);
  assert.ok(!(await kept()).includes('text'));
  await embed('text', 'a dog');
  assert.equal((await run('cache', 'rm', 'text?safetensors')).status, 1, 'only * stands for something else');
  const { name } = (await list()).find(({ tower }) => tower === 'text');
  assert.equal(JSON.parse((await run('cache', 'rm', '--json', name)).stdout).name, name);
  await embed('text', 'a dog');

  writeFileSync(path.join(towers, `halfclip-${'0'.repeat(32)}.tower`), 'damaged: halfclip');
  assert.match((await run('cache', 'ls')).stdout, /0{32} \(damaged\)/);
  const count = (await list()).length;
  assert.equal((await run('cache', 'rm', '--all')).stdout.split('\n').length, count + 1);
  assert.deepEqual(await list(), []);
  assert.equal((await run('cache', 'rm', '--all')).status, 0);
});

test('usage', async () => {
  for (const args of [[], ['rm'], ['ls', 'x'], ['ls', '--all'], ['rm', '--all', 'x'], ['clear']]) {
    const { status, stderr } = await run('cache', ...args);
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, /cache needs ls, rm --all/);
  }
});
