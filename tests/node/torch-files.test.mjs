// PyTorch files through the package: from every source and through every fault the same vectors, and nothing of a
// pickle is ever run.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { fails } from './fails.mjs';
import { FaultServer, inMemory } from './fault-server.mjs';
import { GOLDEN, cosine, golden, rows } from './support.mjs';

const FILES = new URL('torch/', GOLDEN);
const model = golden('no-ln-pre'); // whose weights the files hold
const expected = JSON.parse(readFileSync(new URL('expected.json', FILES), 'utf8'));
const whole = readFileSync(new URL('whole.pt', FILES));

let server;

before(async () => (server = await FaultServer.start({})));
beforeEach(() => {
  server.reset();
  server.files = { '/whole.pt': inMemory(whole) };
});
after(() => server.close());

const load = (tower, weights, options) =>
  (tower === 'text' ? loadTextEncoder : loadImageEncoder)({
    model: model.config,
    dtype: 'fp32',
    cache: 'no-store',
    weights,
    retry: { pause: 1 },
    ...options,
  });

async function works(tower, weights, options) {
  const encoder = await load(tower, weights, options);
  const vector =
    tower === 'text'
      ? await encoder.embedTokens(rows(model.expected.tokens)[0], { normalize: false })
      : await encoder.embedPixels(rows(model.expected.pixels)[0], { normalize: false });
  assert.ok(cosine(vector, rows(model.expected[`${tower}_features`])[0]) > 0.99999);
  encoder.dispose();
  return encoder.info;
}

for (const name of ['whole.pt', 'script-whole.pt', 'strided.pt']) {
  test(`${name}, both towers, from every source`, async () => {
    const place = new URL(name, FILES);
    const bytes = readFileSync(place);
    server.files['/file'] = inMemory(bytes);
    for (const tower of ['text', 'image']) {
      for (const weights of [
        fileURLToPath(place),
        place.href,
        new Blob([bytes]),
        bytes,
        Uint8Array.from(bytes).buffer,
        `${server.base}/file`,
      ])
        await works(tower, weights);
      await works(tower, `${server.base}/file`, { worker: true, fetch });
    }
  });
}

test('ranges: a large file costs its end, its pickle and one tower', async () => {
  const file = withGap(whole, 2_000_000);
  server.files['/large.pt'] = inMemory(file);
  const { fetchedBytes, fileBytes } = await works('text', `${server.base}/large.pt`);
  assert.equal(fileBytes, file.length);
  assert.ok(fetchedBytes < 500_000, `${fetchedBytes} of ${file.length} bytes`);
  assert.ok(server.requests.length <= 4, `${server.requests.length} requests`);
});

/** A zip archive with unused bytes before its directory. */
function withGap(zip, gap) {
  const end = zip.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  const directory = zip.readUInt32LE(end + 16);
  const tail = Buffer.from(zip.subarray(directory));
  tail.writeUInt32LE(directory + gap, end - directory + 16);
  // zip64's record and locator, which PyTorch always writes.
  const end64 = tail.lastIndexOf('PK\x06\x06', undefined, 'latin1');
  if (end64 >= 0) {
    tail.writeBigUInt64LE(tail.readBigUInt64LE(end64 + 48) + BigInt(gap), end64 + 48);
    const locator = tail.lastIndexOf('PK\x06\x07', undefined, 'latin1');
    tail.writeBigUInt64LE(tail.readBigUInt64LE(locator + 8) + BigInt(gap), locator + 8);
  }
  return Buffer.concat([zip.subarray(0, directory), Buffer.alloc(gap), tail]);
}

