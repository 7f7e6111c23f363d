// A folder of pictures as Parquet, searched by words in DuckDB: npm install halfclip sharp hyparquet-writer @duckdb/node-api
//
//     npx halfclip embed --tower image --out pictures.parquet FOLDER
//     node duckdb.mjs pictures.parquet "two hearts" [--model ViT-B-32 --weights laion2b_s34b_b79k]

import { DuckDBInstance, arrayValue } from '@duckdb/node-api';
import { parseArgs } from 'node:util';
import { loadTextEncoder } from 'halfclip';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { model: { type: 'string', default: 'halfclip-emoji' }, weights: { type: 'string' } },
});
const [parquet, query] = positionals;

const text = await loadTextEncoder(values);
const vector = await text.embed(query);
const list = `FLOAT[${text.info.dim}]`;
text.dispose();

const db = await (await DuckDBInstance.create()).connect();
const found = await db.runAndReadAll(
  `SELECT input, array_cosine_similarity(embedding::${list}, $vector::${list}) AS score
   FROM read_parquet($parquet) ORDER BY score DESC LIMIT 5`,
  { vector: arrayValue([...vector]), parquet },
);
for (const [input, score] of found.getRows()) console.log(`${score.toFixed(4)}  ${input}`);
