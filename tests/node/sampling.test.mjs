// Which frames of a video are looked at.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sampleFrames, sampleMoments } from '../../web/video/sampling.js';
import { fails } from './fails.mjs';

/**
 * What CLIP4Clip's RawVideoExtractorCV2.video_to_tensor() reads of a video, and what its loader keeps of that, in the
 * order of its own loops.
 */
function reference({ rate, count }, { fps, maxFrames, sampling, start, end }) {
  const whole = Math.trunc(rate);
  const total = Math.floor((count + whole - 1) / whole);
  const [from, to] = start === undefined ? [0, total] : [start, Math.min(end, total)];
  const interval = Math.floor(whole / fps) || 1;
  const offsets = [];
  for (let i = 0; i < whole; i += interval) offsets.push(i);
  offsets.length = fps;
  const read = [];
  let ok = true;
  for (let second = from; second < to + 1 && ok; second++) {
    for (const offset of offsets) {
      ok = second * whole + offset < count;
      if (!ok) break;
      read.push(second * whole + offset);
    }
  }
  if (read.length <= maxFrames) return read;
  if (sampling === 'head') return read.slice(0, maxFrames);
  if (sampling === 'tail') return read.slice(-maxFrames);
  const step = (read.length - 1) / (maxFrames - 1);
  return Array.from(
    { length: maxFrames },
    (_, i) => read[i === maxFrames - 1 ? read.length - 1 : Math.floor(i * step)],
  );
}

test('frames of files of usual rates', () => {
  const ntsc = { rate: 30000 / 1001, count: 299 };
  assert.deepEqual(sampleFrames(ntsc), [0, 29, 58, 87, 116, 145, 174, 203, 232, 261, 290]);
  assert.deepEqual(sampleFrames({ rate: 24000 / 1001, count: 60 }), [0, 23, 46]);
  assert.deepEqual(sampleFrames({ rate: 30, count: 300 }, { start: 2, end: 4 }), [60, 90, 120]);
  assert.deepEqual(sampleFrames({ rate: 25, count: 1 }), [0]);
  assert.deepEqual(sampleFrames({ rate: 25, count: 0 }), []);
});

test('as CLIP4Clip reads and thins', () => {
  const rates = [1, 1.5, 10, 24000 / 1001, 25, 30000 / 1001, 60];
  for (const rate of rates) {
    for (const count of [1, 2, 24, 100, 299, 1000, 3601]) {
      for (const fps of [1, 2, 3, 7].filter((fps) => fps <= Math.floor(rate))) {
        for (const sampling of ['clip4clip', 'head', 'tail']) {
          for (const maxFrames of [2, 5, 12]) {
            for (const range of [{}, { start: 0, end: 3 }, { start: 2, end: 4 }, { start: 3, end: 1000 }]) {
              const options = { fps, sampling, maxFrames, ...range };
              const video = { rate, count };
              assert.deepEqual(
                sampleFrames(video, options),
                reference(video, options),
                JSON.stringify({ video, options }),
              );
            }
          }
        }
      }
    }
  }
});

test('uniform: equal steps over all frames, as numpy.linspace(0, n - 1, m, dtype=int)', () => {
  const uniform = (count, maxFrames, range) =>
    sampleFrames({ rate: 25, count }, { sampling: 'uniform', maxFrames, ...range });
  assert.deepEqual(uniform(1000, 12), [0, 90, 181, 272, 363, 454, 544, 635, 726, 817, 908, 999]);
  assert.deepEqual(uniform(12, 12), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual(uniform(5, 8), [0, 0, 1, 1, 2, 2, 3, 4]);
  assert.deepEqual(uniform(1000, 3, { start: 2, end: 4 }), [50, 75, 100]);
  assert.deepEqual(uniform(10, 3, { start: 2 }), []);
});

/** What Towhee's operator video-decode yields of so many frames, in the order of its own loop, with NumPy's rounding. */
function towhee(frames, samples) {
  const step = samples > 1 ? (frames - 1) / (samples - 1) : 0;
  const wanted = Array.from({ length: samples }, (_, i) => Math.trunc(i * step));
  if (samples > 1) wanted[samples - 1] = frames - 1;
  const yielded = [];
  for (let frame = 0, next = 0; frame < frames && next < samples; frame++)
    for (; next < samples && wanted[next] <= frame; next++) yielded.push(frame);
  return yielded;
}

test("uniform: as Towhee's decoder takes them, of fewer frames than are wanted too, and one alone", () => {
  assert.deepEqual(towhee(5, 8), [0, 0, 1, 1, 2, 2, 3, 4]);
  for (let count = 1; count <= 200; count++)
    for (let maxFrames = 1; maxFrames <= 64; maxFrames++)
      assert.deepEqual(
        sampleFrames({ rate: 25, count }, { sampling: 'uniform', maxFrames }),
        towhee(count, maxFrames),
        `${maxFrames} of ${count}`,
      );
});

test('other numbers of frames a second', () => {
  const frames = (rate, fps, count, maxFrames = 100) => sampleFrames({ rate, count }, { fps, maxFrames });
  assert.deepEqual(frames(30, 0.5, 300), [0, 60, 120, 180, 240]);
  assert.deepEqual(frames(30, 1.5, 100), [0, 20, 40, 60, 80]);
  assert.deepEqual(frames(5, 100, 12), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual(frames(5, Infinity, 12), frames(5, 5, 12));
  assert.equal(frames(30, 1, 30 * 7200, Infinity).length, 7200);
});

test('moments are within their frames; without a steady rate, at the seconds', () => {
  const steady = sampleMoments({ name: 'x', rate: 30000 / 1001, count: 60, duration: 2.002 }, {});
  assert.deepEqual(
    steady.map(({ time }) => time),
    [0, (29 * 1001) / 30000, (58 * 1001) / 30000],
  );
  for (const { at, time } of steady) assert.ok(at > time + 0.016 && at < time + 0.017);
  const variable = { name: 'x', rate: 0, count: 0, duration: 3.5 };
  assert.deepEqual(
    sampleMoments(variable, {}).map(({ time }) => time),
    [0, 1, 2, 3],
  );
  assert.deepEqual(
    sampleMoments(variable, { start: 0.5, end: 2 }).map(({ time }) => time),
    [0.5, 1.5],
  );
  assert.deepEqual(
    sampleMoments(variable, { sampling: 'uniform', maxFrames: 3 }).map(({ time }) => time),
    [0, 1.749, 3.499],
  );
  assert.deepEqual(
    sampleMoments({ name: 'x', rate: 0.5, count: 2, duration: 4 }, {}).map(({ time }) => time),
    [0, 1, 2, 3],
  );
});

const refuses = (work, ...expected) => fails((async () => work())(), ...expected);

test('nothing to take is an error, never NaN', async () => {
  for (const video of [
    { rate: 0, count: 5, duration: 0 },
    { rate: NaN, count: NaN, duration: NaN },
    { rate: 30, count: 0, duration: 0 },
  ])
    await refuses(() => sampleMoments({ name: 'clip.mp4', ...video }, {}), 'input/decode', /clip\.mp4: has no frames/);
  const short = { name: 'clip.mp4', rate: 30, count: 60, duration: 2 };
  await refuses(() => sampleMoments(short, { start: 5 }), 'input/type', /no frame from 5 s to its end: it lasts 2 s/);
  for (const rate of [0, -1, NaN, 0.5])
    await refuses(() => sampleFrames({ rate, count: 10 }), 'input/decode', /frames a second/);
  await refuses(() => sampleFrames({ rate: 30, count: 10 }, { fps: 0 }), 'input/decode', /0 of 30 frames a second/);
});
