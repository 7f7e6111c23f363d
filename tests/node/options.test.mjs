// Options and inputs as careless as programs are: each wrong one is a HalfclipError that names it, and whatever a
// caller's own code throws comes back as it is.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { HalfclipError, cosineSimilarity, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { fails } from './fails.mjs';
import { golden, rows } from './support.mjs';

const clip = golden('clip');
const file = readFileSync(clip.path);
const ids = rows(clip.expected.tokens)[0];
const picture = { data: new Uint8Array(12), width: 2, height: 2 };
const options = { model: clip.config, weights: file, dtype: 'fp32' };
const load = (more) => loadTextEncoder({ ...options, ...more });

let text;
let image;

before(async () => {
  text = await load();
  image = await loadImageEncoder(options);
});

after(() => {
  text.dispose();
  image.dispose();
});

const revoked = (target) => {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
};

const trap = (name) =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get() {
      throw new RangeError('a trap');
    },
  });

test('an option that does not exist, with the nearest that does', async () => {
  for (const [wrong, nearest] of [
    ['modle', 'model'],
    ['Model', 'model'],
    ['weight', 'weights'],
    ['d_type', 'dtype'],
    ['thread', 'threads'],
    ['onprogress', 'onProgress'],
    ['integrety', 'integrity'],
    ['workers', 'worker'],
    ['caches', 'cache'],
  ]) {
    await fails(
      load({ [wrong]: 1 }),
      'input/type',
      new RegExp(
        `^option ${wrong} is not known, the nearest is ${nearest}: expected model, weights, tokenizer, language, maxTokens, dtype, `,
      ),
    );
  }
  await fails(
    load({ quantized: true }),
    'input/type',
    /^option quantized is not known, the nearest is \w+: .*\bdtype\b/,
  );
  await fails(load({ ['x'.repeat(1e6)]: true }), 'input/type', /is not known/);
  await fails(
    load({ cache: { directory: '/tmp' } }),
    'input/type',
    /^option cache\.directory is not known, the nearest is cache\.dir: expected cache\.mode, /,
  );
  await fails(
    load({ retry: { attempt: 3 } }),
    'input/type',
    /^option retry\.attempt is not known, the nearest is retry\.attempts: /,
  );
  for (const call of [
    (options) => text.embed('a', options),
    (options) => text.embedTokens(ids, options),
    (options) => image.embed(picture, options),
    (options) => image.embedPixels(new Float32Array(3072), options),
  ]) {
    await fails(call({ normalise: false }), 'input/type', /^option normalise is not known, the nearest is normalize: /);
    await fails(call({ dtype: 'fp32' }), 'input/type', /^option dtype is not known/);
  }
  for (const call of [(options) => text.tokenize('a', options), (options) => image.preprocess(picture, options)]) {
    await fails(
      call({ signl: undefined, sginal: 1 }),
      'input/type',
      /^option sginal is not known, the nearest is signal: /,
    );
    await fails(call({ normalize: false }), 'input/type', /^option normalize is not known/);
  }
});

// Those of both towers that may be left out.
const OPTIONS = [
  'dtype',
  'threads',
  'worker',
  'cache',
  'retry',
  'integrity',
  'signal',
  'onProgress',
  'fetch',
  'hub',
  'simd',
  'dot',
];

test('an option that is undefined is as if left out', async () => {
  const names = [...OPTIONS, 'modle'];
  const nested = {
    cache: { mode: undefined, dir: undefined, maxBytes: undefined, persist: undefined, other: undefined },
    retry: { attempts: undefined, other: undefined },
  };
  const encoder = await loadTextEncoder({
    model: clip.config,
    weights: file,
    ...Object.fromEntries(names.map((name) => [name, undefined])),
    ...nested,
  });
  assert.equal(encoder.info.dtype, 'int8');
  assert.deepEqual(
    await encoder.embedTokens(ids, { normalize: undefined, signal: undefined, other: undefined }),
    await encoder.embedTokens(ids, undefined),
  );
  encoder.dispose();
});

