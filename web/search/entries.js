// What an index knows of its rows besides their vectors: ids, and data. A row's line is what a file has for it; it is
// read when somebody asks.

import { HalfclipError } from '../base/errors.js';

/** What may name a vector. */
export const isId = (id) => typeof id === 'string' || Number.isSafeInteger(id);

export class Entries {
  #lines = []; // by row: the id as JSON, and where there are data a tab and these as JSON; undefined: no such row
  #rows = null; // by id, once anybody has asked for one

  /** Rows that there are. */
  size = 0;

  /** The row of an id; undefined if there is none. */
  find(id) {
    return this.#byId().get(id);
  }

  #byId() {
    if (this.#rows) return this.#rows;
    const rows = new Map();
    for (const row of this.rows()) {
      const id = this.id(row);
      if (rows.has(id)) throw corrupt(`holds ${JSON.stringify(id)} twice`);
      rows.set(id, row);
    }
    return (this.#rows = rows);
  }

  /** Says what a row is. */
  put(row, id, data) {
    this.#byId().set(id, row);
    this.putLine(row, JSON.stringify(id) + (data === undefined ? '' : `\t${data}`));
  }

  /** The same from a file, before anybody has asked for an id. */
  putLine(row, line) {
    if (this.#lines[row] === undefined) this.size++;
    this.#lines[row] = line;
  }

  remove(row) {
    if (this.#lines[row] === undefined) return;
    this.#rows?.delete(this.id(row));
    this.#lines[row] = undefined;
    this.size--;
  }

  has = (row) => this.#lines[row] !== undefined;

  line = (row) => this.#lines[row];

  id(row) {
    const line = this.#lines[row];
    const tab = line.indexOf('\t');
    const id = parse(tab < 0 ? line : line.slice(0, tab), 'an id');
    if (!isId(id)) throw corrupt(`has ${line} as an id`);
    return id;
  }

  /** The data of a row as JSON; undefined if it has none. */
  dataText(row) {
    const line = this.#lines[row];
    const tab = line.indexOf('\t');
    return tab < 0 ? undefined : line.slice(tab + 1);
  }

  /** { data }, or {} where a row has none. */
  data(row) {
    const text = this.dataText(row);
    return text === undefined ? {} : { data: parse(text, 'data') };
  }

  /** The rows that there are, in their order. */
  *rows() {
    for (let row = 0; row < this.#lines.length; row++) if (this.#lines[row] !== undefined) yield row;
  }

  /** Numbers the rows anew, without gaps. */
  compact() {
    this.#lines = this.#lines.filter((line) => line !== undefined);
    this.#rows = null;
  }
}

const corrupt = (problem) => new HalfclipError('weights/corrupt', `the index ${problem}`);

function parse(text, name) {
  try {
    return JSON.parse(text);
  } catch {
    throw corrupt(`has ${name} that are no JSON`);
  }
}
