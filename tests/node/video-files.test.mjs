// Video files through loadVideoEncoder(): the same vectors as of their frames, many of them, and what ends early.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { loadVideoEncoder } from '../../dist/index.js';
import '../../web/node/index.js';
import { framesOf } from '../../web/video/frames.js';
import { fails } from './fails.mjs';
import { randomCheckpoint } from './support.mjs';
import { makeKind, makeVideo } from './videos.mjs';

const skip = spawnSync('ffmpeg', ['-version']).error && 'this machine lacks ffmpeg: apt-get install ffmpeg';
const NAMES = ['ntsc.mp4', 'film.webm', 'turned-90.mp4'];

let folder;
let options;
let files;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  if (skip) return;
  const { config, file } = randomCheckpoint({ vision_cfg: { image_size: 32, patch_size: 16, width: 64, layers: 1 } });
  options = { model: { model_cfg: config }, weights: file, dtype: 'fp32' };
  files = await Promise.all(NAMES.map((name) => makeKind(folder, name)));
});

after(() => rmSync(folder, { recursive: true }));

/** An encoder for each way to compute: here, and in a worker. */
async function withEncoders(given, work) {
  for (const worker of [false, true]) {
    const encoder = await loadVideoEncoder({ ...options, ...given, worker });
    try {
      await work(encoder);
    } finally {
      encoder.dispose();
    }
  }
}

async function framesIn(file, given) {
  const frames = [];
  for await (const frame of framesOf(file, { name: file, ...given })) frames.push(frame);
  return frames;
}

test('the vector of a file is that of its frames, to the bit', { skip }, async () => {
  for (const given of [
    {},
    { maxFrames: 4 },
    { maxFrames: 4, sampling: 'uniform' },
    { fps: 3, maxFrames: 5, sampling: 'tail' },
  ]) {
    await withEncoders(given, async (encoder) => {
      for (const range of [{}, { start: 1, end: 2 }]) {
        const file = files[0];
        const frames = await framesIn(file, { ...given, ...range });
        const times = [];
        const vector = await encoder.embed(file, { ...range, onFrame: ({ time }) => times.push(time) });
        assert.deepEqual(vector, await encoder.embed({ frames }));
        assert.deepEqual(
          times,
          frames.map(({ time }) => time),
        );
        assert.deepEqual(vector, await encoder.embed(new Blob([readFileSync(file)]), range));
      }
    });
  }
});

test('many, of which one is broken', { skip }, async () => {
  const broken = path.join(folder, 'broken.mp4');
  writeFileSync(broken, readFileSync(files[0]).subarray(0, 3000));
  const sources = [files[0], broken, files[1], path.join(folder, 'none.mp4'), files[2]];
  await withEncoders({}, async (encoder) => {
    const vectors = await encoder.embed(files);
    const outcomes = [];
    for await (const outcome of encoder.embedAll(sources)) outcomes.push(outcome);
    assert.deepEqual(
      outcomes.map(({ source }) => source),
      sources,
    );
    assert.deepEqual(
      outcomes.map(({ error }) => error?.code),
      [undefined, 'input/decode', undefined, 'input/decode', undefined],
    );
    assert.deepEqual(
      outcomes.flatMap(({ vector }) => vector ?? []),
      vectors,
    );
    await fails(encoder.embed([files[0], broken]), 'input/decode', /broken\.mp4: cannot be read as a video/);
    await fails(encoder.embed(3), 'input/type', /the input is the number 3, expected a video/);
    await fails(encoder.embed(files[0], { start: 100 }), 'input/type', /no frame from 100 s/);
    assert.deepEqual(await encoder.embed(files[0]), vectors[0], 'the next call works');
  });
});

test('each frame says of which video it is', { skip }, async () => {
  await withEncoders({ maxFrames: 2 }, async (encoder) => {
    const told = { embed: [], embedAll: [] };
    const telling = (call) => ({ onFrame: ({ video, index }) => told[call].push(`${video}.${index}`) });
    await encoder.embed(files, telling('embed'));
    for await (const { error } of encoder.embedAll(files, telling('embedAll'))) assert.equal(error, undefined);
    for (const list of Object.values(told)) assert.deepEqual(list.sort(), ['0.0', '0.1', '1.0', '1.1', '2.0', '2.1']);
  });
});