test('options from a prototype, frozen, without a prototype, and null where fetch() takes it', async () => {
  for (const given of [
    Object.freeze({ ...options }),
    Object.assign(Object.create(null), options),
    Object.create(options),
    { ...options, signal: null },
  ]) {
    (await loadTextEncoder(given)).dispose();
  }
  const found = await text.embedTokens(ids, Object.create({ normalize: false }));
  assert.deepEqual(found, await text.embedTokens(ids, { normalize: false, signal: null }));
});

test('options of the wrong kind', async () => {
  for (const given of [null, 5, 'model', () => {}, Symbol('model'), 1n, true])
    await fails(loadTextEncoder(given), 'input/type', /^expected options, got /);
  for (const given of [null, 5, 'normalize', () => {}, Symbol('normalize'), 1n])
    await fails(text.embedTokens(ids, given), 'input/type', /^expected options, got /);
  const list = [];
  const bare = Object.create(null);
  const call = () => {};
  const odd = [null, Symbol('odd'), 1n, call, NaN, -0, list, revoked({}), bare];
  const right = { cache: [list, bare], retry: [list, bare], onProgress: [call], fetch: [call], signal: [null] };
  for (const name of OPTIONS) {
    for (const value of odd.filter((value) => !right[name]?.includes(value)))
      await fails(load({ [name]: value }), 'input/type', new RegExp(`^option ${name} `));
  }
  for (const value of odd) await fails(load({ weights: value }), 'input/type', /^option weights is /);
  for (const value of odd.slice(0, 7)) await fails(load({ model: value }), 'input/type', /^option model is /);
});

test('options that cannot be read', async () => {
  for (const given of [
    revoked({}),
    trap('dtype'),
    new Proxy(
      {},
      {
        ownKeys: () => {
          throw new TypeError('a trap');
        },
      },
    ),
  ]) {
    await fails(loadTextEncoder(given), 'input/type', /^the options cannot be read: /);
    await fails(text.embedTokens(ids, given), 'input/type', /^the options cannot be read: /);
    await fails(load({ cache: given }), 'input/type', /^option cache cannot be read: /);
    await fails(load({ retry: given }), 'input/type', /^option retry cannot be read: /);
  }
  let reads = 0;
  const counting = {
    ...options,
    get dtype() {
      return reads++ ? Symbol('another one') : 'fp32';
    },
  };
  (await loadTextEncoder(counting)).dispose();
});

test('a config that is no JSON', async () => {
  const circular = { embed_dim: 24 };
  circular.text_cfg = circular;
  for (const model of [
    circular,
    { embed_dim: 24n },
    trap('embed_dim'),
    revoked({}),
    {
      toJSON: () => {
        throw new Error('a trap');
      },
    },
  ]) {
    await fails(load({ model }), 'input/type', /^option model is .*JSON/);
  }
  for (const model of [{ toJSON: () => undefined }, new Date(), new Map([['embed_dim', 24]])])
    await fails(load({ model }), 'model/unknown', /^option model: /);
});

test('inputs that cannot be read', async () => {
  for (const input of [
    revoked({}),
    revoked([]),
    Symbol('text'),
    1n,
    Object.create(null),
    new String('a'),
    trap('length'),
    () => 'a',
  ]) {
    await fails(text.embed(input), 'input/type', /^the input is /);
    await fails(text.tokenize([input]), 'input/type', /^input 0 is /);
    await fails(text.embedTokens(input), 'input/type', /^the input is /);
    await fails(image.embed(input), 'input/type', /^the input is /);
    await fails(image.embedPixels([input]), 'input/type', /^input 0 is /);
  }
  for (const wrong of [
    trap('data'),
    Object.assign(trap('width'), { data: picture.data, height: 2 }),
    new Proxy(picture, {
      get: () => {
        throw new Error('a trap');
      },
    }),
  ]) {
    await fails(image.embed(wrong), 'input/type', /^the input /);
  }
  for (const side of [NaN, -0, 1n, '2', null, Symbol('side'), Infinity, 2.5, -2]) {
    await fails(
      image.embed({ ...picture, width: side }),
      'input/size',
      /expected 1 to 20000 a side|expected 1 to 20,000 a side/,
    );
  }
  const trapped = [ids];
  Object.defineProperty(trapped, 1, {
    get() {
      throw new Error('a trap');
    },
  });
  await fails(text.embedTokens(trapped), 'input/type', /^the array of inputs cannot be read: a trap$/);
});

