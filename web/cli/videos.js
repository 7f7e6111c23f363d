// What the command line says of videos, and the frames of a film that are kept beside its vector.

import { isFatal } from '../base/errors.js';
import { framesOf } from '../video/frames.js';
import { UsageError, countOf, isBetween, numberOf, oneOf, positiveOf } from './options.js';

const STRING = { type: 'string' };

export const VIDEO_OPTIONS = {
  temporal: STRING,
  'max-frames': STRING,
  fps: STRING,
  sampling: STRING,
  start: STRING,
  end: STRING,
};

export const VIDEO_HELP = `  Of videos (ffmpeg and ffprobe have to be on the PATH):
  --temporal auto|meanP|seqTransf|seqLSTM
                                         the similarity head (default: auto, what the file holds)
  --max-frames N, --fps N                how many frames are looked at: one a second, twelve at most
  --sampling clip4clip|uniform|head|tail which of them if there are more
  --start SECONDS, --end SECONDS         the part of each that is looked at, from its first frame; both ends are in
`;

/** What is said of videos, where there are none, would be without effect. */
export function checkVideoOptions(values, tower) {
  const name = Object.keys(VIDEO_OPTIONS).find((name) => values[name] !== undefined);
  if (name && tower !== 'video') throw new UsageError(`--${name} is of videos: expected --tower video with it`);
}

/** The part of each video, as embed() takes it. */
export function rangeOptions({ start, end }) {
  const range = {};
  for (const [name, text] of Object.entries({ start, end }).filter(([, text]) => text !== undefined))
    range[name] = numberOf(name, text, 'seconds, 0 or more', isBetween(0, Infinity));
  if (range.end < range.start) throw new UsageError(`--end is ${end}, expected at least the ${start} of --start`);
  return range;
}

/** How loadVideoEncoder() takes them. */
export function videoOptions({ temporal, 'max-frames': maxFrames, fps, sampling }) {
  const given = {
    temporal: oneOf('temporal', temporal, 'auto', 'meanP', 'seqTransf', 'seqLSTM'),
    maxFrames: countOf('max-frames', maxFrames),
    fps: positiveOf('fps', fps),
    sampling: oneOf('sampling', sampling, 'clip4clip', 'uniform', 'head', 'tail'),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Seconds as a player shows them: 1:02:03. */
export function clock(time) {
  const whole = Math.floor(time);
  const [hours, minutes, seconds] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

// Frames that go through the tower together, of those that are looked at for themselves alone.
const FRAMES = 48;

/** A video encoder that also gives the vectors of frames: those that it looks at, or one for each moment. */
export class FilmEncoder {
  #encoder;
  #every;

  /**
   * @param {object} encoder from loadVideoEncoder()
   * @param {number} [every] seconds from moment to moment
   */
  constructor(encoder, every) {
    this.#encoder = encoder;
    this.#every = every;
  }

  /**
   * As embedAll() of encoders; outcomes also have `frames`, { time, vector } of each.
   * @param {AsyncIterable<unknown>} sources
   * @param {{ signal: AbortSignal, start?: number, end?: number }} options
   */
  async *embedAll(sources, options) {
    const seen = new Map(); // of each film that is under way
    const onFrame = ({ video, time, vector }) => seen.set(video, [...(seen.get(video) ?? []), { time, vector }]);
    for await (const outcome of this.#encoder.embedAll(sources, { ...options, onFrame })) {
      const { index, error } = outcome;
      const frames = seen.get(index);
      seen.delete(index);
      if (error || this.#every === undefined) yield { ...outcome, frames };
      else yield await this.#withMoments(outcome, options);
    }
  }

  async #withMoments(outcome, options) {
    try {
      return { ...outcome, frames: await this.#moments(outcome.source, options) };
    } catch (error) {
      if (isFatal(error)) throw error;
      return { index: outcome.index, source: outcome.source, error };
    }
  }

  dispose() {
    this.#encoder.dispose();
  }

  async #moments(source, { signal, start, end }) {
    const frames = [];
    const onFrame = ({ time, vector }) => frames.push({ time, vector });
    const name = typeof source === 'string' ? source : 'a film';
    const options = { name, fps: 1 / this.#every, maxFrames: Infinity, start, end, signal };
    let some = [];
    const embed = async () => {
      if (some.length) await this.#encoder.embed({ frames: some }, { signal, onFrame });
      some = [];
    };
    for await (const frame of framesOf(source, options)) if (some.push(frame) === FRAMES) await embed();
    await embed();
    return frames;
  }
}
