// Videos on the command line: embed, rank, index and search, with a small made-up model.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { loadImageEncoder, loadTextEncoder, loadVideoEncoder, cosineSimilarity } from '../../dist/index.js';
import { VectorIndex } from '../../dist/vector-index-node.js';
import { framesOf } from '../../web/video/frames.js';
import '../../web/node/index.js';
import { jsonLines, programIn } from './cli-program.mjs';
import { randomCheckpoint } from './support.mjs';
import { makeKind } from './videos.mjs';

const skip = spawnSync('ffmpeg', ['-version']).error && 'this machine lacks ffmpeg: apt-get install ffmpeg';
const MODEL = ['--model', 'model.json', '--weights', 'model.safetensors', '--dtype', 'fp32'];
const NAMES = ['below/film.webm', 'film.mp4', 'ntsc.mp4', 'thirty.webm'];

let folder;
let program;
let options;
const place = (...names) => path.join(folder, ...names);
const lines = async (...args) => jsonLines(await program.works(args));

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  if (skip) return;
  program = programIn(folder);
  const { config, file } = randomCheckpoint({
    vision_cfg: { image_size: 32, patch_size: 16, width: 64, layers: 1 },
    text_cfg: { context_length: 77, vocab_size: 49408, width: 64, heads: 1, layers: 1 },
  });
  writeFileSync(place('model.json'), JSON.stringify(config));
  writeFileSync(place('model.safetensors'), file);
  options = { model: config, weights: place('model.safetensors'), dtype: 'fp32' };
  mkdirSync(place('films', 'below'), { recursive: true });
  for (const name of NAMES) await makeKind(place('films', path.dirname(name)), path.basename(name));
  writeFileSync(place('films', 'notes.txt'), 'what I have seen');
});

after(() => rmSync(folder, { recursive: true }));

const films = NAMES.map((name) => path.join('films', name));

/** Two vectors that differ by no more than the order of a sum. */
const alike = (a, b) => assert.ok(cosineSimilarity(a, b) > 0.999999);

async function withEncoder(load, work) {
  const encoder = await load(options);
  try {
    return await work(encoder);
  } finally {
    encoder.dispose();
  }
}

test('embed: files and folders, as the library embeds them', { skip }, async () => {
  const found = await lines('embed', '--tower', 'video', ...MODEL, 'films');
  assert.deepEqual(
    found.map(({ input }) => input),
    films,
  );
  await withEncoder(loadVideoEncoder, async (encoder) => {
    const vectors = await encoder.embed(films.map((film) => place(film)));
    found.forEach(({ embedding }, i) => alike(embedding, vectors[i]));
  });
  const [few] = await lines('embed', '--tower', 'video', ...MODEL, '--max-frames', '2', '--sampling', 'tail', films[2]);
  const frames = [];
  for await (const frame of framesOf(place(films[2]), { name: 'x', maxFrames: 2, sampling: 'tail' }))
    frames.push(frame);
  await withEncoder(loadVideoEncoder, async (encoder) => alike(few.embedding, await encoder.embed({ frames })));
  const input = `{"id":7,"video":${JSON.stringify(films[1])}}\n`;
  const [record] = jsonLines(await program.works(['embed', ...MODEL, '--input', 'jsonl'], input));
  assert.equal(record.id, 7);
  alike(record.embedding, found[1].embedding);
});

