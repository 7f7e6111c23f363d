// What loadVideoEncoder() gives. This is a module that few pages need: who imports it finds openVideoTower in `imported`.

import { underSignal, untilAborted } from '../base/abort.js';
import { concatenate } from '../base/bytes.js';
import { HalfclipError, describe } from '../base/errors.js';
import {
  EMBED_ALL_OPTIONS,
  EMBED_OPTIONS,
  LOAD_OPTIONS,
  PICTURE_OPTIONS,
  oneOf,
  readOptions,
} from '../base/options.js';
import { imported } from '../base/platform.js';
import { arrayTypeOf, isArray } from '../base/realm.js';
import { embedPicture, embedPixels, embedVideos, preprocessPicture } from '../encoder/calls.js';
import { nameInput } from '../encoder/messages.js';
import { capturePicture } from '../picture/capture.js';
import { TEMPORALS, temporalName } from '../wasm/temporals.js';
import { Gate } from './gate.js';
import { ALL, CALL, IN_ORDER, Tower, listOf } from './tower.js';
import { listFrames, withNeighbours } from './video-frames.js';

// Frames that are under way besides the one that is waited for, so that several are computed at once; and videos.
const FRAMES_AHEAD = 5;
const VIDEOS_AHEAD = 1;

// How many frames a video has at most, unless the caller says: as many as CLIP4Clip was trained with.
const MAX_FRAMES = 12;

// Frames with their neighbours that are sent at once.
const FRAMES_AT_ONCE = 4;

const SECONDS = [(value) => typeof value === 'number' && value >= 0, 'a number of seconds'];

/** Of loadVideoEncoder(), besides those of every tower. */
const VIDEO_OPTIONS = {
  temporal: oneOf(...Object.keys(TEMPORALS)),
  maxFrames: [(value) => value === Infinity || (Number.isInteger(value) && value >= 1), 'a number of frames'],
  fps: [(value) => typeof value === 'number' && value > 0, 'a number of frames a second'],
  sampling: oneOf('clip4clip', 'uniform', 'head', 'tail'),
  mediabunny: [(value) => typeof value?.Input === 'function', 'the module mediabunny'],
};

/** Of embed(). */
const VIDEO_EMBED_OPTIONS = {
  ...EMBED_OPTIONS,
  ...PICTURE_OPTIONS,
  start: SECONDS,
  end: SECONDS,
  onFrame: [(value) => typeof value === 'function', 'a function'],
};

/**
 * @param {import('../index.js').VideoLoadOptions} options
 * @param {(tower: 'video', options: object, temporal: number) => Promise<object>} load makes an encoder, here or in a
 *   worker
 */
imported.openVideoTower = async (options, load) => {
  const known = { ...LOAD_OPTIONS, ...VIDEO_OPTIONS };
  const {
    temporal = 'auto',
    maxFrames: most,
    fps = 1,
    sampling = 'clip4clip',
    mediabunny,
    ...others
  } = readOptions(options, known);
  const encoder = await load('video', others, TEMPORALS[temporal]);
  const { mostFrames } = encoder.info;
  const maxFrames = most ?? Math.min(MAX_FRAMES, mostFrames);
  Object.assign(encoder.info, { temporal: temporalName(encoder.info.temporal), maxFrames, fps, sampling });
  if (maxFrames > mostFrames && maxFrames !== Infinity) {
    encoder.dispose();
    throw new HalfclipError(
      'input/size',
      `option maxFrames is ${maxFrames}, but ${encoder.info.temporal} takes at most ${mostFrames} frames here`,
    );
  }
  const { fetch, retry, limits } = others;
  return new VideoTower(encoder, { fps, maxFrames, sampling, mediabunny, fetch, retry, limits });
};

/** A video tower. Each call takes one video or an array, and gives one vector or an array in the same order. */
class VideoTower extends Tower {
  #gate = new Gate();
  #reading;

  /** @param {object} reading how frames are read, as framesOf() takes it */
  constructor(encoder, reading) {
    super(encoder);
    this.#reading = reading;
  }

  /** Vectors of videos. */
  async embed(videos, given = {}) {
    const { signal, ...options } = readOptions(given, VIDEO_EMBED_OPTIONS);
    const many = isArray(videos);
    const one = (video, i, signal) => this.#embed(video, { ...options, name: nameInput(i, many), number: i, signal });
    if (!many) return underSignal(signal, (signal) => untilAborted(one(videos, 0, signal), signal));
    const vectors = [];
    for await (const vector of this[IN_ORDER](listOf(videos), one, VIDEOS_AHEAD, signal)) vectors.push(vector);
    return vectors;
  }

