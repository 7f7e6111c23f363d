// embedAll(): inputs of any number as they come, one outcome each, in order; bounded, and over when its caller says so.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { golden } from './support.mjs';

const PICTURES = fileURLToPath(new URL('../pictures/', import.meta.url));
const NAMES = ['airplane', 'banana', 'castle', 'key', 'owl', 'pizza', 'tiger'].map((name) => `${PICTURES}${name}.jpg`);
const raw = (seed) => ({ data: Uint8Array.from({ length: 300 }, (_, i) => i * seed), width: 10, height: 10 });

/** The outcomes of a run, all of them. */
async function collect(run) {
  const outcomes = [];
  for await (const outcome of run) outcomes.push(outcome);
  return outcomes;
}

/** An iterable that counts how far it was read and whether it was closed. */
function counted(items, { delay } = {}) {
  const state = { read: 0, closed: 0 };
  const iterate = async function* () {
    try {
      for (const item of items) {
        if (delay) await sleep(delay);
        state.read++;
        yield item;
      }
    } finally {
      state.closed++;
    }
  };
  return { state, items: iterate() };
}

function* endless(make) {
  for (let i = 0; ; i++) yield make(i);
}

/** Waits until `found` gives what is expected, at most two seconds. */
async function eventually(found, expected) {
  for (let i = 0; i < 200 && found() !== expected; i++) await sleep(10);
  assert.equal(found(), expected);
}

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'on this thread';
  let image;
  let text;

  before(async () => {
    image = await loadImageEncoder({ model: 'halfclip-emoji', worker });
    text = await loadTextEncoder({ model: 'halfclip-emoji', worker });
  });
  after(() => {
    image.dispose();
    text.dispose();
  });

  test(`pictures: what fails is told in its place, the others get the vectors of embed(), ${where}`, async () => {
    const bad = [
      `${PICTURES}none.jpg`,
      fileURLToPath(import.meta.url),
      7,
      null,
      new Uint8Array([1, 2, 3]),
      { data: new Uint8Array(5), width: 1, height: 1 },
    ];
    const codes = ['input/decode', 'input/decode', 'input/type', 'input/type', 'input/decode', 'input/type'];
    const sources = [NAMES[0], ...bad.flatMap((source, i) => [source, NAMES[i + 1]])];
    const outcomes = await collect(image.embedAll(sources));
    assert.deepEqual(
      outcomes.map(({ index }) => index),
      sources.map((_, i) => i),
    );
    outcomes.forEach(({ source }, i) => assert.equal(source, sources[i]));
    const failed = outcomes.filter(({ error }) => error);
    assert.deepEqual(
      failed.map(({ error }) => error.code),
      codes,
    );
    for (const { error, vector } of failed) assert.ok(error instanceof HalfclipError && vector === undefined);
    assert.match(failed[0].error.message, /none\.jpg/);
    assert.match(failed[2].error.message, /^input 5 is the number 7/);
    assert.deepEqual(
      outcomes.filter(({ vector }) => vector).map(({ vector }) => vector),
      await image.embed(NAMES),
    );
  });

  test(`texts: the same, ${where}`, async () => {
    const outcomes = await collect(text.embedAll(['a cat', 7, '', 'a dog', undefined]));
    assert.deepEqual(
      outcomes.map(({ error }) => error?.code),
      [undefined, 'input/type', undefined, undefined, 'input/type'],
    );
    assert.match(outcomes[4].error.message, /^input 4 is undefined/);
    assert.deepEqual(
      [0, 2, 3].map((i) => outcomes[i].vector),
      await text.embed(['a cat', '', 'a dog']),
    );
  });

  test(`texts that are sent together fail each by its own name, ${where}`, async () => {
    const { config: model, path: weights } = golden('real-shape'); // with a vocabulary smaller than the tokenizer's
    const small = await loadTextEncoder({ model, weights, worker });
    const outcomes = await collect(small.embedAll(['a', 'b', 'c']));
    outcomes.forEach(({ error }, i) => {
      assert.equal(error.code, 'input/type');
      assert.match(error.message, new RegExp(`^input ${i}: token id`));
    });
    small.dispose();
  });

  test(`any iterable: sets, generators, promises, async generators, streams, none at all, ${where}`, async () => {
    const [a, b] = await text.embed(['a cat', 'a dog']);
    const texts = ['a cat', 'a dog'];
    const iterables = [
      new Set(texts),
      (function* () {
        yield* texts;
      })(),
      texts.map(async (text) => text),
      counted(texts).items,
      counted(texts, { delay: 5 }).items,
      new Blob([]).stream().constructor.from?.(texts) ?? texts,
      { [Symbol.iterator]: () => texts.values() },
    ];
    for (const iterable of iterables) {
      const outcomes = await collect(text.embedAll(iterable));
      assert.deepEqual(outcomes, [
        { index: 0, source: 'a cat', vector: a },
        { index: 1, source: 'a dog', vector: b },
      ]);
    }
    assert.deepEqual(await collect(text.embedAll([])), []);
    assert.deepEqual(await collect(image.embedAll(new Map().values())), []);
  });

  test(`what is no iterable, and options that do not do, ${where}`, async () => {
    for (const sources of ['a cat', 7, null, undefined, {}, new Uint8Array(3), () => {}]) {
      await assert.rejects(collect(text.embedAll(sources)), {
        code: 'input/type',
        message: /^the sources are .*expected an array, an iterable/,
      });
    }
    for (const options of [
      { ahead: -1 },
      { ahead: 1.5 },
      { ahead: Infinity },
      { onProgress: 1 },
      { signal: 1 },
      { normalize: 1 },
      { ahed: 1 },
    ]) {
      await assert.rejects(collect(image.embedAll([], options)), { code: 'input/type', message: /^option / });
    }
  });

  test(`the options: lengths as the tower gives them, progress with the number where it is known, ${where}`, async () => {
    const [{ vector }] = await collect(text.embedAll(['a cat'], { normalize: false }));
    assert.deepEqual(vector, await text.embed('a cat', { normalize: false }));
    const steps = [];
    await collect(image.embedAll([raw(1), 7, raw(2)], { onProgress: (step) => steps.push(step) }));
    assert.deepEqual(
      steps,
      [1, 2, 3].map((loaded) => ({ phase: 'embed', loaded, total: 3 })),
    );
    await collect(image.embedAll(counted([raw(1)]).items, { onProgress: (step) => steps.push(step) }));
    assert.deepEqual(steps.at(-1), { phase: 'embed', loaded: 1, total: undefined });
    const oops = new Error('of the callback');
    await assert.rejects(
      collect(
        image.embedAll([raw(1)], {
          onProgress() {
            throw oops;
          },
        }),
      ),
      (error) => error === oops,
    );
  });

  for (const ahead of [0, 1, 5]) {
    test(`reads at most ${ahead} ahead of what the caller holds, ${where}`, async () => {
      for (const [encoder, make] of [
        [image, raw],
        [text, (i) => `text ${i}`],
      ]) {
        const { state, items } = counted(endless(make));
        let given = 0;
        for await (const { index } of encoder.embedAll(items, { ahead })) {
          assert.equal(index, given++);
          await turn();
          await turn();
          assert.ok(state.read <= given + ahead, `${state.read} read, ${given} given`);
          if (given === 30) break;
        }
        assert.equal(state.closed, 1);
        assert.ok(state.read >= Math.min(30 + ahead, 30), 'it reads ahead');
      }
    });
  }

  test(`does not wait for more to come: a slow source gets its first outcome before it gives its second text, ${where}`, async () => {
    let second;
    const source = (async function* () {
      yield 'first';
      await new Promise((resolve) => (second = resolve));
      yield 'second';
    })();
    const run = text.embedAll(source);
    assert.equal((await run.next()).value.source, 'first');
    second();
    assert.equal((await run.next()).value.source, 'second');
    assert.equal((await run.next()).done, true);
  });

  test(`the next pictures are read while one is waited for, ${where}`, async () => {
    let [now, most, release] = [0, 0, null];
    const server = createServer(async (request, response) => {
      most = Math.max(most, ++now);
      if (most < 3) await new Promise((resolve) => (release = [...(release ?? []), resolve]));
      else release?.forEach((resolve) => resolve());
      now--;
      response.writeHead(404).end();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const outcomes = await collect(
      image.embedAll(
        Array.from({ length: 7 }, (_, i) => `http://127.0.0.1:${server.address().port}/${i}.png`),
        { ahead: 2 },
      ),
    );
    assert.equal(most, 3);
    assert.deepEqual(
      outcomes.map(({ error }) => error.status),
      Array(7).fill(404),
    );
    server.close();
  });

  test(`an abort rejects with the signal's reason, closes the source and leaves the encoder free, ${where}`, async () => {
    for (const [encoder, make] of [
      [image, raw],
      [text, (i) => `text ${i}`],
    ]) {
      const controller = new AbortController();
      const { state, items } = counted(endless(make));
      const reason = { never: 'mind' };
      let given = 0;
      await assert.rejects(
        (async () => {
          for await (const outcome of encoder.embedAll(items, { signal: controller.signal })) {
            assert.ok(outcome.vector);
            if (++given === 5) controller.abort(reason);
          }
        })(),
        (error) => error === reason,
      );
      assert.equal(given, 5);
      await eventually(() => state.closed, 1);
      const { read } = state;
      assert.ok((await encoder.embed(make(1))).length);
      assert.equal(state.read, read, 'nothing is read any more');
    }
    const early = counted(endless(raw));
    await assert.rejects(
      collect(image.embedAll(early.items, { signal: AbortSignal.abort(null) })),
      (error) => error === null,
    );
    assert.equal(early.state.read, 0);
  });

  test(`an abort does not wait for a source that never answers, ${where}`, async () => {
    const controller = new AbortController();
    const stuck = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: () => new Promise(() => {}) }),
    };
    const run = collect(image.embedAll(stuck, { signal: controller.signal }));
    setTimeout(() => controller.abort('enough'), 20);
    await assert.rejects(run, (error) => error === 'enough');
  });

  test(`break closes the source, waits for what it does then, and throws what it throws, ${where}`, async () => {
    let closed = false;
    const source = (close) => ({
      [Symbol.iterator]: () => ({ next: () => ({ done: false, value: raw(3) }), return: close }),
    });
    for await (const { vector } of image.embedAll(source(() => sleep(20).then(() => (closed = true))))) {
      assert.ok(vector);
      break;
    }
    assert.equal(closed, true);
    const oops = new Error('while closing');
    await assert.rejects(
      async () => {
        for await (const { vector } of image.embedAll(
          source(() => {
            throw oops;
          }),
        ))
          if (vector) break;
      },
      (error) => error === oops,
    );
    const run = image.embedAll(counted(endless(raw)).items);
    await run.next();
    assert.deepEqual(await run.return(), { done: true, value: undefined });
    assert.deepEqual(await run.next(), { done: true, value: undefined });
    assert.ok((await image.embed(raw(1))).length);
  });

  test(`a source that throws: the outcomes before it, then its error, ${where}`, async () => {
    const oops = new Error('of the source');
    const given = [];
    await assert.rejects(
      (async () => {
        for await (const { index } of image.embedAll(
          (function* () {
            yield raw(1);
            yield raw(2);
            throw oops;
          })(),
        ))
          given.push(index);
      })(),
      (error) => error === oops,
    );
    assert.deepEqual(given, [0, 1]);
    await assert.rejects(
      collect(
        text.embedAll({
          [Symbol.iterator]() {
            throw oops;
          },
        }),
      ),
      (error) => error === oops,
    );
    await assert.rejects(collect(text.embedAll([Promise.reject(oops)])), (error) => error === oops);
  });

  test(`dispose() ends it with state/disposed, wherever it is, ${where}`, async () => {
    const stuck = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
    for (const sources of [endless(raw), stuck]) {
      const encoder = await loadImageEncoder({ model: 'halfclip-emoji', worker });
      setTimeout(() => encoder.dispose(), 50);
      await assert.rejects(
        (async () => {
          for await (const { error } of encoder.embedAll(sources)) {
            assert.equal(error, undefined);
            await turn();
          }
        })(),
        { code: 'state/disposed' },
      );
      await assert.rejects(collect(encoder.embedAll([raw(1)])), { code: 'state/disposed' });
    }
  });

  test(`runs beside each other and beside other calls: each gets its own, ${where}`, async () => {
    const expected = await image.embed(NAMES);
    const plain = await image.embed(NAMES, { normalize: false });
    const [all, unscaled, arrays, singles] = await Promise.all([
      collect(image.embedAll(NAMES)),
      collect(image.embedAll(NAMES, { normalize: false, ahead: 4 })),
      image.embed([...NAMES].reverse()),
      Promise.all(NAMES.map((name) => image.embed(name))),
    ]);
    assert.deepEqual(
      all.map(({ vector }) => vector),
      expected,
    );
    assert.deepEqual(
      unscaled.map(({ vector }) => vector),
      plain,
    );
    assert.deepEqual(arrays.reverse(), expected);
    assert.deepEqual(singles, expected);
  });

  test(`embed() of an array is all or nothing, and says which was wrong first, ${where}`, async () => {
    await assert.rejects(image.embed([raw(1), 7, `${PICTURES}none.jpg`, raw(2)]), {
      code: 'input/type',
      message: /^input 1 /,
    });
    const pixels = await image.preprocess([NAMES[0], NAMES[1]]);
    assert.deepEqual(pixels, [await image.preprocess(NAMES[0]), await image.preprocess(NAMES[1])]);
    assert.deepEqual(
      await image.embed(Array.from({ length: 20 }, (_, i) => raw(i))),
      await Promise.all(Array.from({ length: 20 }, (_, i) => image.embed(raw(i)))),
    );
  });
}
