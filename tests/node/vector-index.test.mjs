// VectorIndex: what it finds, against a sort of everything that there is, by each of the kernels; and careless calls.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

import { HalfclipError as OfPackage } from '../../dist/node.js';
import { HalfclipError, VectorIndex } from '../../dist/vector-index-node.js';
import { fails } from './fails.mjs';
import { randomVectors } from './vectors.mjs';

/** Which kernels this engine has. */
const KERNELS = ['relaxed', 'simd128', 'scalar'].filter((kernels) => {
  try {
    return Boolean(new VectorIndex({ dim: 4, kernels }));
  } catch (error) {
    assert.ok(kernels === 'relaxed' && error instanceof WebAssembly.CompileError);
    return false;
  }
});

const fill = (options, vectors) => {
  const index = new VectorIndex(options);
  vectors.forEach((vector, i) => index.add(i, vector));
  return index;
};

const unit = (vector) => {
  const length = Math.hypot(...vector);
  return vector.map((x) => x / length);
};

/** From -127 to 127, and a scale that makes the length of them 1. */
const rounded = (vector) => {
  const most = Math.max(...vector.map(Math.abs));
  const levels = vector.map((x) => Math.sign(x) * Math.round(Math.abs(x * (127 / most))));
  const scale = Math.fround(1 / Math.sqrt(levels.reduce((sum, x) => sum + x * x, 0)));
  return { levels, scale };
};

/** All of a list by a score, best first; of equal ones that which comes first. */
const ranked = (scores) =>
  [...scores.entries()].map(([id, score]) => ({ id, score })).sort((a, b) => b.score - a.score || a.id - b.id);

const scoresInt8 = (query, vectors) => {
  const q = rounded(Array.from(query));
  return vectors.map((vector) => {
    const { levels, scale } = rounded(Array.from(vector));
    return Math.fround(levels.reduce((sum, x, i) => sum + x * q.levels[i], 0) * scale * q.scale);
  });
};

for (const kernels of KERNELS) {
  test(`int8, ${kernels}: the order of exact integers, ties in the order of adding`, () => {
    for (const [dim, count] of [
      [1, 3],
      [16, 100],
      [37, 257],
      [512, 600],
    ]) {
      const vectors = randomVectors(count, dim, dim, dim === 16 ? 1 : 1000); // of few values: many are equal
      const index = fill({ dim, kernels }, vectors);
      assert.equal(index.kernels, kernels);
      for (const query of [vectors[0], randomVectors(1, dim, 7)[0]]) {
        const expected = ranked(scoresInt8(query, vectors));
        for (const limit of [1, 10, count, Infinity])
          assert.deepEqual(index.search(query, { limit }), expected.slice(0, limit), `${dim}, ${limit}`);
      }
    }
  });

  test(`fp32, ${kernels}: cosines, and the same bits as the other kernels`, () => {
    const dim = 100;
    const vectors = randomVectors(300, dim, 3);
    const query = randomVectors(1, dim, 9)[0];
    const index = fill({ dim, dtype: 'fp32', kernels }, vectors);
    const found = index.search(query, { limit: 300 });
    const exact = vectors.map((vector) => unit(Array.from(vector)).reduce((s, x, i) => s + x * unit([...query])[i], 0));
    for (const { id, score } of found) assert.ok(Math.abs(score - exact[id]) < 1e-6, `${score}, ${exact[id]}`);
    assert.deepEqual(found, fill({ dim, dtype: 'fp32', kernels: 'scalar' }, vectors).search(query, { limit: 300 }));
    assert.ok(index.search(vectors[5], { limit: 1 })[0].score > 0.999999);
  });

  test(`${kernels}: duplicates`, () => {
    const dim = 24;
    const vectors = randomVectors(200, dim, 5);
    for (const i of [3, 50, 199]) vectors[i] = vectors[20].map((x, k) => x + (k === i % dim ? 0.05 : 0));
    const index = fill({ dim, kernels }, vectors);
    index.remove(50);
    const all = [];
    for (let i = 0; i < vectors.length; i++)
      scoresInt8(vectors[i], vectors.slice(0, i)).forEach((score, j) => all.push({ ids: [j, i], score }));
    const order = (a, b) => b.score - a.score || a.ids[0] - b.ids[0] || a.ids[1] - b.ids[1];
    const expected = (above) => all.filter(({ ids, score }) => score >= above && !ids.includes(50)).sort(order);
    const { score } = expected(0.2).at(-1);
    for (const above of [0.9, 0.2, -1, score, score + 1e-12])
      assert.deepEqual(index.duplicates({ above }), expected(above));
    assert.deepEqual(
      index
        .duplicates({ above: 0.9 })
        .map(({ ids }) => ids)
        .sort(),
      [
        [20, 199],
        [3, 199],
        [3, 20],
      ].sort(),
    );
    assert.deepEqual(index.duplicates({ above: 0, limit: 2 }), expected(0).slice(0, 2));
  });

  test(`${kernels}: filters, which are asked best first and no more often than needed`, () => {
    const dim = 32;
    const vectors = randomVectors(3000, dim, 11);
    const index = fill({ dim, kernels }, vectors);
    const all = index.search(vectors[1], { limit: Infinity });
    for (const [share, limit] of [
      [1, 5],
      [10, 7],
      [700, 4],
      [700, 100],
      [5000, 3],
    ]) {
      const asked = [];
      const filter = (id) => asked.push(id) && id % share === 0;
      const found = index.search(vectors[1], { limit, filter });
      const expected = all.filter(({ id }) => id % share === 0).slice(0, limit);
      assert.deepEqual(found, expected);
      const last = expected.length < limit ? all.length : all.findIndex(({ id }) => id === expected.at(-1).id) + 1;
      assert.deepEqual(
        asked,
        all.slice(0, last).map(({ id }) => id),
      );
    }
    const told = [];
    index.replace('with data', vectors[1], { data: { place: 'Rome' } });
    index.search(vectors[1], { limit: 2, filter: (id, data) => told.push([id, data]) });
    assert.deepEqual(told, [
      [1, undefined],
      ['with data', { place: 'Rome' }],
    ]);
  });
}

