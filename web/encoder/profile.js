// How long each operation of a tower takes.

import { pausing } from '../base/abort.js';
import { readOperation } from '../wasm/interface.js';

const WARM = 3; // runs until engines have compiled what is called often

/**
 * Embeds one input of full length, operation by operation.
 * @param {import('./loaded-tower.js').LoadedTower} tower
 * @param {{ runs?: number, seconds?: number, signal?: AbortSignal }} options runs: how many are timed; without, as many
 *   as take `seconds`, and three at least
 * @returns {Promise<{ runs: number, operations: object[] }>} operations: as readOperation() gives them, with the median
 *   of their milliseconds
 */
export function profileTower(tower, { runs, seconds = 2, signal }) {
  return tower.inTurn(signal, async () => {
    const operations = listOperations(tower);
    const times = operations.map(() => []);
    const input = madeUpInput(tower);
    const pause = pausing(signal);
    for (let i = 0; i < WARM; i++) await runOnce(tower, input, pause, () => {});
    const end = performance.now() + seconds * 1000;
    const isEnough = (done) => (runs === undefined ? done >= 3 && performance.now() > end : done >= runs);
    let done = 0;
    for (; !isEnough(done); done++) {
      await runOnce(tower, input, pause, (index, milliseconds) => times[index].push(milliseconds));
    }
    // Of a video tower a frame is run, and not what is made of the frames' vectors.
    const timed = operations.filter((_, i) => times[i].length);
    return { runs: done, operations: timed.map((each, i) => ({ ...each, milliseconds: median(times[i]) })) };
  });
}

/** The operations that a tower is, in the order of computing, as readOperation() gives them. */
export function listOperations(tower) {
  const operations = [];
  for (let one; (one = readOperation(tower.wasm(), tower.encoder, operations.length));) operations.push(one);
  return operations;
}

async function runOnce(tower, input, pause, tell) {
  const { exports } = tower.begin([input], true, () => 'the input');
  for (;;) {
    await pause();
    tower.wasm(); // it may have been released meanwhile
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

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
