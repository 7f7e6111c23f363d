// halfclip index and halfclip search, with the bundled model.

import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { VectorIndex } from '../../dist/vector-index-node.js';
import { jsonLines, programIn } from './cli-program.mjs';
import { parseSafetensors } from './support.mjs';

const PICTURES = fileURLToPath(new URL('../pictures/', import.meta.url));
const NAMES = ['bicycle.jpg', 'castle.jpg', 'guitar.jpg', 'owl.jpg', 'pizza.jpg'];

let folder;
let program;
const place = (...names) => path.join(folder, ...names);
const put = (name, to = name) => cpSync(path.join(PICTURES, name), place('photos', to));

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-index-'));
  program = programIn(folder);
  mkdirSync(place('photos', 'below'), { recursive: true });
  for (const name of NAMES) put(name);
  put('key.jpg', 'below/key.jpg');
});

after(() => rmSync(folder, { recursive: true }));

const index = async (...args) =>
  JSON.parse(await program.works(['index', 'photos', '--out', 'photos.index', '--json', ...args]));
const search = async (...args) => jsonLines(await program.works(['search', 'photos.index', '--json', ...args]));
const ids = async () => [...(await VectorIndex.load(place('photos.index'))).ids()];

test('a folder is indexed, and searched by words and by a picture', async () => {
  const table = await program.works(['index', 'photos', '--out', 'photos.index']);
  assert.equal(table, 'photos.index: 6 pictures (6 new, 0 changed, 0 gone, 0 failed)\n');
  assert.deepEqual(await ids(), ['below/key.jpg', ...NAMES]);
  const ranked = jsonLines(await program.works(['rank', '--query', 'a bicycle', '--json', 'photos']));
  const found = await search('a bicycle');
  assert.deepEqual(
    found.map(({ input }) => path.relative(folder, input)),
    ranked.map(({ input }) => input),
  );
  found.forEach(({ score }, i) => assert.ok(Math.abs(score - ranked[i].score) < 0.01));
  for (const name of NAMES) {
    const [{ input, score }] = await search('--picture', path.join(PICTURES, name), '--limit', '1');
    assert.equal(input, place('photos', name));
    assert.ok(score > 0.999);
  }
  const lines = await program.works(['search', 'photos.index', 'an owl', '--limit', '2']);
  assert.match(lines, /^0\.\d{4} {2}\/.*\/photos\/owl\.jpg\n0\.\d{4} {2}\/.*\n$/);
});

test('what photographs say of when they were taken is in the index', async () => {
  const golden = fileURLToPath(new URL('../golden/taken/', import.meta.url));
  mkdirSync(place('dated'));
  for (const name of ['zone-big.jpg', 'no-zone-big.webp', 'none-big.png'])
    cpSync(path.join(golden, name), place('dated', name));
  await program.works(['index', 'dated', '--out', 'dated.index']);
  const dates = await VectorIndex.load(place('dated.index'));
  assert.deepEqual(
    ['zone-big.jpg', 'no-zone-big.webp', 'none-big.png'].map((name) => dates.get(name).data.taken),
    ['2019-07-14T12:30:05+02:00', '2004-02-29T00:00:00', undefined],
  );
  // Again nothing has changed, and it stays.
  assert.match(await program.works(['index', 'dated', '--out', 'dated.index']), /0 new, 0 changed, 0 gone/);
  assert.equal(
    (await VectorIndex.load(place('dated.index'))).get('no-zone-big.webp').data.taken,
    '2004-02-29T00:00:00',
  );
  for (const name of ['dated', 'dated.index']) rmSync(place(name), { recursive: true });
});

test('again, it is only what is new or changed, and what is gone leaves', async () => {
  assert.deepEqual(await index(), { pictures: 6, new: 0, changed: 0, gone: 0, failed: 0 });
  const before = readFileSync(place('photos.index'));
  await index();
  assert.deepEqual(readFileSync(place('photos.index')), before, 'nothing to say, nothing is written');
  rmSync(place('photos/castle.jpg'));
  put('honeybee.jpg');
  put('elephant.jpg', 'owl.jpg');
  utimesSync(place('photos/pizza.jpg'), 1e9, 1e9);
  assert.deepEqual(await index(), { pictures: 6, new: 1, changed: 2, gone: 1, failed: 0 });
  const [{ input }] = await search('an elephant', '--limit', '1');
  assert.equal(input, place('photos/owl.jpg'));
  assert.ok(!(await ids()).includes('castle.jpg'));
});