test('servers that send no ranges, say no size, break off', async () => {
  const url = () => `${server.base}/whole.pt`;
  for (const fault of [
    { ranges: false },
    { ranges: false, length: false },
    { ranges: false, gzip: true },
    { length: false },
  ]) {
    server.reset();
    server.fault = () => fault;
    await works('image', url());
  }
  for (const fault of [{ cut: 1000 }, { status: 503 }, { ranges: false, cut: 5000 }, { shift: 3 }]) {
    server.reset();
    server.fault = ({ number }) => (number ? {} : fault);
    await works('image', url());
  }
  // As a page sees another host's answers: the size is asked for.
  server.reset();
  const large = withGap(whole, 600_000);
  server.files['/large.pt'] = inMemory(large);
  const opaque = async (...args) => {
    const response = await fetch(...args);
    const headers = new Headers(response.headers);
    for (const name of ['content-range', 'etag', 'content-encoding']) headers.delete(name);
    return Object.defineProperty(new Response(response.body, { status: response.status, headers }), 'type', {
      value: 'cors',
    });
  };
  assert.equal((await works('text', `${server.base}/large.pt`, { fetch: opaque })).fileBytes, large.length);
  assert.ok(server.requests.some(({ method }) => method === 'HEAD'));
  server.fault = ({ number, method }) => (method === 'HEAD' ? { status: 403 } : {});
  await works('text', `${server.base}/large.pt`, { fetch: opaque });
});

test('integrity', async () => {
  const digest = (bytes) => `sha384-${createHash('sha384').update(bytes).digest('base64')}`;
  const sources = [fileURLToPath(new URL('whole.pt', FILES)), new Blob([whole]), whole, `${server.base}/whole.pt`];
  for (const weights of sources) {
    await works('text', weights, { integrity: digest(whole) });
    await fails(load('text', weights, { integrity: digest(Buffer.from('other')) }), 'integrity/mismatch');
  }
  server.fault = () => ({ ranges: false });
  await works('text', `${server.base}/whole.pt`, { integrity: digest(whole) });
});

test('what was read as the directory is what is hashed', async () => {
  // A server that shows another end of the file when it is asked for ranges than when it sends the file whole.
  const large = withGap(whole, 600_000);
  const other = Buffer.from(large);
  const at = other.indexOf('ln_final.weight', other.indexOf('data.pkl'));
  other[at] = 'L'.charCodeAt(0);
  server.fault = ({ range }) => {
    server.files['/large.pt'] = inMemory(range === 'bytes=0-' || /^bytes=\d+-$/.test(range) ? large : other);
    return {};
  };
  const integrity = `sha256-${createHash('sha256').update(large).digest('base64')}`;
  const error = await load('image', `${server.base}/large.pt`, { integrity }).then(
    (encoder) => encoder.dispose(),
    (error) => error,
  );
  assert.ok(['weights/changed', 'integrity/mismatch'].includes(error?.code), String(error));
});

test('an index of PyTorch files', async () => {
  const names = Object.keys(expected['whole.pt'].tensors);
  const index = { weight_map: Object.fromEntries(names.map((name) => [name, 'whole.pt'])) };
  server.files['/pytorch_model.bin.index.json'] = inMemory(Buffer.from(JSON.stringify(index)));
  for (const tower of ['text', 'image']) await works(tower, `${server.base}/pytorch_model.bin.index.json`);
  server.files['/whole.pt'] = inMemory(readFileSync(new URL('strided.pt', FILES)));
  for (const tower of ['text', 'image']) await works(tower, `${server.base}/pytorch_model.bin.index.json`);
});

test('tensors that PyTorch would negate are refused by name, where they are needed', async () => {
  await fails(load('text', readFileSync(new URL('lazy.pt', FILES))), 'weights/mismatch');
});

test('files that are refused, each with the reason', async () => {
  let count = 0;
  for (const [name, { status, word }] of Object.entries(expected)) {
    if (!status) continue;
    await fails(load('text', readFileSync(new URL(name, FILES))), status, word);
    count++;
  }
  assert.ok(count > 30);
  await fails(load('text', whole.subarray(0, whole.length - 100)), 'weights/truncated');
});
