// Which of the known names somebody may have meant.

const LONGEST = 64; // characters of a name that are compared

/**
 * @param {string} name
 * @param {string[]} names
 * @returns {string[]} the nearest three, the nearest one first; case does not count
 */
export function nearestNames(name, names) {
  const lower = name.slice(0, LONGEST).toLowerCase();
  return names
    .map((known) => ({ known, distance: editDistance(lower, known.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ known }) => known);
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
