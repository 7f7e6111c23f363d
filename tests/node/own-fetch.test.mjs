// A fetch of the caller's own that gives nonsense, or throws it: each a HalfclipError that says what came, at once and
// not after five attempts.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { test } from 'node:test';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { golden } from './support.mjs';

const clip = golden('clip');
const file = Uint8Array.from(readFileSync(clip.path));
const url = 'http://localhost/clip.safetensors';

const stream = (...chunks) =>
  new ReadableStream({
    start(controller) {
      chunks.forEach((chunk) => controller.enqueue(chunk));
      controller.close();
    },
  });

async function usedUp() {
  const response = new Response(file);
  await response.arrayBuffer();
  return response;
}

function locked() {
  const response = new Response(file);
  response.body.getReader();
  return response;
}

/** A Response whose body is another one than Response itself would take. */
const withBody = (body) => Object.defineProperty(new Response(null), 'body', { value: body });

const NONSENSE = {
  undefined: [() => {}, /option fetch gave undefined, expected a Response/],
  null: [() => null, /gave null/],
  'a number': [() => 200, /gave the number 200/],
  'a string': [async () => 'bytes', /gave the string "bytes"/],
  'a symbol': [() => Symbol('response'), /gave a symbol/],
  'an object': [() => ({ ok: true, status: 200 }), /gave an object/],
  'its bytes': [async () => file.buffer, /gave an ArrayBuffer/],
  'a Request': [() => new Request(url), /gave a Request/],
  'plain headers': [() => ({ ok: true, status: 200, headers: {}, body: stream(file) }), /gave an object/],
  'a getter that throws': [
    () => ({
      get status() {
        throw new Error('a trap');
      },
    }),
    /gave an object/,
  ],
  "a body of Node's": [() => withBody(Readable.from([file])), /body is a Readable/],
  'a body that was read': [usedUp, /read already/],
  'a body that is being read': [locked, /read already/],
  'a body of strings': [
    () => withBody(stream('half', 'clip')),
    /its body gives the string "half", expected a Uint8Array/,
  ],
  'a body of buffers': [() => withBody(stream(file.buffer)), /its body gives an ArrayBuffer/],
  'a body of nothing': [() => withBody(stream(null)), /its body gives null/],
};

const THROWN = {
  undefined: [undefined, /undefined/],
  null: [null, /null/],
  'a string': ['no network here', /no network here/],
  'a symbol': [Symbol('network'), /Symbol\(network\)/],
  'an object without a prototype': [Object.create(null), /no reason given/],
  'an error without a message': [new Error(), /./],
  'an error with a cause': [new TypeError('fetch failed', { cause: new Error('ENOTFOUND') }), /ENOTFOUND/],
  'an error whose message is none': [Object.assign(new Error(), { message: Symbol('message') }), /./],
};

async function fails(promise, code, pattern) {
  const error = await promise.then(
    () => assert.fail('it worked'),
    (error) => error,
  );
  assert.ok(error instanceof HalfclipError, error?.stack ?? String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, /^http:\/\/localhost\//);
  assert.match(error.message, pattern);
}

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'on this thread';
  const options = { model: clip.config, worker, cache: 'no-store', retry: { attempts: 2, pause: 0 } };
  const load = (fetch) => loadTextEncoder({ ...options, weights: url, fetch });
  let image;
  let pictures; // how image fetches

  test(`an encoder with a fetch of its own, ${where}`, async () => {
    image = await loadImageEncoder({ ...options, weights: file, fetch: () => pictures() });
  });

  for (const [name, [give, pattern]] of Object.entries(NONSENSE)) {
    test(`a fetch that gives ${name}, ${where}`, async () => {
      let calls = 0;
      await fails(
        load(() => (calls++, give())),
        'input/type',
        pattern,
      );
      assert.equal(calls, 1);
      pictures = give;
      await fails(image.embed('http://localhost/a.png'), 'input/type', pattern);
    });
  }

  for (const [name, [thrown, pattern]] of Object.entries(THROWN)) {
    test(`a fetch that throws ${name}, ${where}`, async () => {
      for (const fetch of [
        () => {
          throw thrown;
        },
        () => withBody(new ReadableStream({ pull: (controller) => controller.error(thrown) })),
      ]) {
        await fails(load(fetch), 'http/network', pattern);
        pictures = fetch;
        await fails(image.embed('http://localhost/a.png'), 'http/network', pattern);
      }
    });
  }

  test(`the next call works, ${where}`, async () => {
    assert.equal((await image.embed({ data: new Uint8Array(12), width: 2, height: 2 })).length, 24);
    image.dispose();
  });
}
