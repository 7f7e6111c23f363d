// Objects that are no instances of this realm's classes, as tests in `vm` contexts and frames of a page hand them in;
// and memory that is shared, resizable or gone.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import sharp from 'sharp';

import { HalfclipError, cosineSimilarity, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { golden, rows } from './support.mjs';

const clip = golden('clip');
const file = Uint8Array.from(readFileSync(clip.path));
const ids = rows(clip.expected.tokens)[0];
const pixels = rows(clip.expected.pixels)[0];
const picture = { data: Uint8Array.from({ length: 4 * 40 * 30 }, (_, i) => i * 7), width: 40, height: 30 };
const png = Uint8Array.from(
  await sharp(picture.data, { raw: { width: 40, height: 30, channels: 4 } })
    .png()
    .toBuffer(),
);

const realm = vm.createContext({});
const there = (source, given = {}) => {
  Object.assign(realm, given);
  return vm.runInContext(source, realm);
};
/** The same array as an object of another realm. */
const elsewhere = (array, Type = array.constructor.name) => there(`new ${Type}(given)`, { given: [...array] });

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'on this thread';

  test(`everything from another realm, ${where}`, async () => {
    const options = { model: clip.config, weights: file, dtype: 'fp32', worker };
    const text = await loadTextEncoder(options);
    const image = await loadImageEncoder(options);
    const bytes = elsewhere(file);
    assert.ok(!(bytes instanceof Uint8Array));
    const given = there('({ ...JSON.parse(text), weights, cache: JSON.parse(`{"mode":"no-store"}`), retry: {} })', {
      text: JSON.stringify({ ...options, weights: undefined }),
      weights: bytes,
    });
    for (const weights of [bytes, bytes.buffer, there('new DataView(weights.buffer)')]) {
      const same = await loadTextEncoder(Object.assign(given, { weights }));
      assert.deepEqual(await same.embedTokens(elsewhere(ids)), await text.embedTokens(ids));
      assert.deepEqual(
        await same.embedTokens(there('[ids, ids]', { ids: elsewhere(ids) }), there('({ normalize: false })')),
        await text.embedTokens([ids, ids], { normalize: false }),
      );
      same.dispose();
    }
    assert.deepEqual(await image.embedPixels(elsewhere(pixels)), await image.embedPixels(pixels));
    const data = elsewhere(picture.data);
    const expected = await image.preprocess(picture);
    for (const same of [
      { ...picture, data },
      there('({ data: new Uint8ClampedArray(data), width: 40, height: 30 })', { data }),
    ]) {
      assert.deepEqual(await image.preprocess(same), expected);
    }
    const encoded = elsewhere(png);
    for (const same of [encoded, encoded.buffer])
      assert.deepEqual(await image.preprocess(same), await image.preprocess(png));
    assert.ok(Math.abs(cosineSimilarity(elsewhere(pixels), pixels) - 1) < 1e-6);
    text.dispose();
    image.dispose();
  });

  test(`errors of another realm, ${where}`, async () => {
    const thrown = there('new TypeError("from elsewhere")');
    const options = { model: clip.config, worker, retry: { attempts: 1 }, cache: 'no-store' };
    assert.equal(
      await loadTextEncoder({
        ...options,
        weights: file,
        onProgress: () => {
          throw thrown;
        },
      }).catch((error) => error),
      thrown,
    );
    const failed = await loadTextEncoder({
      ...options,
      weights: 'http://localhost/',
      fetch: () => {
        throw thrown;
      },
    }).catch((error) => error);
    assert.ok(failed instanceof HalfclipError);
    assert.equal(failed.code, 'http/network');
    assert.match(failed.message, /from elsewhere/);
  });

  test(`memory that is shared or can be resized, ${where}`, async () => {
    const shared = (array) => {
      const copy = new array.constructor(new SharedArrayBuffer(array.byteLength));
      copy.set(array);
      return copy;
    };
    const resizable = (array) => {
      const copy = new array.constructor(new ArrayBuffer(array.byteLength, { maxByteLength: 2 * array.byteLength }));
      copy.set(array);
      return copy;
    };
    const options = { model: clip.config, dtype: 'fp32', worker };
    const image = await loadImageEncoder({ ...options, weights: file });
    const encoded = png;
    const vector = await image.embedPixels(pixels);
    for (const make of [shared, resizable]) {
      for (const weights of [make(file), make(file).buffer]) {
        const same = await loadImageEncoder({ ...options, weights });
        assert.deepEqual(await same.embedPixels(make(pixels)), vector);
        same.dispose();
      }
      assert.deepEqual(
        await image.preprocess({ ...picture, data: make(picture.data) }),
        await image.preprocess(picture),
      );
      for (const source of [make(encoded), make(encoded).buffer])
        assert.deepEqual(await image.preprocess(source), await image.preprocess(png));
    }
    image.dispose();
  });

  test(`memory that was transferred elsewhere, ${where}`, async () => {
    const detached = (array) => {
      const copy = array.slice();
      structuredClone(copy, { transfer: [copy.buffer] });
      return copy;
    };
    const fails = async (promise, pattern) => {
      const error = await promise.then(
        () => assert.fail('it worked'),
        (error) => error,
      );
      assert.ok(error instanceof HalfclipError, error.stack);
      assert.equal(error.code, 'input/type', error.message);
      assert.match(error.message, pattern);
    };
    const options = { model: clip.config, dtype: 'fp32', worker };
    const bytes = detached(file);
    await fails(loadTextEncoder({ ...options, weights: bytes }), /^option weights is a detached Uint8Array/);
    await fails(loadTextEncoder({ ...options, weights: bytes.buffer }), /^option weights is a detached ArrayBuffer/);
    const text = await loadTextEncoder({ ...options, weights: file });
    const image = await loadImageEncoder({ ...options, weights: file });
    await fails(text.embedTokens([ids, detached(ids)]), /^input 1 is a detached Int32Array/);
    await fails(image.embedPixels(detached(pixels)), /^the input is a detached Float32Array/);
    await fails(image.embed(detached(png)), /^the input is a detached Uint8Array/);
    await fails(image.embed([detached(png).buffer]), /^input 0 is a detached ArrayBuffer/);
    await fails(image.embed({ ...picture, data: detached(picture.data) }), /^the input: data is a detached Uint8Array/);
    assert.equal((await image.embed(picture)).length, 24, 'the next call works');
    text.dispose();
    image.dispose();
  });
}

