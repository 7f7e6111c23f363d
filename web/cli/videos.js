// What the command line says of videos, and the frames of a film that are kept beside its vector.

import { framesOf } from '../video/frames.js';
import { oneOf, positive } from './options.js';

const STRING = { type: 'string' };

export const VIDEO_OPTIONS = { temporal: STRING, 'max-frames': STRING, fps: STRING, sampling: STRING };

export const VIDEO_HELP = `  Of videos (ffmpeg and ffprobe have to be on the PATH):
  --temporal auto|meanP|seqTransf|seqLSTM
                                         the similarity head (default: auto, what the file holds)
  --max-frames N, --fps N                how many frames are looked at: one a second, twelve at most
  --sampling clip4clip|uniform|head|tail which of them if there are more
`;

/** How loadVideoEncoder() takes them. */
export function videoOptions({ temporal, 'max-frames': maxFrames, fps, sampling }) {
  const given = {
    temporal: oneOf('temporal', temporal, 'auto', 'meanP', 'seqTransf', 'seqLSTM'),
    maxFrames: positive('max-frames', maxFrames),
    fps: positive('fps', fps),
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
   * @param {{ signal: AbortSignal }} options
   */
  async *embedAll(sources, { signal }) {
    let index = 0;
    for await (const source of sources) {
      const outcome = { index: index++, source };
      try {
        const seen = [];
        const vector = await this.#encoder.embed(source, { signal, onFrame: (frame) => seen.push(frame) });
        Object.assign(outcome, {
          vector,
          frames: this.#every === undefined ? seen : await this.#moments(source, signal),
        });
      } catch (error) {
        if (signal.aborted || !/^(input|http)\//.test(error.code)) throw error;
        outcome.error = error;
      }
      yield outcome;
    }
  }

  dispose() {
    this.#encoder.dispose();
  }

  async #moments(source, signal) {
    const frames = [];
    const onFrame = ({ time, vector }) => frames.push({ time, vector });
    const options = { name: String(source), fps: 1 / this.#every, maxFrames: Infinity, signal };
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
