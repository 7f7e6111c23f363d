// halfclip's side of coverage.py: loads a tower, embeds what the reference embedded, and prints one line of JSON.
//
//     node weights-tools/coverage.mjs FOLDER
//
// FOLDER holds about.json { tower, model, count, threads, dtype }, weights.safetensors, inputs.bin (F32 pixels or I32 tokens) and
// expected.bin (F32, the vectors of the reference, not normalised). Printed: how far the vectors at that dtype lie from those,
// the bytes of the shards at int8 and int4, and the milliseconds of an embedding at int8 on one thread.

import { readFileSync } from 'node:fs';
import path from 'node:path';

import { loadEncoder } from '../web/encoder/load-encoder.js';
import { writeShard } from '../web/encoder/write-shard.js';
import { cosineSimilarity } from '../web/node/index.js';
import { describeWeights } from '../web/sources/open.js';

const RUNS = 4;
const LONGEST = 10_000; // ms
const folder = process.argv[2];
const {
  tower,
  model,
  count,
  threads,
  dtype: exact,
} = JSON.parse(readFileSync(path.join(folder, 'about.json'), 'utf8'));
const bytesOf = (name) => Uint8Array.from(readFileSync(path.join(folder, name))).buffer;
const inputs = split(
  tower === 'image' ? new Float32Array(bytesOf('inputs.bin')) : new Int32Array(bytesOf('inputs.bin')),
);
const expected = split(new Float32Array(bytesOf('expected.bin')));

function split(numbers) {
  const n = numbers.length / count;
  return Array.from({ length: count }, (_, i) => numbers.subarray(i * n, (i + 1) * n));
}

const load = (dtype, threads) =>
  loadEncoder(
    {
      tower,
      model: null,
      config: JSON.stringify(model),
      weights: describeWeights(path.join(folder, 'weights.safetensors')),
      dtype,
      threads,
      families: 'all',
    },
    {},
  );

const embed = (encoder, items) =>
  tower === 'image'
    ? encoder.pictures.embedPixels(items, { normalize: false })
    : encoder.texts.embedTokens(items, { normalize: false });

const distance = (a, b) => Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0));
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

async function shardBytes(encoder) {
  let bytes = 0;
  await writeShard(encoder.tower, (piece) => (bytes += piece.length));
  return bytes;
}

const found = {};
{
  const encoder = await load(exact, threads);
  const vectors = await embed(encoder, inputs);
  const apart = expected.flatMap((a, i) => expected.slice(0, i).map((b) => distance(a, b)));
  found.dim = encoder.info.dim;
  found.parameters = encoder.info.parameters;
  found.cosine = Math.min(...vectors.map((vector, i) => cosineSimilarity(vector, expected[i])));
  found.distance = Math.max(...vectors.map((vector, i) => distance(vector, expected[i]))) / median(apart);
  encoder.dispose();
}
for (const dtype of ['int8', 'int4']) {
  const encoder = await load(dtype, 1);
  found[dtype] = await shardBytes(encoder);
  if (dtype === 'int8') {
    const times = [];
    const begin = performance.now();
    do {
      const start = performance.now();
      await embed(encoder, [inputs[0]]);
      times.push(performance.now() - start);
    } while (times.length < RUNS && performance.now() - begin < LONGEST);
    found.milliseconds = Math.min(...times);
  }
  encoder.dispose();
}
console.log(JSON.stringify(found));
process.exit(0); // threads may still be waiting
