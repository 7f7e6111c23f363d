// How far two lists of vectors of the same inputs agree: cosines, and which neighbours are the same.

const NEIGHBOURS = [1, 10];

/**
 * @param {Float32Array[]} exact of length 1, two or more
 * @param {Float32Array[]} others of the same inputs
 * @returns {{ mean: number, least: number, recall: Record<1 | 10, number | null> }} mean and least cosine; recall at k:
 *   the mean share of an input's k nearest others by `exact` that are among its k nearest others by `others` too, null
 *   where there are no more than k. Of others that are as near, the first in the list is the nearer one.
 */
export function compare(exact, others) {
  const cosines = exact.map((vector, i) => dot(vector, others[i]));
  const recall = {};
  const most = NEIGHBOURS.filter((k) => k < exact.length - 1).at(-1);
  const [before, after] = most ? [nearest(exact, most), nearest(others, most)] : [];
  for (const k of NEIGHBOURS) recall[k] = k <= most ? meanOf(before.map((list, i) => shared(list, after[i], k))) : null;
  // Math.min() takes as many arguments as fit the stack; NaN stays, as it does there.
  return { mean: meanOf(cosines), least: cosines.reduce((a, b) => Math.min(a, b)), recall };
}

const meanOf = (numbers) => numbers.reduce((a, b) => a + b) / numbers.length;

const shared = (a, b, k) => a.slice(0, k).filter((index) => b.indexOf(index) >= 0 && b.indexOf(index) < k).length / k;

/** Of each vector, the indices of the `count` others that are nearest, best first. */
function nearest(vectors, count) {
  return vectors.map((vector, i) => {
    const best = [];
    for (let j = 0; j < vectors.length; j++) {
      if (j === i) continue;
      const score = dot(vector, vectors[j]);
      if (best.length === count && !(score > best[count - 1].score)) continue;
      let at = best.length;
      while (at && score > best[at - 1].score) at--;
      best.splice(at, 0, { index: j, score });
      best.length = Math.min(best.length, count);
    }
    return best.map(({ index }) => index);
  });
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