test('holes in an array, and an array that changes meanwhile', async () => {
  await fails(text.embed([, 'a']), 'input/type', /^input 0 is undefined/);
  await fails(image.embed([picture, , picture]), 'input/type', /^input 1 is undefined/);
  const inputs = [ids, ids];
  const running = text.embedTokens(inputs);
  inputs.length = 0;
  inputs.push('something else');
  assert.equal((await running).length, 2);
  const pictures = [picture, picture];
  const embedding = image.embed(pictures);
  pictures.length = 0;
  assert.equal((await embedding).length, 2);
});

test('vectors that are none', () => {
  for (const [a, b] of [
    [[1n], [1n]],
    [[Symbol('a')], [1]],
    [revoked([]), [1]],
    [trap('length'), [1]],
    [new BigInt64Array(1), [1]],
    [() => {}, [1]],
  ]) {
    assert.throws(
      () => cosineSimilarity(a, b),
      (error) => error instanceof HalfclipError && error.code === 'input/type',
    );
  }
});

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'on this thread';

  test(`an onProgress that throws ends the load with what it throws, ${where}`, async () => {
    for (const thrown of [new RangeError('mine'), 'mine', null, undefined]) {
      let calls = 0;
      const outcome = await load({
        worker,
        onProgress: () => {
          calls++;
          throw thrown;
        },
      }).then(
        () => ({ worked: true }),
        (error) => ({ error }),
      );
      assert.deepEqual(outcome, { error: thrown });
      assert.equal(calls, 1);
    }
    const controller = new AbortController();
    let told = 0;
    const outcome = load({
      worker,
      signal: controller.signal,
      onProgress: () => {
        told++;
        controller.abort();
      },
    });
    await assert.rejects(outcome, { name: 'AbortError' });
    assert.equal(told, 1, 'nothing is told of what was aborted');
    let calls = 0;
    const last = await load({
      worker,
      onProgress: ({ loaded, total }) => {
        if (++calls > 1 && loaded === total) throw ids;
      },
    }).catch((error) => error);
    assert.equal(last, ids, 'also when all is read');
  });

  test(`a signal's reason may be anything, ${where}`, async () => {
    const encoder = await load({ worker });
    for (const reason of [null, 0, '', 'why', Symbol('why'), { code: 'input/type' }, Object.create(null)]) {
      const aborted = AbortSignal.abort(reason);
      const outcomeOf = (promise) =>
        promise.then(
          () => assert.fail('it worked'),
          (error) => ({ error }),
        );
      assert.deepEqual(await outcomeOf(load({ worker, signal: aborted })), { error: reason });
      assert.deepEqual(await outcomeOf(encoder.embedTokens(ids, { signal: aborted })), { error: reason });
      const controller = new AbortController();
      const slow = () => new Promise(() => {});
      const loading = outcomeOf(
        load({ worker, weights: 'http://localhost/slow', fetch: slow, signal: controller.signal }),
      );
      const embedding = outcomeOf(encoder.embedTokens(Array(2000).fill(ids), { signal: controller.signal }));
      setTimeout(() => controller.abort(reason), 5);
      assert.deepEqual(await loading, { error: reason });
      assert.deepEqual(await embedding, { error: reason });
    }
    const { name } = await load({ worker, signal: AbortSignal.abort() }).catch((error) => error);
    assert.equal(name, 'AbortError');
    assert.equal((await encoder.embedTokens(ids)).length, 24, 'the next call works');
    encoder.dispose();
  });

  test(`a signal that only looks like one, as other libraries make them, ${where}`, async () => {
    class OldSignal extends EventTarget {
      aborted = false;
      abort() {
        this.aborted = true;
        this.dispatchEvent(new Event('abort'));
      }
    }
    const signal = new OldSignal();
    const loading = load({ worker, weights: 'http://localhost/slow', fetch: () => new Promise(() => {}), signal });
    setTimeout(() => signal.abort(), 5);
    assert.equal((await loading.catch((error) => error)).name, 'AbortError');
    assert.equal((await load({ worker, signal }).catch((error) => error)).name, 'AbortError');
    (await load({ worker, signal: new OldSignal() })).dispose();
  });
}
