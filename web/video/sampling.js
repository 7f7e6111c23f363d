// Which frames of a video a tower looks at: CLIP4Clip's way (dataloaders/rawvideo_util.py and
// dataloader_msrvtt_retrieval.py of ArrowLuo/CLIP4Clip, after Luo et al., https://arxiv.org/abs/2104.08860), and the
// uniform one of Towhee's operators.
//
// Frames have numbers from 0. Where they come at no steady rate, the numbers are those of milliseconds, a thousand a
// second, and the frame is the one that is shown then.

import { HalfclipError, describe } from '../base/errors.js';

export const SAMPLINGS = ['clip4clip', 'uniform', 'head', 'tail'];

/**
 * The numbers of the frames that are looked at, in order.
 * @param {{ rate: number, count: number }} video frames a second, and frames in all
 * @param {{ fps?: number, maxFrames?: number, sampling?: string, start?: number, end?: number }} [options] start and
 *   end in seconds, of which both are in
 * @returns {number[]} as many as `maxFrames` at most. 'uniform' gives just as many, and repeats some where there are not
 *   so many
 */
export function sampleFrames({ rate, count }, { fps = 1, maxFrames = 12, sampling = 'clip4clip', start, end } = {}) {
  if (!(rate >= 1 && fps > 0))
    throw new HalfclipError(
      'input/decode',
      `${fps} of ${rate} frames a second cannot be taken, expected more than 0 of at least 1`,
    );
  if (sampling === 'uniform') {
    const first = Math.ceil((start ?? 0) * rate - SLACK);
    const last = Math.min(count - 1, Math.floor((end ?? Infinity) * rate + SLACK));
    const found = Math.max(0, last - first + 1);
    const wanted = found && Number.isFinite(maxFrames) ? maxFrames : found;
    return linspace(found, wanted).map((frame) => first + frame);
  }
  const frames = framesBySecond(rate, count, { fps, start, end });
  if (frames.length <= maxFrames) return frames;
  if (sampling === 'head') return frames.slice(0, maxFrames);
  if (sampling === 'tail') return frames.slice(-maxFrames);
  return Array.from({ length: maxFrames }, (_, i) => frames[spread(i, frames.length, maxFrames)]);
}

const SLACK = 1e-6; // frames: of a product of seconds and a rate

/** The place of the i-th of m, in equal steps of n: one alone is the last. */
const spread = (i, n, m) => (i === m - 1 ? n - 1 : Math.floor((i * (n - 1)) / (m - 1)));

/** numpy.linspace(0, n - 1, m).astype('int'), whose product of a rounded step may be one less; one alone is the first. */
function linspace(n, m) {
  const step = (n - 1) / (m - 1);
  return Array.from({ length: m }, (_, i) => (i && i === m - 1 ? n - 1 : Math.floor(i && i * step)));
}

/**
 * `fps` frames of each second, of which the rate is rounded down. A whole number of them begins anew with each second,
 * as in CLIP4Clip; other numbers do not.
 */
function framesBySecond(rate, count, { fps, start = 0, end = Infinity }) {
  const base = Math.floor(rate);
  const last = Math.min(end, Math.ceil(count / base));
  const anew = Number.isInteger(fps) || fps > base;
  const [step, offsets] = anew ? [1, offsetsIn(base, fps)] : [1 / fps, [0]];
  const frames = [];
  for (let i = 0; start + i * step <= last; i++) {
    for (const offset of offsets) {
      const frame = Math.floor((start + i * step) * base + SLACK) + offset;
      if (frame >= count) return frames;
      frames.push(frame);
    }
  }
  return frames;
}

function offsetsIn(base, fps) {
  const step = Math.max(1, Math.floor(base / fps));
  return Array.from({ length: Math.min(fps, Math.ceil(base / step)) }, (_, i) => i * step);
}

/** How a video without a steady rate is numbered. */
const MILLISECONDS = 1000;

/**
 * What is looked at of a video: moments between the beginning of a frame and its end, so that rounded time stamps do no
 * harm.
 * @param {import('./frames.js').Video} video
 * @param {object} options of sampleFrames
 * @returns {{ at: number, time: number }[]} in seconds from the first frame: the moment, and when the frame begins
 */
export function sampleMoments({ name, rate, count, duration }, options) {
  const steady = rate >= 1;
  const numbered = steady ? { rate, count } : { rate: MILLISECONDS, count: Math.ceil(duration * MILLISECONDS) };
  const frames = count === 1 ? oneFrame(options) : sampleFrames(numbered, options);
  if (!frames.length) throw nothingThere(name, duration, options);
  return frames.map((n) => ({ at: (n + 0.5) / numbered.rate, time: n / numbered.rate }));
}

/** A picture lasts as long as one looks at it, whatever its rate. */
const oneFrame = ({ start = 0, sampling, maxFrames = 12 }) =>
  start > 0 ? [] : Array(sampling === 'uniform' && Number.isFinite(maxFrames) ? maxFrames : 1).fill(0);

function nothingThere(name, duration, { start, end }) {
  if (start === undefined && end === undefined) return new HalfclipError('input/decode', `${name}: has no frames`);
  return new HalfclipError(
    'input/type',
    `${name}: has no frame from ${start ?? 0} s to ${end ?? 'its end'}: it lasts ${Number(duration.toFixed(3))} s`,
  );
}

const isTime = (value) => typeof value === 'number' && value >= 0;

/**
 * Options of a call, checked.
 * @param {{ start?: number, end?: number }} options
 */
export function checkRange({ start, end }) {
  for (const [key, value] of Object.entries({ start, end }))
    if (value !== undefined && !isTime(value))
      throw new HalfclipError('input/type', `option ${key} is ${describe(value)}, expected a number of seconds`);
  if (end < start)
    throw new HalfclipError('input/type', `option end is ${end}, expected at least the ${start} of option start`);
}
