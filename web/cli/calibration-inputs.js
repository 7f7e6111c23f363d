// What a tower is calibrated with: pictures of a folder, the lines of a file, or made-up ones; and which of them only
// measure.

import { HalfclipError } from '../base/errors.js';
import { preprocessPicture, tokenize } from '../encoder/calls.js';
import { capturePicture } from '../picture/capture.js';
import { readInputs } from './inputs.js';
import { OptionError, readTexts } from './options.js';
import { syntheticPicture, syntheticText } from './synthetic-inputs.js';

/** How many there are at most. More take longer, and gain nothing that could be measured. */
export const MOST = 160;

const MADE_UP = 96;
const MEASURED = 32; // at most
const FEW = 8; // of fewer, all calibrate and all measure

/** So many of a list, from its first to its last, evenly. */
const spread = (list, count) =>
  count >= list.length ? list : Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)]);

/**
 * @param {string | undefined} place as --calibrate gives it; without, inputs are made up
 * @param {import('../encoder/encoder.js').Encoder} encoder what they are prepared with
 * @param {AbortSignal} signal
 * @returns {Promise<{ calibrate: (Float32Array | Int32Array)[], measure: (Float32Array | Int32Array)[] }>}
 */
export async function readCalibrationInputs(place, encoder, signal) {
  const { tower } = encoder.info;
  const inputs =
    place === undefined
      ? await makeUp(encoder, signal)
      : tower === 'text'
        ? await textsOf(place, encoder, signal)
        : await picturesOf(place, encoder, signal);
  return inputs.length < FEW ? { calibrate: inputs, measure: inputs } : part(inputs);
}

/** Of every five one measures, and as many as that at most. */
function part(inputs) {
  const kept = spread(inputs, Math.min(MEASURED, Math.ceil(inputs.length / 5)));
  return { calibrate: inputs.filter((input) => !kept.includes(input)), measure: kept };
}

async function picturesOf(place, encoder, signal) {
  const { items } = await readInputs([place], { tower: 'image' });
  const all = [];
  for await (const item of items) {
    if (item.error) throw item.error;
    all.push(item);
  }
  const inputs = [];
  for (const { id, source } of spread(all, MOST)) {
    signal.throwIfAborted();
    const name = String(id);
    const captured = await capturePicture(source, name);
    inputs.push(await encoder.call(preprocessPicture, captured, { name, signal, own: true }));
  }
  return inputs;
}

async function textsOf(place, encoder, signal) {
  const lines = await readTexts('calibrate', place);
  if (!lines.length) throw new OptionError('calibrate', place, 'holds no texts, expected one a line');
  return encoder.call(tokenize, spread(lines, MOST * 4), { signal });
}

async function makeUp(encoder, signal) {
  const { info } = encoder;
  const numbers = Array.from({ length: MADE_UP }, (_, i) => i + 1);
  if (info.tower === 'image') {
    const side = Math.max(...[info.imageSize].flat());
    const inputs = [];
    for (const seed of numbers) {
      const picture = await capturePicture(syntheticPicture(seed, side), `made-up picture ${seed}`);
      inputs.push(await encoder.call(preprocessPicture, picture, { name: `made-up picture ${seed}`, signal }));
    }
    return inputs;
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
