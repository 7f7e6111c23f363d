// Times VectorIndex: a search of all vectors, beside the time that it takes to read as many bytes from memory (memchr of
// a byte that is not there); loading and saving; the recall of int8.
//
//     node tests/bench/search.mjs [vectors [length]]      default: 1000000 512
//
// Times are of the processor, the best of some runs: other programs make them longer, but less than those of the clock,
// which several threads are measured by.

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { VectorIndex } from '../../dist/vector-index-node.js';

const [count = 1e6, dim = 512] = process.argv.slice(2).map(Number);
const RUNS = 15;
const QUERIES = 100;

const time = () => process.cpuUsage().user / 1e3 + process.cpuUsage().system / 1e3;

async function timed(work) {
  const begin = time();
  await work();
  return time() - begin;
}

async function best(work) {
  const times = [];
  for (let run = 0; run < RUNS; run++) times.push(await timed(work));
  return Math.min(...times);
}

/** Vectors around a few hundred centres, as those of pictures lie. */
function* vectors() {
  let state = 1;
  const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) | 0) >> 8) / 2 ** 23;
  const centres = Array.from({ length: 300 }, () => Float32Array.from({ length: dim }, random));
  for (let i = 0; ; i++) yield centres[i % centres.length].map((x) => x + random());
}

const row = (name, value) => console.log(`${name.padEnd(44)} ${value}`);

const buffer = Buffer.alloc(count * dim, 1);
const read = await best(() => buffer.indexOf(2));
row('reading the bytes', `${read.toFixed(1)} ms`);

const indexes = { int8: new VectorIndex({ dim }), fp32: new VectorIndex({ dim, dtype: 'fp32' }) };
const few = Math.min(count, 100_000); // that fit twice
const source = vectors();
row(
  'adding one, int8',
  `${(
    (1e3 *
      (await timed(() => {
        for (let i = 0; i < count; i++) {
          const { value } = source.next();
          indexes.int8.add(i, value);
          if (i < few) indexes.fp32.add(i, value);
        }
      }))) /
    count
  ).toFixed(1)} µs, making it and fp32's share included`,
);
const query = source.next().value;
for (const [dtype, index] of Object.entries(indexes)) {
  const bytes = { int8: 1, fp32: 4 }[dtype] * index.size * dim;
  const search = await best(() => index.search(query, { limit: 20 }));
  const ratio = search / (read * (bytes / buffer.length));
  row(
    `${index.size} vectors of ${dim}, ${dtype}, ${index.kernels}`,
    `${search.toFixed(1)} ms, ${ratio.toFixed(2)} × reading`,
  );
}

for (const threads of [1, 'auto']) {
  const index = new VectorIndex({ dim, threads });
  index.merge(indexes.fp32);
  await setTimeout(500); // threads start
  const times = Array.from({ length: 5 * RUNS }, () => {
    const begin = performance.now();
    index.search(query, { limit: 20 });
    return performance.now() - begin;
  });
  row(
    `${few} of them by ${index.threads} thread${index.threads > 1 ? 's' : ''}, int8`,
    `${Math.min(...times).toFixed(2)} ms by the clock`,
  );
}

const fewer = Math.min(count, 20_000); // pairs take the square of it
for (const threads of [1, 'auto']) {
  const index = new VectorIndex({ dim, threads });
  for (const id of indexes.fp32.ids()) if (id < fewer) index.add(id, indexes.fp32.get(id).vector);
  await setTimeout(500);
  const begin = performance.now();
  const spent = await timed(() => index.duplicates({ above: 0.97 }));
  row(
    `duplicates of ${fewer} by ${index.threads} thread${index.threads > 1 ? 's' : ''}, int8`,
    `${(performance.now() - begin).toFixed(0)} ms by the clock, ${spent.toFixed(0)} of the processor`,
  );
}

let kept = 0;
for (let n = 0; n < QUERIES; n++) {
  const { value } = source.next();
  const right = new Set(indexes.fp32.search(value).map(({ id }) => id));
  kept += indexes.int8.search(value, { filter: (id) => id < few }).filter(({ id }) => right.has(id)).length;
}
row(`of fp32's 10 nearest of ${few}, int8 keeps`, (kept / 10 / QUERIES).toFixed(3));

const file = path.join(tmpdir(), `halfclip-bench-${process.pid}.index`);
try {
  row('saving', `${(await timed(() => indexes.int8.save(file))).toFixed(0)} ms`);
  indexes.int8.add('one more', source.next().value);
  row('saving one more', `${(await timed(() => indexes.int8.save(file))).toFixed(0)} ms`);
  row('loading', `${(await timed(() => VectorIndex.load(file))).toFixed(0)} ms`);
} finally {
  rmSync(file, { force: true });
}