test('memory that is transferred or resized while it is read', async () => {
  const codeOf = (promise) =>
    promise.then(
      () => 'it worked',
      (error) => (error instanceof HalfclipError ? error.code : error.stack),
    );
  const take = (array) => array.byteLength && structuredClone(array, { transfer: [array.buffer] });
  const options = { model: clip.config, worker: false };
  const bytes = file.slice();
  assert.equal(
    await codeOf(loadTextEncoder({ ...options, weights: bytes, onProgress: () => take(bytes) })),
    'weights/changed',
  );
  const buffer = new ArrayBuffer(file.length, { maxByteLength: file.length });
  new Uint8Array(buffer).set(file);
  assert.equal(
    await codeOf(loadTextEncoder({ ...options, weights: buffer, onProgress: () => buffer.resize(100) })),
    'weights/changed',
  );

  const text = await loadTextEncoder({ ...options, weights: file });
  const image = await loadImageEncoder({ ...options, weights: file });
  const last = ids.slice();
  const embedding = codeOf(text.embedTokens([...Array(200).fill(ids), last]));
  const raw = { ...picture, data: picture.data.slice() };
  const pictures = codeOf(image.preprocess([...Array(20).fill(picture), raw]));
  setTimeout(() => [last, raw.data].forEach(take), 1);
  assert.deepEqual([await embedding, await pictures], ['input/type', 'input/type']);
  assert.equal((await text.embedTokens(ids)).length, 24, 'the next call works');
  text.dispose();
  image.dispose();
});