test('of what has several vectors, the best of each', () => {
  const dim = 16;
  const vectors = randomVectors(60, dim, 13);
  const index = new VectorIndex({ dim });
  vectors.forEach((vector, i) =>
    index.add(`film ${i % 6}#${i}`, vector, { data: { video: `film ${i % 6}`, time: i / 2 } }),
  );
  const all = index.search(vectors[9], { limit: 60 });
  const best = [...new Map(all.toReversed().map((found) => [found.data.video, found])).values()];
  best.sort((a, b) => b.score - a.score);
  const seen = new Set();
  const found = index.search(vectors[9], {
    limit: 5,
    filter: (id, { video }) => !seen.has(video) && seen.add(video),
  });
  assert.equal(found[0].data.time, 4.5);
  assert.deepEqual(found, best.slice(0, 5));
});

test('a filter that changes the index', () => {
  const dim = 16;
  const vectors = randomVectors(300, dim, 29);
  const index = fill({ dim }, vectors);
  const all = index.search(vectors[7], { limit: 300 }).map(({ id }) => id);
  const asked = [];
  const found = index.search(vectors[7], {
    limit: 300,
    filter(id) {
      asked.push(id);
      for (const other of [id, (id + 1) % 300, (id + 2) % 300]) if (other % 10) index.remove(other);
      return id % 2;
    },
  });
  assert.equal(index.size, 30);
  assert.deepEqual(
    asked,
    all.filter((id) => asked.includes(id)),
  );
  assert.deepEqual(
    found.map(({ id }) => id),
    asked.filter((id) => id % 2),
  );
  assert.deepEqual(
    [...index.ids()].sort((a, b) => a - b),
    Array.from({ length: 30 }, (_, i) => 10 * i),
  );
  for (const id of index.ids()) assert.equal(index.search(vectors[id], { limit: 1 })[0].id, id);
});

test('the modules are small enough for every engine to compile them at once, on any thread', () => {
  for (const flavour of ['relaxed', 'simd128'])
    assert.ok(readFileSync(new URL(`../../build/search-${flavour}.wasm`, import.meta.url)).length < 4096);
});

test('where nothing may be compiled it is JavaScript', async () => {
  const { Module } = WebAssembly;
  const fresh = await import('../../dist/vector-index-node.js?fresh');
  WebAssembly.Module = class {
    constructor() {
      throw new WebAssembly.CompileError('not here');
    }
  };
  try {
    const index = new fresh.VectorIndex({ dim: 2 });
    assert.equal(index.kernels, 'scalar');
    for (let i = 0; i < 5000; i++) index.add(i, [i + 1, 1]);
    assert.equal(index.search([1, 0], { limit: 1 })[0].id, index.search([1, 0])[0].id);
    assert.equal(index.size, 5000);
  } finally {
    WebAssembly.Module = Module;
  }
});

test('recall of int8 against fp32', () => {
  const dim = 512;
  const vectors = randomVectors(2000, dim, 21);
  const [int8, fp32] = ['int8', 'fp32'].map((dtype) => fill({ dim, dtype }, vectors));
  let kept = 0;
  const queries = randomVectors(50, dim, 22);
  for (const query of queries) {
    const right = new Set(fp32.search(query).map(({ id }) => id));
    kept += int8.search(query).filter(({ id }) => right.has(id)).length;
  }
  assert.ok(kept / (10 * queries.length) > 0.96, `${kept / (10 * queries.length)}`); // of random vectors, all as far
});