test('a run warns of nothing', { skip }, async () => {
  const warnings = [];
  const listen = (warning) => warnings.push(warning.message);
  process.on('warning', listen);
  const frame = { data: new Uint8Array(300), width: 10, height: 10 };
  await withEncoders({ maxFrames: 100 }, async (encoder) => {
    await encoder.embed({ frames: Array(40).fill(frame) });
    await encoder.embed(files[0]);
    for (const ahead of [4, 25])
      for await (const { error } of encoder.embedAll(Array(40).fill({ frames: [frame] }), { ahead }))
        assert.equal(error, undefined);
    await Promise.all(Array.from({ length: 25 }, () => encoder.embed([{ frames: [frame] }])));
  });
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listen);
  assert.deepEqual(warnings, []);
});

/** What happens, in order: programs that start, each with its name, and vectors of frames. */
async function eventsOf(encoder, sources) {
  const events = [];
  const listen = ({ process }) => events.push(process); // whose name it gets later
  subscribe('child_process', listen);
  try {
    const onFrame = ({ video, index }) => events.push(`${video}.${index}`);
    for await (const { error } of encoder.embedAll(sources, { onFrame })) assert.equal(error, undefined);
  } finally {
    unsubscribe('child_process', listen);
  }
  return events.map((event) => event.spawnargs?.[0] ?? event);
}

test('the next frames and the next film are decoded while these are computed', { skip }, async () => {
  const slow = path.join(folder, 'every-five-seconds.mp4');
  await makeVideo(slow, { frames: 6, rate: '1/5', args: ['-c:v', 'libx264', '-preset', 'ultrafast'] });
  await withEncoders({ fps: 0.2 }, async (encoder) => {
    const alone = await eventsOf(encoder, [slow]);
    const decoders = alone.flatMap((event, i) => (event === 'ffmpeg' ? i : []));
    const frames = alone.flatMap((event, i) => (event.startsWith('0.') ? i : []));
    assert.deepEqual([decoders.length, frames.length], [6, 6], 'a decoder for each frame, which are seconds apart');
    frames.slice(0, -1).forEach((at, i) => assert.ok(decoders[i + 1] < at, `decoder ${i + 1}: ${alone}`));
    const both = await eventsOf(encoder, [slow, slow]);
    const second = both.indexOf('ffprobe', both.indexOf('ffprobe') + 1);
    assert.ok(second < both.indexOf('0.0'), `the second film: ${both}`);
  });
  // Frames are asked for before those before them are computed, wherever they come from.
  const frame = { data: new Uint8Array(300), width: 10, height: 10 };
  await withEncoders({}, async (encoder) => {
    const events = [];
    const film = async function* (name) {
      for (let i = 0; i < 8; i++) {
        events.push(`${name} asks ${i}`);
        yield frame;
      }
    };
    const onFrame = ({ video, index }) => events.push(`${video} has ${index}`);
    await encoder.embed([{ frames: film(0) }, { frames: film(1) }], { onFrame });
    for (const name of [0, 1])
      for (let i = 0; i < 7; i++)
        assert.ok(events.indexOf(`${name} asks ${i + 1}`) < events.indexOf(`${name} has ${i}`), `${events}`);
    assert.ok(events.indexOf('1 asks 0') < events.indexOf('0 has 7'), `${events}`);
  });
});

test('an abort in the middle rejects with its reason, and the next call works', { skip }, async () => {
  await withEncoders({ fps: 29, maxFrames: Infinity }, async (encoder) => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const onFrame = ({ index }) => index === 3 && controller.abort(reason);
    await assert.rejects(encoder.embed(files[0], { signal: controller.signal, onFrame }), reason);
    assert.equal((await encoder.embed(files[1])).length, 16);
  });
});

test('options that make no sense', { skip }, async () => {
  for (const [given, pattern] of [
    [{ fps: 0 }, /option fps is the number 0/],
    [{ fps: NaN }, /option fps is the number NaN/],
    [{ maxFrames: 0 }, /option maxFrames is the number 0/],
    [{ sampling: 'all' }, /option sampling is the string "all"/],
    [{ mediabunny: 'mediabunny' }, /option mediabunny is the string "mediabunny", expected the module mediabunny/],
  ])
    await fails(loadVideoEncoder({ ...options, ...given }), 'input/type', pattern);
});