test('--start and --end: the part of each film that is looked at', { skip }, async () => {
  const range = ['--start', '1', '--end', '2'];
  const [part, ...others] = await lines('embed', '--tower', 'video', ...MODEL, ...range, films[2]);
  assert.deepEqual(others, []);
  await withEncoder(loadVideoEncoder, async (encoder) => {
    const expected = await encoder.embed(place(films[2]), { start: 1, end: 2 });
    alike(part.embedding, expected);
    assert.ok(cosineSimilarity(expected, await encoder.embed(place(films[2]))) < 0.99999);
    const texts = await withEncoder(loadTextEncoder, (encoder) => encoder.embed(['a film']));
    const [ranked] = await lines(
      'rank',
      '--tower',
      'video',
      '--query',
      'a film',
      '--json',
      ...MODEL,
      ...range,
      films[2],
    );
    const [word] = await lines('rank', '--video', films[2], '--json', ...MODEL, ...range, 'a film');
    for (const { score } of [ranked, word]) assert.ok(Math.abs(score - cosineSimilarity(expected, texts[0])) < 1e-5);
  });
  mkdirSync(place('one'));
  copyFileSync(place(films[2]), place('one', 'ntsc.mp4'));
  const args = ['index', 'one', '--tower', 'video', ...MODEL, ...range];
  for (const [moments, times] of [
    [[], 2],
    [['--moments', '0.5'], 4],
  ]) {
    const out = `${times}.index`;
    await program.works([...args, '--out', out, ...moments]);
    const found = (await lines('search', out, '--moments', '--json', 'a film')).map(({ time }) => time);
    assert.equal(found.length, times);
    assert.ok(
      found.every((time) => time > 0.9 && time < 3),
      `${found}`,
    );
  }
  const usage = async (...args) => (await program.run(args)).stderr;
  assert.match(
    await usage('embed', '--tower', 'video', '--start=-1', films[2]),
    /usage: --start is -1, expected seconds/,
  );
  assert.match(await usage('embed', '--tower', 'video', '--end', ' ', films[2]), /usage: --end is  , expected seconds/);
  assert.match(
    await usage('embed', '--tower', 'video', '--start', '2', '--end', '1', films[2]),
    /--end is 1, expected at/,
  );
  for (const args of [
    ['embed', '--tower', 'image', '--fps', '2', 'films'],
    ['embed', '--fps', '2', 'a text'],
    ['rank', '--query', 'x', '--fps', '2', 'films'],
    ['index', 'films', '--out', 'x.index', '--fps', '2'],
  ])
    assert.match(await usage(...args), /usage: --fps is of videos: expected --tower video with it/);
});

test('embed: what is no video is told, the others go on', { skip }, async () => {
  const { status, stdout, stderr } = await program.run([
    'embed',
    '--tower',
    'video',
    ...MODEL,
    'films/notes.txt',
    films[1],
    'none.mp4',
  ]);
  assert.equal(status, 1);
  assert.deepEqual(
    jsonLines(stdout).map(({ input }) => input),
    [films[1]],
  );
  assert.match(stderr, /input\/decode: films\/notes\.txt: cannot be read as a video/);
  assert.match(stderr, /input\/decode: none\.mp4: there is no such file/);
  assert.match(stderr, /2 of 3 inputs failed/);
  for (const wrong of [
    ['--max-frames', '0'],
    ['--fps', 'x'],
    ['--sampling', 'all'],
    ['--temporal', 'mean'],
  ])
    assert.match(
      (await program.run(['embed', '--tower', 'video', ...MODEL, ...wrong, films[1]])).stderr,
      new RegExp(`usage: ${wrong[0]} is ${wrong[1]}, expected`),
    );
});

test('rank: videos by words, words by a video', { skip }, async () => {
  const query = 'a number';
  const ranked = await lines('rank', '--tower', 'video', '--query', query, '--json', ...MODEL, 'films');
  const wanted = await withEncoder(loadTextEncoder, (encoder) => encoder.embed(query));
  const scores = await withEncoder(loadVideoEncoder, async (encoder) =>
    (await encoder.embed(films.map((film) => place(film)))).map((vector) => cosineSimilarity(vector, wanted)),
  );
  const expected = films.map((input, i) => ({ input, score: scores[i] })).sort((a, b) => b.score - a.score);
  assert.deepEqual(
    ranked.map(({ input }) => input),
    expected.map(({ input }) => input),
  );
  const words = await lines('rank', '--video', films[1], '--json', ...MODEL, query, 'a film');
  const { score } = words.find(({ input }) => input === query);
  assert.ok(Math.abs(score - scores[1]) < 1e-5);
  assert.match(
    (await program.run(['rank', '--video', films[1], '--query', query])).stderr,
    /needs either --query, --picture or --video/,
  );
});