test('add, replace, remove, has, get, ids, size: against a Map', () => {
  const dim = 8;
  const index = new VectorIndex({ dim, dtype: 'fp32' });
  const map = new Map();
  const vectors = randomVectors(400, dim, 31);
  let seed = 1;
  const random = (n) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;
  for (let step = 0; step < 4000; step++) {
    const vector = vectors[random(400)];
    const id = step % 2 ? random(300) : `${random(300)}`;
    const data = random(3) ? { step } : undefined;
    const action = step % 1000 > 600 ? 2 : random(3); // at times most are removed
    if (action === 2) assert.equal(index.remove(id), map.delete(id));
    else if (action === 1 || map.has(id)) {
      index.replace(id, vector, { data });
      map.set(id, { vector, data });
    } else {
      index.add(id, vector, { data });
      map.set(id, { vector, data });
    }
    assert.equal(index.has(id), map.has(id));
    assert.equal(index.size, map.size);
  }
  assert.deepEqual([...index.ids()], [...map.keys()]);
  for (const [id, { vector, data }] of map) {
    const found = index.get(id);
    assert.deepEqual(found.data, data);
    assert.equal('data' in found, data !== undefined);
    unit([...vector]).forEach((x, i) => assert.ok(Math.abs(x - found.vector[i]) < 1e-6));
  }
  assert.equal(index.search(vectors[0], { limit: Infinity }).length, map.size);
  assert.equal(index.get('never there'), undefined);
  const empty = new VectorIndex({ dim });
  assert.deepEqual(empty.search(vectors[0]), []);
  assert.deepEqual(empty.duplicates({ above: 0 }), []);
});

test('vectors of length 1 stay as they are at fp32; a query of any length finds the same', () => {
  const vector = Float32Array.from(unit([...randomVectors(1, 50, 41)[0]]));
  const index = fill({ dim: 50, dtype: 'fp32' }, [vector]);
  assert.deepEqual(index.get(0).vector, vector);
  const int8 = fill({ dim: 50 }, [vector, vector.map((x) => 3 * x), [...vector]]);
  assert.deepEqual(int8.get(0), int8.get(1));
  assert.deepEqual(
    int8.search(vector.map((x) => x * 1e-20)).map(({ id, score }) => [id, score > 0.9999]),
    [0, 1, 2].map((id) => [id, true]),
  );
});

test('merge', () => {
  const dim = 16;
  const vectors = randomVectors(40, dim, 51);
  for (const dtype of ['int8', 'fp32']) {
    const one = new VectorIndex({ dim, dtype });
    const other = new VectorIndex({ dim });
    for (let i = 0; i < 30; i++) one.add(i, vectors[i], { data: 'one' });
    for (let i = 20; i < 40; i++) other.add(i, vectors[39 - i], { data: 'other' });
    one.merge(other);
    one.merge(one);
    assert.deepEqual([...one.ids()], [...Array(40).keys()]);
    assert.equal(one.get(19).data, 'one');
    assert.equal(one.get(20).data, 'other');
    if (dtype === 'int8') assert.deepEqual(one.get(25), other.get(25));
    assert.equal(one.search(vectors[0], { filter: (id) => id >= 30 })[0].id, 39);
  }
});

test('several threads find what one finds, before they have started and afterwards, and no process waits for them', async () => {
  const [dim, count] = [256, 20_000];
  const vectors = randomVectors(500, dim, 3);
  for (const dtype of ['int8', 'fp32']) {
    const [one, several] = [1, 3].map((threads) => new VectorIndex({ dim, dtype, threads }));
    assert.deepEqual([one.threads, several.threads], [1, 3]);
    for (let i = 0; i < count; i++) {
      const vector = vectors[i % 500].map((x, k) => x + vectors[(i + 7 * k) % 500][k]);
      for (const index of [one, several]) index.add(i, vector);
    }
    for (let i = 0; i < 30; i++) {
      const options = { limit: 1 + 10 * i, filter: i % 3 ? undefined : (id) => id % 50 === 0 };
      assert.deepEqual(several.search(vectors[i], options), one.search(vectors[i], options));
      if (i === 10) await setTimeout(300);
      for (const index of [one, several]) index.replace(i, vectors[i + 1]);
      for (const index of [one, several]) index.remove(count - 1 - i);
    }
    const loaded = await VectorIndex.load(await several.save(), { threads: 'auto' });
    assert.deepEqual(loaded.search(vectors[0]), one.search(vectors[0]));
    const all = [one, several].map(({ threads }) => fill({ dim, dtype, threads }, vectors));
    for (const above of [0.2, -1]) {
      const [pairs, same] = all.map((index) => index.duplicates({ above }));
      assert.deepEqual(same, pairs);
      if (above === -1) assert.equal(pairs.length, (500 * 499) / 2); // more than a thread finds before they are taken
    }
    assert.equal(loaded.threads, Math.min(8, cpus().length));
  }
  assert.equal(new VectorIndex({ dim, threads: 3, kernels: 'scalar' }).threads, 1);
});

