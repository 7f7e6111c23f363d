// The page's downloads (web/demo/download.js) while there is no network.

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { after, before, test } from 'node:test';

import { Download } from '../../web/demo/download.js';

const page = new EventTarget();
const globals = {
  navigator: { onLine: false },
  addEventListener: (...of) => page.addEventListener(...of),
};
const others = Object.fromEntries(
  Object.keys(globals).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]),
);

before(() => {
  for (const [name, value] of Object.entries(globals))
    Object.defineProperty(globalThis, name, { value, configurable: true });
});

after(() => {
  for (const [name, other] of Object.entries(others))
    if (other) Object.defineProperty(globalThis, name, other);
    else delete globalThis[name];
});

const breathe = () => new Promise((resolve) => setImmediate(resolve));

for (const wakes of ['the network', 'a timer'])
  test(`it asks again when ${wakes} says so, and leaves no listener behind`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const told = [];
    const download = new Download((why) => told.push(why));
    let asked = 0;
    let isThere = true;
    const fetch = download.over(async () => {
      asked++;
      if (!isThere) throw new TypeError('Failed to fetch');
      return new Response(null);
    });
    await fetch('https://example.org/a?b');
    assert.deepEqual([...download.asked], ['https://example.org/a']);
    isThere = false;
    const { signal } = new AbortController();
    const answer = fetch('https://example.org/a', { signal });
    for (let i = 1; i <= 5; i++) {
      await breathe();
      assert.equal(asked, 1 + i);
      assert.equal(getEventListeners(page, 'online').length, 1);
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      isThere = i === 5;
      if (wakes === 'a timer') t.mock.timers.tick(2000);
      else page.dispatchEvent(new Event('online'));
    }
    assert.equal((await answer).status, 200);
    assert.equal(getEventListeners(page, 'online').length, 0);
    assert.deepEqual(told, ['offline', undefined]);
  });

test('an abort ends the waiting', async () => {
  const download = new Download(() => {});
  let isThere = true;
  const fetch = download.over(async () => {
    if (isThere) return new Response(null);
    throw new TypeError('Failed to fetch');
  });
  await fetch('https://example.org/a');
  isThere = false;
  const abort = new AbortController();
  const answer = fetch('https://example.org/a', { signal: abort.signal });
  await breathe();
  abort.abort(new Error('enough'));
  await assert.rejects(answer, /enough/);
  assert.equal(getEventListeners(page, 'online').length, 0);
  assert.equal(getEventListeners(abort.signal, 'abort').length, 0);
});
