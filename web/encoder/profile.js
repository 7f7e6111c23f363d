// How long each operation of a tower takes.

import { pausing } from '../base/abort.js';
import { readOperation } from '../wasm/interface.js';
import { withFrames } from './videos.js';

const WARM = 3; // runs until engines have compiled what is called often

// Frames of a video, where there may be more than CLIP4Clip has positions for.
const FRAMES = 12;
const POSITIONS = 77;

/**
 * Embeds one input of full length, operation by operation; of a video tower a frame, and what is made of the vectors of
 * several.
 * @param {import('./loaded-tower.js').LoadedTower} tower
 * @param {{ runs?: number, seconds?: number, signal?: AbortSignal }} options runs: how many are timed; without, as many
 *   as take `seconds`, and three at least
 * @returns {Promise<{ runs: number, frames?: number, operations: object[] }>} frames: of a video, whose vectors there
 *   are; operations: as readOperation() gives them, with the median of their milliseconds
 */
export function profileTower(tower, { runs, seconds = 2, signal }) {
  return tower.inTurn(signal, async () => {
    const operations = listOperations(tower);
    const times = operations.map(() => []);
    const input = madeUpInput(tower);
    const frames = madeUpFrames(tower.info);
    const pause = pausing(signal);
    for (let i = 0; i < WARM; i++) await runOnce(tower, { input, frames }, pause, () => {});
    const end = performance.now() + seconds * 1000;
    const isEnough = (done) => (runs === undefined ? done >= 3 && performance.now() > end : done >= runs);
    let done = 0;
    for (; !isEnough(done); done++) {
      await runOnce(tower, { input, frames }, pause, (index, milliseconds) => times[index].push(milliseconds));
    }
    const timed = operations.map((each, i) => ({ ...each, milliseconds: median(times[i]) }));
    if (!frames) return { runs: done, operations: timed };
    const count = frames.length / tower.info.dim;
    return { runs: done, frames: count, operations: timed.map((each) => ofFrames(each, tower.info, count)) };
  });
}

/** The operations that a tower is, in the order of computing, as readOperation() gives them. */
export function listOperations(tower) {
  const operations = [];
  for (let one; (one = readOperation(tower.wasm(), tower.encoder, operations.length));) operations.push(one);
  return operations;
}

async function runOnce(tower, { input, frames }, pause, tell) {
  tower.begin([input], true, () => 'the input');
  const run = () => runOperations(tower, pause, tell);
  await run();
  if (frames) await withFrames(tower, frames, { normalize: true, name: 'the frames' }, run);
}

async function runOperations(tower, pause, tell) {
  for (;;) {
    await pause();
    const { exports } = tower.wasm(); // it may have been released meanwhile
    const start = performance.now();
    const index = exports.hc_embed_operation(tower.encoder);
    if (index < 0) return;
    tell(index, performance.now() - start);
  }
}

/** A picture of all values, or a text that goes on until its last token, which ends it in every family's way. */
function madeUpInput({ info, textCfg, inputLength }) {
  if (info.tower !== 'text') return Float32Array.from({ length: inputLength }, (_, i) => Math.sin(i));
  const middle = info.vocabSize >> 1;
  const ids = Int32Array.from({ length: inputLength }, (_, i) => Math.min(middle + (i % 100), info.vocabSize - 1));
  ids[inputLength - 1] = textCfg.eos_id ?? info.vocabSize - 1;
  return ids;
}

/** Vectors of frames, of a video tower; as many as it takes, or a dozen. */
function madeUpFrames({ tower, dim, mostFrames }) {
  if (tower !== 'video') return null;
  return Float32Array.from({ length: dim * (mostFrames <= POSITIONS ? mostFrames : FRAMES) }, (_, i) => Math.sin(i));
}

/** An operation, with so many rows where it is of as many frames as there may be. */
function ofFrames({ rows, multiplications, ...others }, { mostFrames }, count) {
  if (rows !== mostFrames) return { rows, multiplications, ...others };
  return { ...others, rows: count, multiplications: (multiplications / rows) * count };
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
