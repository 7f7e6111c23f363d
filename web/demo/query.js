// Words minus words: `a beach -people -"a red boat"` is looked for as its first part, away from the others.

/** How much of what is not wanted is taken away: with 1, what is left is often nothing in particular. */
const LESS = 0.5;

/**
 * @param {string} text
 * @returns {{ wanted: string, unwanted: string[] }}
 */
export function parseQuery(text) {
  const unwanted = [];
  const wanted = text.replace(/(^|\s)[-−](?:"([^"]+)"?|(\S+))/g, (_, space, quoted, word) => {
    unwanted.push((quoted ?? word).trim());
    return space;
  });
  return { wanted: wanted.replace(/\s+/g, ' ').trim(), unwanted: unwanted.filter(Boolean) };
}

/**
 * One vector for all that is looked for, and away from what is not.
 * @param {Float32Array[]} wanted
 * @param {Float32Array[]} unwanted
 */
export function combine(wanted, unwanted) {
  const sum = new Float32Array((wanted[0] ?? unwanted[0]).length);
  const add = (vector, weight) => vector.forEach((value, i) => (sum[i] += weight * value));
  for (const vector of wanted) add(vector, 1);
  for (const vector of unwanted) add(vector, -LESS);
  return sum;
}
