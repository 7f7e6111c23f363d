// Tables for people.

/**
 * The lines of a table.
 * @param {string[][]} rows
 * @param {number} [left] how many columns begin at their left; numbers, on the right, end at theirs
 */
export function columns(rows, left = Infinity) {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const pad = (cell, i) => (i < left ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  return rows.map((row) => `  ${row.map(pad).join('  ')}`.trimEnd());
}
