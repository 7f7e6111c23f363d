// An index as it was when a save began, which goes on while the index changes.

export class Snapshot {
  #rows;
  #entries;
  #kept = new Map(); // rows as they were that have changed since

  /**
   * @param {import('./rows.js').Rows} rows
   * @param {import('./entries.js').Entries} entries
   */
  constructor(rows, entries) {
    this.#rows = rows;
    this.#entries = entries;
    /** Rows that there were, those that were dropped too. */
    this.count = rows.count;
  }

  /** To be called before a row changes. */
  keep(row) {
    if (row >= this.count || this.#kept.has(row)) return;
    const { values, scale } = this.held(row);
    this.#kept.set(row, { line: this.#entries.line(row), values: values.slice(), scale });
  }

  /** What Entries had for a row; undefined: there was none. */
  line = (row) => (this.#kept.has(row) ? this.#kept.get(row).line : this.#entries.line(row));

  /** What was held of a row: { values, scale }. */
  held = (row) => this.#kept.get(row) ?? { values: this.#rows.values(row), scale: this.#rows.scale(row) };

  /** The numbers of all rows that there were. */
  all() {
    const rows = [];
    for (let row = 0; row < this.count; row++) if (this.line(row) !== undefined) rows.push(row);
    return rows;
  }

  /** Some of the rows, as write-index.js takes them. */
  part(rows) {
    return {
      dtype: this.#rows.dtype,
      dim: this.#rows.dim,
      rows,
      count: this.count,
      lines: rows.map(this.line),
      row: (i) => this.held(rows[i]),
      hash: (held, seed) => this.#rows.hash(held, seed),
    };
  }
}
