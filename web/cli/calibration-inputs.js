// What a tower is calibrated with: pictures or films of a folder, the lines of a file, or made-up ones; and which of
// them only measure.

import { HalfclipError } from '../base/errors.js';
import { preprocessPicture, tokenize } from '../encoder/calls.js';
import { capturePicture } from '../picture/capture.js';
import { withNeighbours } from '../towers/video-frames.js';
import { framesOf } from '../video/frames.js';
import { readInputs } from './inputs.js';
import { OptionError, readTexts } from './options.js';
import { countPictures, isFileOf, isFolder } from './pictures.js';
import { syntheticPicture, syntheticText } from './synthetic-inputs.js';

/** How many there are at most. More take longer, and gain nothing that could be measured. */
export const MOST = 160;

const MADE_UP = 96;
const FRAMES = 12; // of a film
const MEASURED = 32; // at most
const FEW = 8; // of fewer, all calibrate and all measure

/** So many of a list, from its first to its last, evenly. */
const spread = (list, count) =>
  count >= list.length ? list : Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)]);

/** @typedef {Float32Array | Int32Array | Float32Array[]} Input a picture, a text, or the frames of a film */

/**
 * @param {string | undefined} place as --calibrate gives it; without, inputs are made up
 * @param {import('../encoder/encoder.js').Encoder} encoder what they are prepared with
 * @param {AbortSignal} signal
 * @returns {Promise<{ calibrate: Input[], measure: Input[] }>}
 */
export async function readCalibrationInputs(place, encoder, signal) {
  const { tower } = encoder.info;
  const inputs =
    place === undefined
      ? await makeUp(encoder, signal)
      : tower === 'text'
        ? await textsOf(place, encoder, signal)
        : tower === 'video'
          ? await filmsOf(place, encoder, signal)
          : await picturesOf(place, encoder, signal);
  return inputs.length < FEW ? { calibrate: inputs, measure: inputs } : part(inputs);
}

/** Of every five one measures, and as many as that at most. */
function part(inputs) {
  const kept = spread(inputs, Math.min(MEASURED, Math.ceil(inputs.length / 5)));
  return { calibrate: inputs.filter((input) => !kept.includes(input)), measure: kept };
}

async function filesOf(place, tower) {
  const { items } = await readInputs([place], { tower });
  const all = [];
  for await (const item of items) {
    if (item.error) throw item.error;
    all.push(item);
  }
  return all;
}

async function prepare(source, name, encoder, signal) {
  signal.throwIfAborted();
  const captured = await capturePicture(source, name);
  return encoder.call(preprocessPicture, captured, { name, signal, own: captured !== source });
}

async function picturesOf(place, encoder, signal) {
  const inputs = [];
  for (const { id, source } of spread(await filesOf(place, 'image'), MOST))
    inputs.push(await prepare(source, String(id), encoder, signal));
  return inputs;
}

/** Films as lists of frames; where there are none but pictures, each is a film of one frame. */
async function filmsOf(place, encoder, signal) {
  const { mostFrames } = encoder.info;
  const maxFrames = Math.min(FRAMES, mostFrames);
  const isOfFilms = (await isFolder(place)) ? await countPictures(place, 'video') : await isFileOf(place, 'video');
  if (!isOfFilms) {
    const pictures = await picturesOf(place, encoder, signal);
    return Promise.all(pictures.map((pixels) => asFilm([pixels], encoder)));
  }
  const films = [];
  for (const { id, source } of spread(await filesOf(place, 'video'), Math.ceil(MOST / FRAMES)))
    films.push(await framesAsTaken(source, encoder, { name: String(id), maxFrames, signal }));
  return films;
}

/**
 * The frames of a film as a video tower takes them.
 * @param {unknown} source
 * @param {import('../encoder/encoder.js').Encoder} encoder
 * @param {{ name: string, signal: AbortSignal }} options of framesOf()
 */
export async function framesAsTaken(source, encoder, options) {
  const frames = [];
  for await (const frame of framesOf(source, options))
    frames.push(await prepare(frame, options.name, encoder, options.signal));
  return asFilm(frames, encoder);
}

/** Frames as the tower takes them: alone, or each between its neighbours. */
async function asFilm(frames, { info }) {
  if (info.seen === 1) return frames;
  const film = [];
  for await (const { pixels } of withNeighbours(frames.map((pixels) => ({ pixels })))) film.push(pixels);
  return film;
}

async function textsOf(place, encoder, signal) {
  const lines = await readTexts('calibrate', place);
  if (!lines.length) throw new OptionError('calibrate', place, 'holds no texts, expected one a line');
  return encoder.call(tokenize, spread(lines, MOST * 4), { signal });
}

async function makeUp(encoder, signal) {
  const { info } = encoder;
  const numbers = Array.from({ length: MADE_UP }, (_, i) => i + 1);
  if (info.tower !== 'text') {
    const side = Math.max(...[info.imageSize].flat());
    const inputs = [];
    for (const seed of numbers)
      inputs.push(await prepare(syntheticPicture(seed, side), `made-up picture ${seed}`, encoder, signal));
    if (info.tower === 'image') return inputs;
    const length = Math.min(FRAMES, info.mostFrames);
    const begins = numbers.map((_, i) => i).filter((i) => i % length === 0);
    return Promise.all(begins.map((i) => asFilm(inputs.slice(i, i + length), encoder)));
  }
  // Of any text the tokenizer tells how this vocabulary lays texts out.
  let layout;
  try {
    [layout] = await encoder.call(tokenize, [''], { signal });
  } catch (error) {
    throw new HalfclipError(error.code ?? 'input/type', `without --calibrate texts are made up: ${error.message}`, {
      cause: error,
    });
  }
  const { contextLength, vocabSize } = info;
  const options = { contextLength, vocabSize, start: layout[0], end: layout[1], pad: layout[contextLength - 1] };
  return numbers.flatMap((seed) => [2 * seed, 2 * seed + 1].map((each) => syntheticText(each, options)));
}