test('a picture that fails is told, the others are saved, and it is tried again', async () => {
  writeFileSync(place('photos/broken.jpg'), readFileSync(place('photos/guitar.jpg')).subarray(0, 300));
  put('banana.jpg');
  for (const counts of [
    { pictures: 7, new: 1, changed: 0, gone: 0, failed: 1 },
    { pictures: 7, new: 0, changed: 0, gone: 0, failed: 1 },
  ]) {
    const { status, stdout, stderr } = await program.run(['index', 'photos', '--out', 'photos.index', '--json']);
    assert.equal(status, 1);
    assert.deepEqual(JSON.parse(stdout), counts);
    assert.match(stderr, /input\/decode: .*broken\.jpg/);
  }
  put('carrot.jpg');
  put('cactus.jpg', 'a.jpg');
  const { status } = await program.run(['index', 'photos', '--out', 'photos.index', '--fail-fast']);
  assert.equal(status, 1);
  assert.ok((await ids()).includes('a.jpg') && !(await ids()).includes('carrot.jpg'), 'what came before is kept');
  rmSync(place('photos/broken.jpg'));
  assert.equal((await index()).new, 1);
});

test('a damaged index: what is whole stays, the rest is embedded again', async () => {
  const bytes = readFileSync(place('photos.index'));
  const expected = await search('a guitar');
  const { vectors } = parseSafetensors(bytes).tensors;
  vectors.bytes[vectors.bytes.length >> 1] ^= 1;
  writeFileSync(place('photos.index'), bytes);
  const { status, stdout, stderr } = await program.run(['index', 'photos', '--out', 'photos.index', '--json']);
  assert.equal(status, 0);
  assert.match(stderr, /weights\/corrupt: photos\.index: .*8 of 9 vectors are whole, and are taken\n$/);
  assert.deepEqual(JSON.parse(stdout), { pictures: 9, new: 1, changed: 0, gone: 0, failed: 0 });
  assert.deepEqual(await search('a guitar'), expected);
});

test('of another tower, all is embedded again, and the index remembers it', async () => {
  const { stdout, stderr } = await program.run([
    'index',
    'photos',
    '--out',
    'photos.index',
    '--json',
    '--dtype',
    'fp32',
  ]);
  assert.match(stderr, /is of another tower: everything is embedded again/);
  assert.equal(JSON.parse(stdout).new, 9);
  assert.equal((await index()).new, 0);
  const model = path.join('shard', 'image.safetensors');
  mkdirSync(place('shard'));
  for (const tower of ['image', 'text'])
    cpSync(
      new URL(`../../dist/models/halfclip-emoji-${tower}.safetensors`, import.meta.url),
      place('shard', `${tower}.safetensors`),
    );
  const weights = ['--weights', model, '--text-weights', 'shard/text.safetensors', '--fp32'];
  await program.run(['index', 'photos', '--out', 'photos.index', ...weights]);
  assert.equal((await VectorIndex.load(place('photos.index'))).dtype, 'fp32');
  assert.equal((await index()).new, 0);
  const [{ input }] = await search('pizza', '--limit', '1');
  assert.equal(input, place('photos/pizza.jpg'));
  await search('--picture', 'photos/pizza.jpg');
  await search('pizza', '--weights', 'shard/text.safetensors');
});

test('two runs at once', async () => {
  put('camera.jpg');
  put('laptop.jpg');
  const runs = await Promise.all([0, 1].map(() => program.run(['index', 'photos', '--out', 'photos.index'])));
  for (const { status, stderr } of runs) assert.equal(status, 0, stderr);
  assert.equal((await ids()).length, 11);
  assert.equal((await index()).new, 0);
  assert.deepEqual(readdirSync(folder).sort(), ['photos', 'photos.index', 'shard']);
});

