// Videos in the browser: files by mediabunny, and video elements.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { serve } from '../../web/cli/server.js';
import { randomCheckpoint } from '../node/support.mjs';
import { KINDS, ffmpeg, makeKind, makeVideo } from '../node/videos.mjs';
import { isFirefox, launch } from './engine.mjs';

const skip = spawnSync('ffmpeg', ['-version']).error && 'this machine lacks ffmpeg: apt-get install ffmpeg';
const DIST = new URL('../../dist/', import.meta.url);
const WEB = new URL('../../web/', import.meta.url);
const TESTS = new URL('../node/', import.meta.url);
const MEDIABUNNY = new URL('../../node_modules/mediabunny/dist/bundles/', import.meta.url);
// What is shown at the seconds; of steady rates an element does not know, it is not what CLIP4Clip takes.
const BY_TIME = {
  'ntsc.mp4': [0, 29, 59, 89, 119, 149, 179, 209, 239, 269],
  'film.mp4': [0, 23, 47],
  'film.webm': [0, 23, 47],
};
// What it has no decoder for, other than for elements.
const NOT_DECODED = isFirefox ? ['ten-bit.mp4'] : [];
const NOT_PLAYED = ['ntsc.ts', 'late.mp4', 'late.webm']; // or by a clock that begins before the first frame

let folder;
let server;
let browser;
let page;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  writeFileSync(
    path.join(folder, 'index.html'),
    '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>videos</title>',
  );
  if (skip) return;
  for (const name of Object.keys(KINDS)) await makeKind(folder, name);
  const whole = path.join(folder, 'whole.mp4');
  await ffmpeg(['-i', path.join(folder, 'ntsc.mp4'), '-c', 'copy', '-movflags', '+faststart', whole]);
  const bytes = readFileSync(whole);
  writeFileSync(path.join(folder, 'cut.mp4'), bytes);
  truncateSync(path.join(folder, 'cut.mp4'), Math.round(0.7 * bytes.length));
  writeFileSync(path.join(folder, 'empty.mp4'), '');
  writeFileSync(path.join(folder, 'text.mp4'), 'no video at all');
  await ffmpeg(['-f', 'lavfi', '-i', 'sine=duration=2', '-c:a', 'aac', path.join(folder, 'alone.m4a')]);
  const { config, file } = randomCheckpoint({ vision_cfg: { image_size: 32, patch_size: 16, width: 64, layers: 1 } });
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(config));
  writeFileSync(path.join(folder, 'model.safetensors'), file);
  server = await serve({
    root: { '/': folder, '/halfclip/': DIST, '/web/': WEB, '/mediabunny/': MEDIABUNNY, '/tests/': TESTS },
  });
  browser = await launch();
  page = await browser.newPage();
  await page.goto(server.url);
  await page.evaluate(async () => {
    const [{ framesOf }, { numberIn }, { useHost }, host, mediabunny] = await Promise.all(
      [
        '/web/video/frames.js',
        '/tests/numbered.mjs',
        '/web/base/platform.js',
        '/web/page/host.js',
        '/mediabunny/mediabunny.min.mjs',
      ].map((place) => import(place)),
    );
    useHost(host);
    window.read = async (source, options) => {
      const frames = [];
      try {
        for await (const frame of framesOf(source, { name: 'the input', mediabunny, maxFrames: 100, ...options }))
          frames.push([numberIn(frame), frame.width, frame.height]);
      } catch (error) {
        return `${error.code}: ${error.message}`;
      }
      return frames;
    };
    window.element = (source) => Object.assign(document.createElement('video'), { src: source, muted: true });
  });
});

after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true });
});

const framesIn = (numbers) => numbers.map((number) => [number, 128, 96]);

for (const [name, { expected, end }] of Object.entries(KINDS)) {
  test(`${name}, by mediabunny`, { skip }, async () => {
    const frames = await page.evaluate(([name, end]) => read(name, { end }), [name, end]);
    if (NOT_DECODED.includes(name)) assert.match(frames, /^input\/decode: .* which this browser does not decode$/);
    else assert.deepEqual(frames, framesIn(expected));
  });
  if (NOT_PLAYED.includes(name)) continue;
  test(`${name}, in a video element`, { skip }, async () => {
    const frames = await page.evaluate(
      ([name, end]) => read(element(name), { end, mediabunny: undefined }),
      [name, end],
    );
    assert.deepEqual(frames, framesIn(BY_TIME[name] ?? expected));
  });
}

test('a Blob, bytes, a part', { skip }, async () => {
  const frames = await page.evaluate(async () => {
    const blob = await (await fetch('ntsc.mp4')).blob();
    return [await read(blob, { start: 2, end: 4 }), await read(await blob.arrayBuffer(), { maxFrames: 3 })];
  });
  assert.deepEqual(frames, [framesIn([58, 87, 116]), framesIn([0, 145, 290])]);
});

test('an element is as it was; two calls wait for each other', { skip }, async () => {
  const result = await page.evaluate(async () => {
    const video = element('thirty.webm');
    await new Promise((resolve) => video.addEventListener('canplay', resolve, { once: true }));
    video.currentTime = 1.5;
    await video.play();
    const both = await Promise.all([read(video), read(video, { start: 1, end: 2 })]);
    const { paused, currentTime } = video;
    video.pause();
    return { both, paused, currentTime };
  });
  assert.deepEqual(result.both, [framesIn([0, 30, 60, 90]), framesIn([30, 60])]);
  assert.equal(result.paused, false);
  assert.ok(result.currentTime >= 1.4 && result.currentTime < 3, `${result.currentTime} s`);
});

