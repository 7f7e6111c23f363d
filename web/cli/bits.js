// Which tensors of a tower are held at 8 bits and which at 4, by what each loses at 4.

/**
 * @typedef {object} Tensor one that is rounded, as Calibration has it
 * @property {number} index
 * @property {number} weights
 * @property {number} bytes4 that it takes at 4 bits, scales included
 * @property {number} bytes8 the same at 8
 * @property {number} loss of the tower's vectors (1 - mean cosine), when of all tensors only this one has 4 bits
 */

/**
 * The order in which tensors are to be held at 8 bits: first those that lose most for each byte that it costs.
 * @template {Tensor} T
 * @param {T[]} tensors
 * @returns {T[]}
 */
export function orderByLoss(tensors) {
  const worth = ({ loss, bytes4, bytes8 }) => loss / (bytes8 - bytes4);
  return [...tensors].sort((a, b) => worth(b) - worth(a) || a.index - b.index);
}

/**
 * Bits a weight, scales included, with the first `eights` of an order at 8 bits and the others at 4.
 * @param {Tensor[]} order
 * @param {number} eights
 */
export function bitsAWeight(order, eights) {
  const bytes = order.reduce((sum, { bytes4, bytes8 }, i) => sum + (i < eights ? bytes8 : bytes4), 0);
  return (8 * bytes) / order.reduce((sum, { weights }) => sum + weights, 0);
}

/**
 * The tensors of an order that fit at 8 bits, the first ones first: one that is too large for what is left lets
 * smaller ones behind it go before it.
 * @template {Tensor} T
 * @param {T[]} order
 * @param {number} bits a weight at most
 * @returns {{ order: T[], eights: number }} those that fit first
 */
export function fitBits(order, bits) {
  const weights = order.reduce((sum, tensor) => sum + tensor.weights, 0);
  let left = (bits * weights) / 8 - order.reduce((sum, { bytes4 }) => sum + bytes4, 0);
  const fits = order.filter(({ bytes4, bytes8 }) => {
    if (bytes8 - bytes4 > left) return false;
    left -= bytes8 - bytes4;
    return true;
  });
  return { order: [...fits, ...order.filter((tensor) => !fits.includes(tensor))], eights: fits.length };
}

/**
 * The least number from `low` to `high` for which `isEnough` holds, if it holds for all above it; `high` if for none.
 * @param {number} low
 * @param {number} high
 * @param {(count: number) => Promise<boolean>} isEnough
 */
export async function leastCount(low, high, isEnough) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (await isEnough(middle)) high = middle;
    else low = middle + 1;
  }
  return high;
}
