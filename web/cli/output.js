// Where vectors go: JSON lines on standard output, or the file of --out in the format that its name says.

import path from 'node:path';

import { checkColumns, fieldsOf } from './fields.js';
import { shortestFloat32, vectorJson } from './float32.js';
import { UsageError } from './options.js';
import { createParquet } from './parquet.js';
import { SafeFile } from './safe-file.js';
import { print } from './terminal.js';

/**
 * @typedef {object} Output
 * @property {(item: import('./inputs.js').Item, vector: Float32Array) => void | Promise<void>} write throws Unfit
 *   (fields.js) if this format has no place for the item
 * @property {(item: import('./inputs.js').Item, error: Error) => void | Promise<void>} [fail] writes what failed in
 *   place of a vector, where the format has a place for it
 * @property {() => void | Promise<void>} commit
 * @property {() => void} discard
 */

/** A line of JSON: the record, and the vector. */
const jsonLine = ({ record }, vector) => {
  const head = JSON.stringify(fieldsOf(record)).slice(0, -1);
  return `${head}${head === '{' ? '' : ','}"embedding":${vectorJson(vector)}}`;
};

/** The same of what failed. */
const failedLine = ({ record, where }, { code = 'input/type', message }) =>
  JSON.stringify({ ...fieldsOf(record), error: { code, message, where } });

const FORMATS = { '.jsonl': createJsonLines, '.npy': createNumpy, '.csv': createCsv, '.parquet': createParquet };

/**
 * @param {string | undefined} out the option --out; '-' is standard output
 * @returns {Promise<(info: { dim: number, tokensOut: number }) => Output>} what makes the output once the tower is
 *   known; the name is checked before
 */
export async function prepareOutput(out) {
  if (out === undefined || out === '-')
    return () => ({
      write: (item, vector) => print(jsonLine(item, vector)),
      fail: (item, error) => print(failedLine(item, error)),
      commit() {},
      discard() {},
    });
  const create = FORMATS[path.extname(out).toLowerCase()];
  if (!create)
    throw new UsageError(`--out is ${out}, expected a name that ends with ${Object.keys(FORMATS).join(', ')}`);
  return create(out);
}

function createJsonLines(out) {
  return () => {
    const file = new SafeFile(out);
    return {
      write: (item, vector) => file.write(`${jsonLine(item, vector)}\n`),
      fail: (item, error) => file.write(`${failedLine(item, error)}\n`),
      commit: () => file.commit(),
      discard: () => file.discard(),
    };
  };
}

const NPY_HEADER = 128; // bytes: room for any number of rows

/** A matrix of NumPy's, and beside it a JSON array of the ids, in the order of its rows. */
function createNumpy(out) {
  return ({ dim, tokensOut }) => {
    const matrix = new SafeFile(out);
    const ids = opening(() => new SafeFile(`${out.slice(0, -'.npy'.length)}.ids.json`), matrix);
    let count = 0;
    matrix.write(npyHeader([0]));
    return {
      write({ id }, vector) {
        matrix.write(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
        ids.write(`${count++ ? ',' : '['}\n${JSON.stringify(id)}`);
      },
      commit() {
        matrix.write(npyHeader(tokensOut > 1 ? [count, tokensOut, dim] : [count, dim]), 0);
        ids.write(count ? '\n]\n' : '[]\n');
        ids.commit();
        matrix.commit();
      },
      discard() {
        matrix.discard();
        ids.discard();
      },
    };
  };
}

/** Opens a second file; without it, the first is not wanted either. */
function opening(open, first) {
  try {
    return open();
  } catch (error) {
    first.discard();
    throw error;
  }
}

function npyHeader(shape) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const bytes = Buffer.alloc(NPY_HEADER, ' ');
  bytes.write('\x93NUMPY\x01\x00', 'latin1');
  bytes.writeUInt16LE(NPY_HEADER - 10, 8);
  bytes.write(text, 10, 'latin1');
  bytes.write('\n', NPY_HEADER - 1);
  return bytes;
}

/** A table of commas (RFC 4180): the fields of the first record, and a column for each number. */
function createCsv(out) {
  return ({ dim, tokensOut }) => {
    const file = new SafeFile(out);
    let columns = null;
    return {
      write({ record }, vector) {
        const fields = fieldsOf(record);
        if (!columns) {
          columns = Object.keys(fields);
          file.write(csvLine([...columns, ...Array.from({ length: dim * tokensOut }, (_, i) => `embedding_${i}`)]));
        }
        checkColumns(fields, columns);
        file.write(csvLine([...columns.map((name) => fields[name]), ...Array.from(vector, shortestFloat32)]));
      },
      commit: () => file.commit(),
      discard: () => file.discard(),
    };
  };
}

function csvLine(cells) {
  const quoted = cells.map((cell) => {
    const text = cell === undefined || cell === null ? '' : typeof cell === 'string' ? cell : JSON.stringify(cell);
    return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${quoted.join(',')}\r\n`;
}