test('what is no video', { skip }, async () => {
  const say = (name, how = 'name') =>
    page.evaluate(`(async (name) => String(await read(${how})))(${JSON.stringify(name)})`);
  for (const [name, pattern] of [
    ['none.mp4', /^http\/status: .*none\.mp4: HTTP status 404/],
    ['empty.mp4', /^input\/decode: .*empty\.mp4: is empty/],
    ['text.mp4', /^input\/decode: .*text\.mp4: cannot be read as a video/],
    ['alone.m4a', /^input\/decode: .*alone\.m4a: has no video, only sound/],
    ['cut.mp4', /^input\/decode: .*cut\.mp4: there is no frame at \S+ s, though/],
  ])
    assert.match(await say(name), pattern);
  for (const name of ['none.mp4', 'text.mp4', 'empty.mp4'])
    assert.match(await say(name, 'element(name)'), /^input\/decode: the input: .* cannot be played/);
  assert.match(
    await say('', 'document.createElement("video")'),
    /^input\/decode: the input: the video element cannot be played/,
  );
  assert.match(
    await say('film.mp4', 'name, { mediabunny: undefined }'),
    /^input\/decode: .*needs the package mediabunny/,
  );
});

test('the vector of a file, of an element and of frames, here and in a worker', { skip }, async () => {
  const found = await page.evaluate(async () => {
    const [{ loadVideoEncoder }, mediabunny, { framesOf }] = await Promise.all(
      ['/halfclip/index.js', '/mediabunny/mediabunny.min.mjs', '/web/video/frames.js'].map((place) => import(place)),
    );
    const model = await (await fetch('model.json')).json();
    const results = [];
    for (const worker of [false, true]) {
      const encoder = await loadVideoEncoder({
        model,
        weights: 'model.safetensors',
        dtype: 'fp32',
        mediabunny,
        worker,
      });
      const frames = [];
      for await (const frame of framesOf('thirty.webm', { name: 'x', mediabunny })) frames.push(frame);
      const outcomes = [];
      for await (const { vector, error } of encoder.embedAll(['thirty.webm', 'text.mp4', element('thirty.webm')]))
        outcomes.push(error ? error.code : Array.from(vector));
      const vectors = [await encoder.embed('thirty.webm'), await encoder.embed({ frames })];
      results.push([...vectors.map((vector) => Array.from(vector)), ...outcomes]);
      encoder.dispose();
    }
    return results;
  });
  for (const [ofFile, ofFrames, first, second, third] of found) {
    assert.deepEqual(ofFile, ofFrames);
    assert.deepEqual([first, second], [ofFile, 'input/decode']);
    const cosine = third.reduce((sum, value, i) => sum + value * ofFile[i], 0);
    assert.ok(cosine > 0.999, `of the element, which the browser draws in its own way: ${cosine}`);
  }
  assert.deepEqual(found[0][0], found[1][0]);
});

test('mediabunny decodes the next frames while these are computed', { skip }, async () => {
  const events = await page.evaluate(async () => {
    const [{ loadVideoEncoder }, mediabunny] = await Promise.all(
      ['/halfclip/index.js', '/mediabunny/mediabunny.min.mjs'].map((place) => import(place)),
    );
    const events = [];
    class VideoSampleSink extends mediabunny.VideoSampleSink {
      async *samplesAtTimestamps(...args) {
        for await (const sample of super.samplesAtTimestamps(...args)) {
          yield sample;
          events.push('next'); // is asked for
        }
      }
    }
    const encoder = await loadVideoEncoder({
      model: await (await fetch('model.json')).json(),
      weights: 'model.safetensors',
      mediabunny: { ...mediabunny, VideoSampleSink },
    });
    await encoder.embed('ntsc.mp4', { onFrame: ({ index }) => events.push(index) });
    encoder.dispose();
    return events;
  });
  const frames = events.filter((event) => event !== 'next');
  assert.equal(frames.length, 11);
  for (const index of frames.slice(0, -1)) {
    const asked = events.slice(0, events.indexOf(index)).filter((event) => event === 'next').length;
    assert.ok(asked > index, `${events}`);
  }
});

test('a long film costs a part of its bytes', { skip }, async () => {
  const [minute, film] = ['minute.mp4', 'film-of-an-hour.mp4'].map((name) => path.join(folder, name));
  const noise = ['-vf', 'noise=alls=12:allf=t', '-b:v', '130k'];
  await makeVideo(minute, { frames: 1500, rate: 25, args: [...noise, ...KINDS['film.mp4'].args] });
  await ffmpeg(['-stream_loop', '59', '-i', minute, '-c', 'copy', '-movflags', '+faststart', film]);
  const { frames, bytes } = await page.evaluate(async () => {
    performance.clearResourceTimings();
    const frames = await read('film-of-an-hour.mp4', { maxFrames: 12 });
    const requests = performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('an-hour.mp4'));
    return { frames, bytes: requests.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0) };
  });
  assert.deepEqual(
    frames.map(([number]) => number),
    Array.from({ length: 12 }, (_, i) => (Math.floor((i * 3599) / 11) % 60) * 25),
  );
  const { size } = statSync(film);
  assert.ok(bytes > 100_000 && bytes < 0.4 * size, `${bytes} of ${size} bytes`);
});