const index = async (...args) =>
  JSON.parse(await program.works(['index', 'films', '--out', 'films.index', '--json', ...args]));
const search = (...args) => lines('search', 'films.index', '--json', '--limit', '1000', ...args);

test('index and search: films, and the moments of films', { skip }, async () => {
  assert.deepEqual(await index('--tower', 'video', ...MODEL), { videos: 4, new: 4, changed: 0, gone: 0, failed: 0 });
  assert.deepEqual(await index(), { videos: 4, new: 0, changed: 0, gone: 0, failed: 0 }, 'which tower is remembered');
  assert.deepEqual((await search('--video', films[2]))[0].input, place(films[2]));
  const found = await search('a number');
  assert.deepEqual(found.map(({ input }) => path.relative(folder, input)).sort(), films);
  assert.equal(found[0].time, undefined);

  const moments = await search('--moments', 'a number');
  assert.equal(moments.length, 3 + 3 + 11 + 4);
  const wanted = await withEncoder(loadTextEncoder, (encoder) => encoder.embed('a number'));
  await withEncoder(loadImageEncoder, async (encoder) => {
    for await (const frame of framesOf(place(films[3]), { name: 'x' })) {
      const score = cosineSimilarity(await encoder.embed(frame), wanted);
      const moment = moments.find(({ input, time }) => input === place(films[3]) && time === frame.time);
      assert.ok(Math.abs(moment.score - score) < 0.01, `${moment.score} and ${score} at ${frame.time} s`);
    }
  });
  const table = await program.works(['search', 'films.index', '--moments', 'a number', '--limit', '2']);
  assert.match(table, /^-?0\.\d{4} {2}\/.*\/films\/.* {2}0:\d\d\n-?0\.\d{4} {2}/);
});

test('index: what has changed and what is gone takes its moments along', { skip }, async () => {
  copyFileSync(place(films[1]), place('films', 'copy.mp4'));
  utimesSync(place(films[2]), 1, 1);
  rmSync(place(films[3]));
  assert.deepEqual(await index(), { videos: 4, new: 1, changed: 1, gone: 1, failed: 0 });
  const ids = [...(await VectorIndex.load(place('films.index'))).ids()].map(String);
  assert.deepEqual(ids.filter((id) => !id.includes('#')).sort(), [
    'below/film.webm',
    'copy.mp4',
    'film.mp4',
    'ntsc.mp4',
  ]);
  assert.equal(ids.length, 4 + 3 + 3 + 3 + 11);
});

test('index --moments: a frame every so often', { skip }, async () => {
  const { status, stderr } = await program.run(['index', 'films', '--out', 'films.index', '--moments', '0.5']);
  assert.equal(status, 0);
  assert.match(stderr, /everything is embedded again/);
  const times = (await search('--moments', 'a number'))
    .filter(({ input }) => input === place(films[2]))
    .map(({ time }) => time);
  assert.equal(times.length, 21);
  assert.ok(times.every((time) => time < 9.98));
  assert.match((await program.run(['search', 'films.index', '--moments'])).stderr, /needs an index and either a text/);
});

test('an index of pictures has no moments', { skip }, async () => {
  mkdirSync(place('photos'), { recursive: true });
  copyFileSync(new URL('../pictures/owl.jpg', import.meta.url), place('photos', 'owl.jpg'));
  await program.works(['index', 'photos', '--out', 'photos.index']);
  assert.match(
    (await program.run(['search', 'photos.index', '--moments', 'an owl'])).stderr,
    /photos\.index: is no index of videos/,
  );
});
