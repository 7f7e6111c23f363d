// How far each operation of a tower is from the same one at another dtype, given the same inputs.

import { pausing } from '../base/abort.js';
import { readResult } from '../wasm/interface.js';
import { listOperations } from './profile.js';

/**
 * Both towers compute each input side by side. After every operation the second one's result is compared with the
 * first one's and replaced by it, so that an error is an operation's own, not one that it was handed.
 * @param {import('./loaded-tower.js').LoadedTower} exact
 * @param {import('./loaded-tower.js').LoadedTower} other the same tower at another dtype
 * @param {(Float32Array | Int32Array)[]} inputs as the towers take them
 * @param {{ signal?: AbortSignal }} options
 * @returns {Promise<{ kind: string, name: string, error: number }[]>} in the order of computing; error: the root of the
 *   mean, over the inputs, of |difference|² / |exact|²
 */
export function operationErrors(exact, other, inputs, { signal } = {}) {
  return exact.inTurn(signal, () =>
    other.inTurn(signal, async () => {
      const operations = listOperations(exact);
      const sums = operations.map(() => 0);
      const pause = pausing(signal);
      for (const input of inputs) {
        for (const tower of [exact, other]) tower.begin([input], false, () => 'an input');
        for (let index; (index = step(exact)) >= 0;) {
          step(other);
          sums[index] += compare(resultOf(exact, index), resultOf(other, index));
          await pause();
        }
        while (step(other) >= 0);
      }
      return operations.map(({ kind, name }, i) => ({ kind, name, error: Math.sqrt(sums[i] / inputs.length) }));
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
