// A tower as a shard of 4 bits, or of 4 and 8: rounded for given inputs, and measured on others, as it was written.

import { concatenate } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { loadEncoder } from '../encoder/load-encoder.js';
import { embedVideos } from '../encoder/videos.js';
import { findVocabulary } from '../encoder/write-shard.js';
import { describeWeights } from '../sources/open.js';
import { bitsAWeight, fitBits, leastCount, orderByLoss } from './bits.js';
import { Calibration, findModule } from './calibration.js';
import { readCalibrationInputs } from './calibration-inputs.js';

const SAMPLES = 8; // inputs that a tensor's own loss is measured with: enough for an order
const STEP = 1 / 32; // of all tensors: how many more get 8 bits at a time, where too few had

/**
 * Cosines of vectors of length 1 to others.
 * @returns {{ mean: number, error: number, least: number }} error: the standard error of the mean
 */
export function cosines(vectors, expected) {
  const all = vectors.map((vector, i) => vector.reduce((sum, x, j) => sum + x * expected[i][j], 0));
  const mean = all.reduce((sum, x) => sum + x, 0) / all.length;
  const squares = all.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / Math.max(1, all.length - 1) / all.length), least: Math.min(...all) };
}

/** The vectors of inputs as a tower takes them; a video is a list of frames. */
async function vectorsOf(tower, inputs, signal) {
  if (tower.info.tower !== 'video') return tower.embedAll(inputs, { signal });
  const vectors = [];
  for (const frames of inputs) {
    const seen = await tower.embedAll(frames, { normalize: false, signal });
    vectors.push(...(await embedVideos(tower, [concatenate(seen, Float32Array)], { name: 'a film', signal })));
  }
  return vectors;
}

/** Whether other inputs will most likely have such a mean, too: few that measure must show more. */
const reaches = ({ mean, error }, atLeast) => mean - error >= atLeast;

/** One way of a tower to its shard; everything that it needs at once. */
class Run {
  /**
   * @param {object} source as loadEncoder takes it, without dtype
   * @param {object} options of calibrate()
   */
  constructor(source, options) {
    this.source = source;
    this.options = options;
  }

  /** Loads the tower at fp32, in place of the one before. */
  async load() {
    const { signal, onProgress } = this.options;
    this.dispose();
    this.encoder = await loadEncoder({ ...this.source, dtype: 'fp32', wasm: findModule() }, { signal, onProgress });
    this.options.vocabulary = await findVocabulary(this.encoder, this.options.vocabulary, signal);
  }

  dispose() {
    this.encoder?.dispose();
    this.encoder = null;
  }

  async readInputs() {
    const { signal } = this.options;
    const { calibrate, measure } = await readCalibrationInputs(this.options.inputs, this.encoder, signal);
    this.inputs = calibrate;
    this.measured = measure;
    this.expected = await vectorsOf(this.encoder.tower, measure, signal);
  }

  /** Rounds the tower, with these of its tensors at 8 bits. */
  async round(eights) {
    const { signal, tell } = this.options;
    this.calibration = new Calibration(this.encoder.tower);
    for (const { index } of eights) this.calibration.choose(index, 8);
    await this.calibration.round(this.inputs, {
      signal,
      tell: (done, of) => tell(`rounding: ${done} of ${of} operations`),
    });
  }

  /** Holds the first tensors of an order at 8 bits, the others at 4. */
  hold(order, eights) {
    const held = new Map(this.calibration.tensors.map(({ index, bits }) => [index, bits]));
    order.forEach(({ index }, i) => {
      const bits = i < eights ? 8 : 4;
      if (held.get(index) !== bits) this.calibration.choose(index, bits);
    });
  }

  /** How close the first `count` inputs that measure are, or all of them. */
  async measure(count = this.measured.length) {
    const vectors = await vectorsOf(this.encoder.tower, this.measured.slice(0, count), this.options.signal);
    return cosines(vectors, this.expected);
  }

