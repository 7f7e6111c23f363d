// How far each operation of a tower is from the same one at another dtype, given the same inputs.

import { pausing } from '../base/abort.js';
import { readResult } from '../wasm/interface.js';
import { listOperations } from './profile.js';
import { withFrames } from './videos.js';

/**
 * Both towers compute each input side by side. After every operation the second one's result is compared with the
 * first one's and replaced by it, so that an error is an operation's own, not one that it was handed.
 * @param {import('./loaded-tower.js').LoadedTower} exact
 * @param {import('./loaded-tower.js').LoadedTower} other the same tower at another dtype
 * @param {(Float32Array | Int32Array | Float32Array[])[]} inputs as the towers take them; a video is a list of frames
 * @param {{ signal?: AbortSignal }} options
 * @returns {Promise<{ kind: string, name: string, error: number }[]>} in the order of computing; error: the root of the
 *   mean, over the inputs (or their frames), of |difference|² / |exact|²
 */
export function operationErrors(exact, other, inputs, { signal } = {}) {
  return exact.inTurn(signal, () =>
    other.inTurn(signal, async () => {
      const operations = listOperations(exact);
      const sums = operations.map(() => 0);
      const counts = operations.map(() => 0);
      const pause = pausing(signal);
      const pass = async () => {
        for (let index; (index = step(exact)) >= 0;) {
          step(other);
          sums[index] += compare(resultOf(exact, index), resultOf(other, index));
          counts[index]++;
          await pause();
        }
        while (step(other) >= 0);
      };
      for (const input of inputs) {
        const vectors = [];
        for (const one of Array.isArray(input) ? input : [input]) {
          for (const tower of [exact, other]) tower.begin([one], false, () => 'an input');
          await pass();
          vectors.push(...exact.wasm().floats(exact.output, exact.info.dim));
        }
        if (!Array.isArray(input)) continue;
        const frames = Float32Array.from(vectors);
        const options = { normalize: false, name: 'an input', signal };
        await withFrames(exact, frames, options, () => withFrames(other, frames, options, pass));
      }
      return operations.map(({ kind, name }, i) => ({ kind, name, error: Math.sqrt(sums[i] / (counts[i] || 1)) }));
    }),
  );
}

const step = (tower) => tower.wasm().exports.hc_embed_operation(tower.encoder);
const resultOf = (tower, index) => readResult(tower.wasm(), tower.encoder, index);

/** |a - b|² / |a|²; then b is a. */
function compare(a, b) {
  let difference = 0;
  let size = 0;
  a.forEach((row, r) => {
    for (let i = 0; i < row.length; i++) {
      difference += (row[i] - b[r][i]) ** 2;
      size += row[i] ** 2;
    }
    b[r].set(row);
  });
  return size ? difference / size : 0;
}
