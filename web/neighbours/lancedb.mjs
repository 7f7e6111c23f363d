// A folder of pictures in a LanceDB table, searched by words: npm install halfclip sharp @lancedb/lancedb
//
//     node lancedb.mjs FOLDER "two hearts" [--model ViT-B-32 --weights laion2b_s34b_b79k] [--database pictures.lance]

import * as lancedb from '@lancedb/lancedb';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadImageEncoder, loadTextEncoder } from 'halfclip';

const ROWS = 256; // added at once

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'halfclip-emoji' },
    weights: { type: 'string' },
    database: { type: 'string', default: 'pictures.lance' },
  },
});
const [folder, query] = positionals;
const { model, weights, database } = values;

const names = (await readdir(folder, { recursive: true })).filter((name) =>
  /\.(jpe?g|png|gif|bmp|webp|avif)$/i.test(name),
);
const db = await lancedb.connect(database);
const image = await loadImageEncoder({ model, weights });
let table = null;
let rows = [];

async function flush() {
  if (!rows.length) return;
  if (table) await table.add(rows);
  else table = await db.createTable('pictures', rows, { mode: 'overwrite' });
  rows = [];
}

for await (const { index, vector, error } of image.embedAll(names.map((name) => path.join(folder, name)))) {
  if (error) console.warn(error.message);
  else if (rows.push({ name: names[index], vector: Array.from(vector) }) === ROWS) await flush();
}
await flush();
image.dispose();

const text = await loadTextEncoder({ model, weights });
const vector = await text.embed(query);
text.dispose();

const found = (await table?.search(vector).distanceType('cosine').limit(5).toArray()) ?? [];
for (const { name, _distance } of found) console.log(`${(1 - _distance).toFixed(4)}  ${name}`);
