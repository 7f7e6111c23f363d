// Which small copies the page's grid fetches while orders follow one another, as they do while one types.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pictures } from '../../web/demo/grid-pictures.js';

/** The parts of the class that see a clock, and what was fetched, with when. */
function watched(t) {
  let now = 1000;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(performance, 'now', () => now);
  const fetched = [];
  const shown = [];
  const pictures = new Pictures(
    async (ids) => {
      fetched.push({ ids, at: now - 1000 });
      return ids.map(() => new Blob([]));
    },
    (src) => ({ src }),
    (id) => shown.push({ id, at: now - 1000 }),
  );
  const pass = async (milliseconds) => {
    for (let i = 0; i < milliseconds; i++) {
      now++;
      t.mock.timers.tick(1);
      await null;
    }
  };
  return { pictures, fetched, shown, pass };
}

test('of orders that follow one another quickly, the last one', async (t) => {
  const { pictures, fetched, pass } = watched(t);
  for (let letter = 1; letter <= 6; letter++) {
    pictures.want([letter, letter + 1], true);
    await pass(40);
  }
  assert.deepEqual(fetched, []);
  await pass(100);
  assert.deepEqual(
    fetched.map(({ ids }) => ids),
    [[6, 7]],
  );
});

test('of orders that never end, some all the same; of those that stand, each', async (t) => {
  const { pictures, fetched, pass } = watched(t);
  for (let letter = 1; letter <= 50; letter++) {
    pictures.want([letter], true);
    await pass(40);
  }
  assert.ok(fetched.length >= 1 && fetched.length <= 3, `${fetched.length} times within two seconds`);
  await pass(200);
  const before = fetched.length;
  for (let letter = 101; letter <= 104; letter++) {
    pictures.want([letter], true);
    await pass(125);
  }
  assert.deepEqual(
    fetched.slice(before).map(({ ids }) => ids),
    [[101], [102], [103], [104]],
  );
});

test('what comes into view by scrolling does not wait', async (t) => {
  const { pictures, fetched, pass } = watched(t);
  for (let row = 1; row <= 30; row++) {
    pictures.want([row], false);
    await pass(16);
  }
  assert.ok(fetched.length >= 4, `${fetched.length} times within half a second`);
  assert.ok(fetched[0].at <= 16);
});

test('a few at a time, and only what is still wanted', async (t) => {
  const { pictures, shown, pass } = watched(t);
  const ids = Array.from({ length: 20 }, (_, i) => i + 1);
  pictures.want(ids, true);
  await pass(110);
  const begun = shown.length;
  assert.ok(begun >= 4 && begun <= 8, `${begun} at once`);
  pictures.want(ids.slice(10), true);
  await pass(90);
  assert.deepEqual(
    shown.map(({ id }) => id),
    [...ids.slice(0, begun), ...ids.slice(10)],
  );
  assert.match(pictures.of(20).src, /^blob:/);
  await pass(300);
  assert.equal(shown.length, begun + 10, 'none twice');
  pictures.forget([20]);
  assert.equal(pictures.of(20), undefined);
});