test('threads end with the index that they are of', async () => {
  const program = `
    import { Worker } from 'node:worker_threads';
    import { VectorIndex } from ${JSON.stringify(new URL('../../dist/vector-index-node.js', import.meta.url).href)};
    let ended = 0;
    const { terminate } = Worker.prototype;
    Worker.prototype.terminate = function () { ended++; return terminate.call(this); };
    (() => new VectorIndex({ dim: 4, threads: 3 }).add(1, [1, 2, 3, 4]))();
    for (let i = 0; i < 100 && ended < 2; i++) await new Promise((resolve) => setTimeout(resolve, 20)).then(gc);
    console.log(ended);`;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['--expose-gc', '--input-type=module', '-e', program]);
  assert.equal(stdout.trim(), '2');
});

test('careless calls', async () => {
  const index = new VectorIndex({ dim: 3 });
  index.add('a', [1, 2, 3]);
  const wrong = (call, pattern) =>
    assert.throws(call, (error) => {
      assert.ok(error instanceof HalfclipError && error instanceof OfPackage);
      assert.equal(error.code, 'input/type');
      assert.match(error.message, pattern);
      return true;
    });
  wrong(() => new VectorIndex(), /expected options/);
  wrong(() => new VectorIndex({}), /dim is missing/);
  wrong(() => new VectorIndex({ dim: 0 }), /dim is the number 0/);
  wrong(() => new VectorIndex({ dim: 3, dtype: 'int4' }), /"int8" or "fp32"/);
  wrong(() => new VectorIndex({ dim: 3, metadata: [] }), /metadata/);
  for (const threads of [0, 1.5, 65, 'all'])
    wrong(() => new VectorIndex({ dim: 3, threads }), /"auto" or a number from 1 to 64/);
  wrong(() => new VectorIndex({ dim: 3, metadata: { n: 1n } }), /metadata cannot be written as JSON/);
  wrong(() => index.add('a', [1, 2, 3]), /"a", which is in the index: replace/);
  for (const id of [null, undefined, 1.5, 2 ** 60, {}, true]) {
    wrong(() => index.add(id, [1, 2, 3]), /an id is .*, expected a string or an integer/);
    wrong(() => index.has(id), /an id is/);
  }
  for (const vector of [[1, 2], [1, 2, 3, 4], new Uint8Array(3), 'abc', undefined, { length: 3 }])
    wrong(() => index.replace('b', vector), /the vector is .*, expected a vector of 3 numbers/);
  for (const x of [NaN, Infinity, 1e39]) wrong(() => index.add('b', [1, x, 2]), /at 1, expected numbers/);
  wrong(() => index.add('b', [0, 0, 0]), /all zeros/);
  wrong(() => index.add('b', [1, 2, 3], { date: 1 }), /option date is not known, the nearest is data/);
  wrong(() => index.add('b', [1, 2, 3], { data: 1n }), /data cannot be written as JSON/);
  wrong(() => index.search([1, 2]), /the query is an Array of length 2/);
  wrong(() => index.search([1, 2, 3], { limit: 0 }), /limit/);
  wrong(() => index.search([1, 2, 3], { filter: 'a' }), /filter/);
  wrong(() => index.duplicates({}), /above is missing/);
  wrong(() => index.duplicates({ above: 2 }), /a cosine/);
  wrong(() => index.merge(new VectorIndex({ dim: 4 })), /vectors of 4, expected a VectorIndex of vectors of 3/);
  wrong(() => index.merge({}), /expected a VectorIndex/);
  assert.deepEqual([...index.ids()], ['a']);
  await fails(VectorIndex.load(undefined), 'input/type', /cannot be loaded from undefined/);
  await fails(VectorIndex.load(12), 'input/type', /the number 12/);
  await fails(index.save(12), 'input/type', /cannot be saved to the number 12/);
  await fails(index.save('https://example.org/x'), 'input/type', /expected a path/);
});

test('a vector in another realm’s array, or of another type', () => {
  const index = new VectorIndex({ dim: 2 });
  index.add(1, new Float64Array([3, 4]));
  index.add(2, [6, 8]);
  assert.deepEqual(index.get(1), index.get(2));
});
