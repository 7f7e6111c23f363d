// An abort ends whatever is under way soon, also on this thread, and the encoder or its worker is free for the next
// call.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { randomCheckpoint } from './support.mjs';

// No timer may be later than this: what runs between two looks at the signal takes some 20 ms, but on a machine that
// has other work too much longer. Without the looks it would be many seconds.
const SOON = 1500;

/** The longest time for which this thread did nothing else while `work` was under way. */
async function longestStall(work) {
  let last = performance.now();
  let longest = 0;
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 5);
  try {
    await work();
  } finally {
    look();
    clearInterval(timer);
  }
  return longest;
}

async function abortSoon(call) {
  const abort = new AbortController();
  let aborted;
  sleep(60).then(() => {
    aborted = performance.now();
    abort.abort();
  });
  await assert.rejects(call(abort.signal), { name: 'AbortError' });
  return performance.now() - aborted;
}

// Much to compute for a small file: attention over 4,000 tokens, 48 times; and much to convert.
const madeUp = (sizes) => {
  const { config: model, file: weights } = randomCheckpoint(sizes);
  return { model, weights };
};
const slow = madeUp({
  text_cfg: { context_length: 4000, vocab_size: 10, width: 16, heads: 4, layers: 48, no_causal_mask: true },
});
const large = madeUp({ text_cfg: { context_length: 77, vocab_size: 30000, width: 768, heads: 12, layers: 4 } });
const ids = Int32Array.from({ length: 4000 }, (_, i) => i % 10);

for (const worker of [false, true]) {
  test(`an embedding, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    const encoder = await loadTextEncoder({ ...slow, worker, threads: 1 });
    const stall = await longestStall(async () => {
      assert.ok((await abortSoon((signal) => encoder.embedTokens(ids, { signal }))) < SOON);
    });
    assert.ok(stall < SOON, `${stall} ms`);
    // The next call does not wait for what was aborted, which would have taken many times as long.
    const before = performance.now();
    assert.ok((await abortSoon((signal) => encoder.embedTokens(ids, { signal }))) < SOON);
    assert.equal((await encoder.tokenize('a')).length, 4000);
    assert.ok(performance.now() - before < 60 + 2 * SOON);
    encoder.dispose();
  });

  test(`a load from bytes, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    for (const dtype of ['int8', 'int4']) {
      const stall = await longestStall(() =>
        abortSoon((signal) => loadTextEncoder({ ...large, dtype, worker, threads: 1, signal })),
      );
      assert.ok(stall < SOON, `${dtype}: ${stall} ms`);
    }
  });
}
