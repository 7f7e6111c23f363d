// Vectors of which tests know every number.

/**
 * @param {number} count
 * @param {number} dim
 * @param {number} seed
 * @param {number} [levels] different sizes that a number may have
 * @returns {Float32Array[]} none of them all zeros
 */
export function randomVectors(count, dim, seed, levels = 1000) {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
  return Array.from({ length: count }, () =>
    Float32Array.from({ length: dim }, () => {
      const x = Math.round(levels * (2 * random() - 1)) / levels;
      return x || 1 / levels;
    }),
  );
}
