// Video towers on the command line: shards of 4 bits that are calibrated with films, what verify and profile say.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { cosineSimilarity, loadVideoEncoder } from '../../dist/index.js';
import { jsonLines, programIn } from './cli-program.mjs';
import { VIDEOS } from './support.mjs';
import { ffmpeg } from './videos.mjs';

const skip = spawnSync('ffmpeg', ['-version']).error && 'this machine lacks ffmpeg: apt-get install ffmpeg';
const FILMS = 4;

let folder;
let program;
const place = (...names) => path.join(folder, ...names);

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  program = programIn(folder);
  if (skip) return;
  mkdirSync(place('films'));
  for (let i = 0; i < FILMS; i++)
    await ffmpeg([
      '-f',
      'lavfi',
      '-i',
      `testsrc2=size=64x48:rate=4:duration=${3 + i}`,
      '-vf',
      `hue=h=${90 * i}`,
      place('films', `${i}.mp4`),
    ]);
});

after(() => rmSync(folder, { recursive: true }));

/** A golden checkpoint of CLIP4Clip's, for commands and for the package. */
function checkpoint(name) {
  const [config, weights] = ['json', 'safetensors'].map((ending) =>
    fileURLToPath(new URL(`${name}.${ending}`, VIDEOS)),
  );
  return { args: ['--model', config, '--weights', weights], config, weights };
}

const films = () => Array.from({ length: FILMS }, (_, i) => place('films', `${i}.mp4`));

async function vectorsOf(options) {
  const encoder = await loadVideoEncoder(options);
  try {
    return await encoder.embed(films());
  } finally {
    encoder.dispose();
  }
}

for (const [name, temporal] of [
  ['clip4clip-seqTransf', 'transformerClip.resblocks.0.mlp.c_fc.weight'],
  ['clip4clip-seqLSTM-3d', null],
]) {
  test(`shard --calibrate, ${name}: for films, the matrices over time too`, { skip }, async () => {
    const { args } = checkpoint(name);
    const shard = async (out, ...more) =>
      jsonLines(await program.works(['shard', '--tower', 'video', '--out', out, ...args, ...more]))[0];
    const { calibration, dtype } = await shard('four.safetensors', '--dtype', 'int4', '--calibrate', 'films');
    assert.equal(dtype, 'int4');
    assert.deepEqual([calibration.inputs, calibration.measured, calibration.madeUp], [FILMS, FILMS, false]);
    const names = calibration.tensors.map(({ name }) => name);
    assert.ok(
      names.some((name) => name.includes('visual.')),
      `${names}`,
    );
    assert.equal(
      names.some((name) => name.includes('transformerClip')),
      temporal !== null,
      `${names}`,
    );
    await shard('wide.safetensors', '--dtype', 'fp32');
    const [exact, found] = [
      await vectorsOf({ weights: place('wide.safetensors') }),
      await vectorsOf({ weights: place('four.safetensors') }),
    ];
    const mean = exact.reduce((sum, vector, i) => sum + cosineSimilarity(vector, found[i]), 0) / FILMS;
    assert.ok(Math.abs(mean - calibration.cosine.mean) < 1e-4, `${mean}, reported ${calibration.cosine.mean}`);
    assert.ok(mean > 0.9, `${mean}`);
  });
}

test('shard --bits and --at-least: of made-up films, and of pictures', { skip }, async () => {
  const { args } = checkpoint('clip4clip-seqTransf');
  const shard = ['shard', '--tower', 'video', '--dtype', 'int4', '--out', 'mixed.safetensors', ...args];
  const [{ calibration: madeUp }] = jsonLines(await program.works([...shard, '--bits', '6']));
  assert.equal(madeUp.madeUp, true);
  assert.ok(madeUp.bitsAWeight <= 6 && madeUp.tensors.some(({ bits }) => bits === 8), `${madeUp.bitsAWeight} bits`);
  mkdirSync(place('photos'));
  for (const name of ['owl', 'cactus'])
    copyFileSync(new URL(`../pictures/${name}.jpg`, import.meta.url), place('photos', `${name}.jpg`));
  const [{ calibration }] = jsonLines(await program.works([...shard, '--calibrate', 'photos', '--at-least', '0.5']));
  assert.equal(calibration.inputs, 2);
  assert.ok(calibration.cosine.mean > 0.5);
});

test('verify --tower video: cosines, and the operations over time among the others', { skip }, async () => {
  const { args } = checkpoint('clip4clip-seqTransf');
  const said = await program.works(['verify', '--tower', 'video', '--json', ...args, '--max-frames', '3', 'films']);
  const { tower, inputs, dtypes } = JSON.parse(said);
  assert.deepEqual([tower, inputs], ['video', FILMS]);
  for (const { mean, operations } of dtypes) {
    assert.ok(mean > 0.9 && mean < 1);
    for (const part of [/visual/, /transformerClip/])
      assert.ok(
        operations.some(({ name }) => part.test(name)),
        `${part}`,
      );
    assert.ok(
      operations.every(({ error }) => error > 0 && error < 0.5),
      JSON.stringify(operations),
    );
  }
  const { stderr } = await program.run(['verify', ...args, '--fps', '2', 'films']);
  assert.match(stderr, /--fps is of videos/);
});

test('profile --tower video: a frame, and what is made of the vectors of frames', async () => {
  const { args } = checkpoint('clip4clip-seqTransf');
  const profile = JSON.parse(await program.works(['profile', '--tower', 'video', '--runs', '2', '--json', ...args]));
  assert.deepEqual([profile.tower, profile.frames], ['video', 16]);
  const over = profile.operations.filter(({ name }) => name.includes('transformerClip'));
  const hidden = over.find(({ name }) => name.includes('resblocks.0.mlp.c_fc'));
  assert.deepEqual([hidden.rows, hidden.multiplications], [16, 16 * hidden.n * hidden.k]);
  assert.ok(profile.operations.every(({ milliseconds, share }) => milliseconds >= 0 && share >= 0));
  const lstm = checkpoint('clip4clip-seqLSTM');
  const text = await program.works(['profile', '--tower', 'video', '--runs', '1', ...lstm.args]);
  assert.match(text, /a frame, and what is made of 12 vectors of frames/);
  assert.match(text, /lstm_visual +lstm +12 × 64/);
  const made = JSON.parse(
    await program.works(['profile', '--tower', 'video', '--runs', '1', '--json', '--model', 'ViT-S-32-alt']),
  );
  assert.equal(made.frames, 12);
});