  /** What the vectors lose when only one tensor has 4 bits, for each of them. */
  async measureLosses() {
    const { tensors } = this.calibration;
    this.hold(tensors, tensors.length);
    const { mean } = await this.measure(SAMPLES);
    const measured = [];
    for (const tensor of tensors) {
      this.options.tell(`measuring: ${measured.length} of ${tensors.length} tensors`);
      this.calibration.choose(tensor.index, 4);
      const lost = mean - (await this.measure(SAMPLES)).mean;
      this.calibration.choose(tensor.index, 8);
      measured.push({ ...tensor, loss: Math.max(0, lost) });
    }
    return measured;
  }

  /** As few of an order at 8 bits as reach a mean cosine. */
  countEights(order, atLeast) {
    return leastCount(0, order.length, async (count) => {
      this.options.tell(`choosing: ${count} of ${order.length} tensors at 8 bits`);
      this.hold(order, count);
      return reaches(await this.measure(), atLeast);
    });
  }

  /** Writes the shard, and measures it as everyone will load it. */
  async writeAndMeasure() {
    const { write, vocabulary, signal } = this.options;
    const path = await write((piece) => this.calibration.write(piece, vocabulary));
    const { tower, threads } = this.source;
    const shard = { tower, model: null, config: null, weights: describeWeights(path), dtype: 'auto', threads };
    const encoder = await loadEncoder(shard, { signal });
    try {
      const vectors = await vectorsOf(encoder.tower, this.measured, signal);
      return { info: encoder.info, cosine: cosines(vectors, this.expected) };
    } finally {
      encoder.dispose();
    }
  }
}

/**
 * @param {object} source as loadEncoder takes it, without dtype
 * @param {object} options
 * @param {string} [options.inputs] a folder of pictures, of films, or a file of texts; without, they are made up
 * @param {number} [options.atLeast] the mean cosine to reach
 * @param {number} [options.bits] a weight, at most; without either, all tensors get 4 bits
 * @param {Uint8Array} [options.vocabulary] see writeShard
 * @param {(produce: (write: (piece: Uint8Array) => void) => Promise<void>) => Promise<string>} options.write writes a
 *   file of what `produce` gives, in place of one that it has written before, and says where it is
 * @param {(info: object) => void} options.check throws if the tower is not one for the other options
 * @param {AbortSignal} options.signal
 * @param {(text: string) => void} options.tell shows how far it is
 * @param {Function} [options.onProgress] of loads
 * @returns {Promise<{ info: object, report: object }>} info: of the shard as it is loaded
 */
export async function calibrate(source, options) {
  const { atLeast, bits } = options;
  const run = new Run(source, options);
  try {
    await run.load();
    options.check(run.encoder.info);
    await run.readInputs();
    await run.round([]);
    let order = run.calibration.tensors;
    let eights = 0;
    if (atLeast !== undefined || bits !== undefined) {
      order = orderByLoss(await run.measureLosses());
      if (bits === undefined) eights = await run.countEights(order, atLeast);
      else ({ order, eights } = fitBits(order, bits));
      // Once more, as matrices need not make up for those before them that have 8 bits.
      if (eights) {
        await run.load();
        await run.round(order.slice(0, eights));
      }
    }
    for (;;) {
      const { info, cosine } = await run.writeAndMeasure();
      if (atLeast === undefined || reaches(cosine, atLeast)) {
        return { info, report: describe(run, order, eights, cosine) };
      }
      if (eights === order.length)
        throw new HalfclipError(
          'input/type',
          `option at-least is ${atLeast}, but with all tensors at 8 bits the mean cosine is ${cosine.mean.toFixed(6)} (standard error ${cosine.error.toFixed(6)})`,
        );
      eights = Math.min(order.length, eights + Math.ceil(STEP * order.length));
      run.hold(order, eights);
    }
  } finally {
    run.dispose();
  }
}

function describe({ inputs, measured, options }, order, eights, cosine) {
  const tensors = order.map(({ name, weights, bytes4, bytes8, loss }, i) => ({
    name,
    bits: i < eights ? 8 : 4,
    weights,
    bytes: i < eights ? bytes8 : bytes4,
    ...(loss !== undefined && { loss }),
  }));
  return {
    inputs: inputs.length,
    measured: measured.length,
    madeUp: options.inputs === undefined,
    bitsAWeight: bitsAWeight(order, eights),
    cosine,
    tensors,
  };
}
