// Vectors as Parquet, by the optional package hyparquet-writer.

import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { Unfit, checkColumns, fieldsOf } from './fields.js';
import { OptionError } from './options.js';
import { SafeFile } from './safe-file.js';

const PACKAGE = 'hyparquet-writer'; // a constant, so that it is not built in
const NUMBERS = 1 << 20; // in a group of rows, which is held in memory

const TYPES = {
  string: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  number: { type: 'DOUBLE' },
  boolean: { type: 'BOOLEAN' },
  object: { type: 'BYTE_ARRAY', converted_type: 'JSON' },
};

/** @see prepareOutput */
export async function createParquet(out) {
  const { ParquetWriter, fileWriter } = await load(out);
  return ({ dim, tokensOut }) => {
    const file = new SafeFile(out);
    const width = dim * tokensOut;
    const group = Math.max(1, Math.floor(NUMBERS / width));
    let columns = null;
    let writer;
    let rows = [];

    const start = (fields) => {
      columns = Object.fromEntries(
        Object.entries(fields).map(([name, value]) => [name, value === null ? 'string' : typeof value]),
      );
      const schema = [
        { name: 'root', num_children: Object.keys(columns).length + 1 },
        ...Object.entries(columns).map(([name, type]) => ({ name, repetition_type: 'OPTIONAL', ...TYPES[type] })),
        { name: 'embedding', repetition_type: 'REQUIRED', converted_type: 'LIST', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', repetition_type: 'REQUIRED', type: 'FLOAT' },
      ];
      writer = new ParquetWriter({ writer: fileWriter(file.temporary), schema, createdBy: 'halfclip' });
    };
    const flush = () => {
      if (!rows.length) return;
      const data = (name) => rows.map(({ fields }) => fields[name] ?? null);
      const columnData = Object.keys(columns).map((name) => ({ name, data: data(name) }));
      columnData.push({ name: 'embedding', data: rows.map(({ vector }) => Array.from(vector)), encoding: 'PLAIN' });
      writer.write({ columnData, rowGroupSize: rows.length });
      rows = [];
    };
    return {
      write({ record }, vector) {
        const fields = fieldsOf(record);
        if (!columns) start(fields);
        checkColumns(fields, Object.keys(columns));
        for (const [name, value] of Object.entries(fields)) {
          if (value !== null && typeof value !== columns[name])
            throw new Unfit(`its ${JSON.stringify(name)} is a ${typeof value}, the first one's was a ${columns[name]}`);
        }
        rows.push({ fields, vector });
        if (rows.length === group) flush();
      },
      commit() {
        if (!columns) start({ input: '' });
        flush();
        writer.finish();
        file.commit();
      },
      discard: () => file.discard(),
    };
  };
}

/** The package, from beside this one or from where the program runs. */
async function load(out) {
  try {
    return await import(PACKAGE);
  } catch (error) {
    try {
      return await import(pathToFileURL(createRequire(path.resolve('index.js')).resolve(PACKAGE)));
    } catch {
      if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
      throw new OptionError('out', out, `writing Parquet needs the package ${PACKAGE}: npm install ${PACKAGE}`);
    }
  }
}
