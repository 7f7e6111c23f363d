// Files of an index that somebody made up, with right checksums where those help: each ends in an index that can be used
// or in a HalfclipError, soon and with little memory. HALFCLIP_SECONDS says for how long, HALFCLIP_SEED where to begin: a
// failure names the seed of its run, with which HALFCLIP_SECONDS=0 repeats it alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HalfclipError, VectorIndex } from '../../dist/vector-index-node.js';
import { writeAbout, writeAgain, writeHeader } from '../../web/search/layout.js';
import { hashBytes } from '../../web/search/xxh32.js';
import { generator } from './hostile-server.mjs';

const SECONDS = Number(process.env.HALFCLIP_SECONDS ?? 5);
const SEED = Number(process.env.HALFCLIP_SEED ?? 1);
const FEWEST = 300; // runs
const LONGEST = 5000; // milliseconds of one run, on a machine that has other things to do
const MOST_MEMORY = 200e6; // bytes, of files of no more than a few kB

const CODES = /^(weights\/(format|truncated|corrupt)|memory\/exhausted|input\/type)$/;
const ODD = [0, -1, 1.5, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53, -(2 ** 31), NaN, null, '1', [], {}];
const LINES = [
  '1',
  '"a"',
  '"b"\t{"x":[1]}',
  '-1\tnull',
  '',
  '\t',
  '"a',
  '1.5',
  'null',
  '{}',
  '"ü"\t2',
  '1e300',
  '"c"\t{',
  '[1]\t3',
];

const bytesOf = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

/** An index of a few parts, in which some things are odd. */
function makeUp({ random: below, pick, often }) {
  const odd = (value) => (often(40) ? pick(ODD) : value);
  const [dtype, dim] = [pick(['int8', 'fp32']), 1 + below(20)];
  const size = dtype === 'int8' ? 1 : 4;
  const bodies = [];
  const parts = [];
  let [at, rows] = [0, 0];
  for (let k = 0; k < 1 + below(3); k++) {
    const count = below(6);
    const lines = Array.from({ length: count }, () => Buffer.from(often(3) ? pick(LINES) : `"${below(1000)}"`));
    const ends = new Int32Array(count);
    let bytes = 0;
    lines.forEach((line, i) => (ends[i] = bytes += line.length));
    const scales = Float32Array.from({ length: count }, () =>
      often(20) ? pick([NaN, 0, -1, Infinity, 1e-45]) : 1 / 64,
    );
    const vectors = Buffer.from(Array.from({ length: count * dim * size }, () => (often(200) ? 0x80 : below(120))));
    const checks = Int32Array.from(lines, (line, i) =>
      hashBytes(
        Buffer.concat([bytesOf(scales.slice(i, i + 1)), vectors.subarray(i * dim * size, (i + 1) * dim * size)]),
        hashBytes(line),
      ),
    );
    if (often(10) && count) ends[below(count)] = pick([-1, 2 ** 31 - 1, 0, 7]);
    const removed = Buffer.from(
      often(8)
        ? pick(['[-1]', '[1e9]', '{}', '[', '[0.5]', '["0"]', '[0,0,0]'])
        : JSON.stringify(rows ? [below(rows)] : []),
    );
    const places = Int32Array.from({ length: count }, () =>
      often(20) ? pick([-1, 2 ** 31 - 1, 1000]) : often(3) ? below(rows + 1) : rows++,
    );
    const tables = [ends, scales, checks].map(bytesOf);
    const body = Buffer.concat([...(k ? [removed, bytesOf(places)] : []), ...tables, ...lines, vectors]);
    if (!k) rows = count;
    parts.push([odd(at), odd(count), odd(bytes), odd(removed.length), often(20) ? 1 : hashBytes(removed)]);
    // Between two parts there is a place for what the header said.
    const again = Buffer.alloc(24);
    bodies.push(body, again);
    at += body.length + again.length;
  }
  bodies.pop();
  const [[, count, entries], ...more] = parts;
  const about = { dtype, dim: odd(dim), count, entries, revision: 'r', metadata: odd({}) };
  if (more.length) Object.assign(about, { rows: odd(rows), more: odd(more) });
  return { about, body: Buffer.concat(bodies) };
}

function write({ about, body }, { random: below, often }) {
  const text = writeAbout(about);
  let header;
  try {
    header = writeHeader(about, text, () => 8 * below(3));
  } catch {
    return null; // what is so odd that it cannot be written
  }
  let bytes = Buffer.concat([header, body, writeAgain(text)]);
  if (often(5)) bytes = bytes.subarray(0, below(bytes.length));
  if (often(5)) for (let n = below(4); n-- && bytes.length;) bytes[below(bytes.length)] = below(256);
  return bytes;
}

async function use(bytes, { often, pick }) {
  const source = often(5) ? new Blob([bytes]).stream() : bytes;
  const index = await VectorIndex.load(source, { salvage: !often(3), kernels: pick(['simd128', 'scalar']) });
  const query = Float32Array.from({ length: index.dim }, (_, i) => i + 1);
  const steps = [
    () => index.search(query, { limit: 100 }),
    () => index.duplicates({ above: 0.5 }),
    () => [...index.ids()],
    () => index.has('a'),
    () => index.get('b'),
    () => index.replace('a', query, { data: 1 }),
    () => index.remove('b'),
    async () => {
      const { size } = await VectorIndex.load(await index.save());
      assert.equal(size, index.size);
    },
  ];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      check(error); // of entries that are none
    }
  }
  assert.ok(index.size <= 1000);
  return 'loaded';
}

function check(error) {
  assert.ok(error instanceof HalfclipError, error?.stack ?? String(error));
  assert.match(error.code, CODES, error.stack);
  return error.code;
}

test('made-up files of an index', { timeout: 1000 * SECONDS + 120_000 }, async () => {
  const end = performance.now() + 1000 * SECONDS;
  const outcomes = {};
  const before = process.memoryUsage().rss;
  for (let seed = SEED; ; seed++) {
    const random = generator(seed);
    random.often = (n) => random.random(n) === 0; // one in so many times
    const begin = performance.now();
    try {
      const bytes = write(makeUp(random), random);
      const outcome = bytes ? await use(bytes, random).catch(check) : 'not written';
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      assert.ok(performance.now() - begin < LONGEST);
      if (seed % 50 === 0) assert.ok(process.memoryUsage().rss - before < MOST_MEMORY);
    } catch (error) {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
    if (!SECONDS || (performance.now() > end && seed - SEED >= FEWEST)) break;
  }
  if (SECONDS)
    for (const outcome of ['loaded', 'weights/corrupt', 'weights/format', 'weights/truncated'])
      assert.ok(outcomes[outcome], JSON.stringify(outcomes));
});
