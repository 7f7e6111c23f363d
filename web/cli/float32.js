// Numbers of 32 bits as text.

/** The shortest decimal number that reads back to the same number of 32 bits. */
export function shortestFloat32(x) {
  let best = null;
  for (let digits = 8; digits > 0; digits--) {
    const found = withDigits(x, digits);
    if (found === null) break;
    best = found;
  }
  if (Object.is(best, -0)) return '-0';
  return String(best ?? Number(x.toPrecision(9))); // nine digits always do
}

/** A number of so many digits that reads back to x, or null. */
function withDigits(x, digits) {
  const nearest = Number(x.toPrecision(digits));
  if (Math.fround(nearest) === x) return nearest;
  if (Math.log2(Math.abs(x)) % 1 !== 0) return null;
  // Below a power of two, numbers lie twice as close as above it: the next decimal number may do where the nearest does
  // not.
  const [mantissa, exponent] = x.toExponential(digits - 1).split('e');
  const next = Number(`${(Number(mantissa) + Math.sign(x) * 10 ** (1 - digits)).toFixed(digits - 1)}e${exponent}`);
  return Math.fround(next) === x ? next : null;
}

/** A vector as a JSON array. */
export const vectorJson = (vector) => `[${Array.from(vector, shortestFloat32).join(',')}]`;