  /** Vectors of videos as they come, and what is wrong with those that have none. */
  async *embedAll(videos, given = {}) {
    const known = { ...EMBED_ALL_OPTIONS, ...VIDEO_EMBED_OPTIONS };
    const { ahead = VIDEOS_AHEAD, ...others } = readOptions(given, known);
    const embed = (video, index, options) =>
      this.#embed(video, { ...others, ...options, name: nameInput(index, true), number: index }, ahead);
    const { signal, normalize, onProgress } = others;
    yield* this[ALL](videos, embed, { signal, normalize, onProgress, ahead });
  }

  /** Vectors of frames as image towers' preprocess() gives them: Float32Array [frames, 3, H, W], or an array of them. */
  async embedPixels(videos, given = {}) {
    const { signal, ...options } = readOptions(given, EMBED_OPTIONS);
    const many = isArray(videos);
    const one = (video, i, signal) => {
      const name = nameInput(i, many);
      const frames = this.#cut(video, name).map((pixels) => ({ pixels }));
      return this.#pool(this.#vectorsOf(frames, { name, signal }), { ...options, name, signal });
    };
    if (!many) return underSignal(signal, (signal) => untilAborted(one(videos, 0, signal), signal));
    const vectors = [];
    for await (const vector of this[IN_ORDER](listOf(videos), async (...args) => one(...args), 0, signal))
      vectors.push(vector);
    return vectors;
  }

  /** Few videos are decoded at a time, however many calls there are. */
  #embed(video, options, ahead = VIDEOS_AHEAD) {
    return this.#gate.pass(ahead + 1, async () => {
      options.signal.throwIfAborted();
      const { name, signal, start, end } = options;
      const frames = listFrames(video, { ...this.#reading, name, signal, start, end });
      const { seen } = this.info;
      const vectors =
        seen === 1
          ? this.#inOrder(embedPicture, frames, options)
          : this.#vectorsOf(this.#inOrder(preprocessPicture, frames, options), options);
      return this.#pool(vectors, options);
    });
  }

  /** What the encoder makes of each frame: its vector, not normalised, or its pixels. */
  async *#inOrder(call, frames, { name, signal, orientation, maxPixels }) {
    const each = async (frame, i, signal) => {
      const options = { name: `frame ${i} of ${name}`, signal, orientation, maxPixels };
      const picture = await capturePicture(frame, options.name, options);
      const made = await this[CALL](call, picture, { ...options, normalize: false, own: picture !== frame });
      return { [call === embedPicture ? 'vector' : 'pixels']: made, time: frame.time };
    };
    yield* this[IN_ORDER](frames, each, FRAMES_AHEAD, signal);
  }

  /** Vectors of frames that are pixels, in batches. */
  async *#vectorsOf(frames, { name, signal }) {
    const { seen } = this.info;
    let batch = [];
    const embed = async () => {
      const inputs = batch.map(({ pixels }) => pixels);
      const options = { normalize: false, signal, many: true };
      const vectors = await this[CALL](embedPixels, inputs, options).catch((error) => {
        throw error instanceof HalfclipError ? new HalfclipError(error.code, `${name}: ${error.message}`) : error;
      });
      const made = batch.map(({ time }, i) => ({ time, vector: vectors[i] }));
      batch = [];
      return made;
    };
    for await (const frame of seen === 1 ? frames : withNeighbours(frames)) {
      if (batch.push(frame) === FRAMES_AT_ONCE) yield* await embed();
    }
    if (batch.length) yield* await embed();
  }

  /** The vector of a video, of those of its frames. */
  async #pool(frames, { normalize = true, name, number, signal, onFrame }) {
    const vectors = [];
    for await (const { vector, time } of frames) {
      onFrame?.({ video: number, index: vectors.length, time, vector: normalize ? unit(vector) : vector.slice() });
      vectors.push(vector);
    }
    const { mostFrames } = this.info;
    const { length } = vectors;
    if (!length || length > mostFrames)
      throw new HalfclipError('input/size', `${name}: has ${length} frames, expected 1 to ${mostFrames}`);
    const all = concatenate(vectors, Float32Array);
    const [pooled] = await this[CALL](embedVideos, [all], { normalize, name, signal });
    return pooled;
  }

  /** The frames of Float32Array [frames, 3, H, W]. */
  #cut(video, name) {
    const { imageSize } = this.info;
    const [height, width] = [imageSize, imageSize].flat();
    const length = 3 * height * width;
    if (arrayTypeOf(video) !== 'Float32Array' || !video.length || video.length % length) {
      throw new HalfclipError(
        'input/type',
        `${name} is ${describe(video)}, expected Float32Array with ${length} numbers for each frame`,
      );
    }
    return Array.from({ length: video.length / length }, (_, i) => video.slice(i * length, (i + 1) * length));
  }
}

/** The vector of length 1 in the direction of one. */
function unit(vector) {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / (length || 1));
}