test('--open gives what is found to the viewer of the system', { skip: process.platform !== 'linux' }, async () => {
  const viewer = place('bin', 'xdg-open');
  mkdirSync(place('bin'));
  const opened = place('opened.txt');
  writeFileSync(viewer, `#!/bin/sh\nprintf '%s\\n' "$#" "$@" >> '${opened}'\n`, { mode: 0o755 });
  const withViewer = { PATH: `${place('bin')}:${process.env.PATH}` };
  const linesOnceThere = async (count) => {
    for (;;) {
      const lines = existsSync(opened) ? readFileSync(opened, 'utf8').split('\n').slice(0, -1) : [];
      if (lines.length >= count) return lines;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const best = jsonLines(await program.works(['search', 'photos.index', 'a guitar', '--json', '--limit', '2']));
  const one = await program.run(['search', 'photos.index', 'a guitar', '--json', '--open'], '', withViewer);
  assert.equal(one.status, 0, one.stderr);
  assert.deepEqual(jsonLines(one.stdout), best.slice(0, 1));
  assert.deepEqual(await linesOnceThere(2), ['1', place('photos/guitar.jpg')]);
  rmSync(opened);
  await program.run(['search', 'photos.index', 'a guitar', '--open', '--limit', '2'], '', withViewer);
  assert.deepEqual((await linesOnceThere(4)).sort(), ['1', '1', ...best.map(({ input }) => input)].sort());
  // What is no picture any more, or has the name of a program, is not opened.
  rmSync(opened);
  const other = await VectorIndex.load(place('photos.index'));
  const { vector } = other.get('guitar.jpg');
  for (const [name, text] of [
    ['page.jpg', '<html>'],
    ['guitar.desktop', readFileSync(place('photos/guitar.jpg'))],
  ]) {
    writeFileSync(place('photos', name), text);
    other.replace(
      'guitar.jpg',
      vector.map((x) => -x),
    ); // anything else
    other.replace(name, vector);
    await other.save(place('other.index'));
    const { status, stderr } = await program.run(
      ['search', 'other.index', '--picture', 'photos/guitar.jpg', '--open'],
      '',
      withViewer,
    );
    assert.equal(status, 1);
    assert.match(stderr, /is not opened, because it is no picture/);
    other.remove(name);
    rmSync(place('photos', name));
  }
  assert.ok(!existsSync(opened));
  const { status, stderr } = await program.run(['search', 'photos.index', 'a guitar', '--open'], '', {
    PATH: place('photos'),
  });
  assert.equal(status, 1);
  assert.match(stderr, /--open: xdg-open cannot be started/);
  rmSync(place('bin'), { recursive: true });
  rmSync(place('other.index'));
});

test('what makes no sense', async () => {
  const { fails } = program;
  await fails(['index', 'photos'], 2, /index needs --out/);
  await fails(['index', '--out', 'x.index'], 2, /index takes one folder, got 0/);
  await fails(['index', 'nowhere', '--out', 'x.index'], 2, /nowhere is no folder/);
  await fails(['search'], 2, /search needs an index/);
  await fails(['search', 'photos.index'], 2, /either a text/);
  await fails(['search', 'photos.index', 'a', '--picture', 'b'], 2, /either a text/);
  await fails(['search', 'photos.index', 'a', '--limit', '0'], 2, /--limit is 0/);
  await fails(['search', 'nowhere.index', 'a'], 1, /weights\/not-found: nowhere\.index/);
  await fails(['search', 'photos/owl.jpg', 'a'], 1, /weights\/format: photos\/owl\.jpg.*expected an index/);
  writeFileSync(place('text.txt'), 'a text');
  await fails(['index', 'photos', '--out', 'text.txt'], 1, /weights\/truncated: text\.txt/);
  assert.equal(readFileSync(place('text.txt'), 'utf8'), 'a text');
  await new VectorIndex({ dim: 3 }).save(place('other.index'));
  await fails(['search', 'other.index', 'a'], 1, /not of pictures that halfclip index made/);
  mkdirSync(place('empty'));
  assert.match(await program.works(['index', 'empty', '--out', 'empty.index']), /0 pictures/);
});
