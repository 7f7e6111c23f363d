// Where weights may come from, and what is reported about them: every source gives the same encoder, reads no more than
// it must, and holds no more than it needs.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { golden, randomCheckpoint, rows } from './support.mjs';

const clip = golden('clip');
const file = readFileSync(clip.path);
const ids = rows(clip.expected.tokens)[0];
const pixels = rows(clip.expected.pixels)[0];

let server;
let base;
let requests = [];

before(async () => {
  server = createServer((request, response) => {
    requests.push(request);
    if (request.url === '/gzip') response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(file));
    else if (request.url === '/chunked') {
      let at = 0;
      const send = () => {
        for (let n = 1; at < file.length; n = (n * 7) % 1999)
          if (!response.write(file.subarray(at, (at += n)))) return response.once('drain', send);
        return response.end();
      };
      send();
    } else response.writeHead(200, { 'content-length': file.length }).end(file);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(() => server.close());

for (const worker of [false, true]) {
  test(`every source gives the same encoder, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    const options = { model: clip.config, dtype: 'fp32', worker };
    const reference = await loadTextEncoder({ ...options, weights: clip.path });
    const expected = await reference.embedTokens(ids);
    reference.dispose();
    const padded = new Uint8Array(file.length + 20);
    padded.set(file, 13);
    const sources = {
      'a path': fileURLToPath(clip.path),
      'the text of a file URL': clip.path.href,
      'a Blob': new Blob([file]),
      'a File': new File([file], 'clip.safetensors'),
      'an ArrayBuffer': Uint8Array.from(file).buffer,
      'a view into a larger buffer': padded.subarray(13, 13 + file.length),
      'a URL': new URL(`${base}/clip`),
      'the text of a URL': `${base}/clip`,
      'a compressed response': `${base}/gzip`,
      'a response of unknown length in odd chunks': `${base}/chunked`,
    };
    for (const [name, weights] of Object.entries(sources)) {
      const encoder = await loadTextEncoder({ ...options, weights });
      assert.deepEqual(await encoder.embedTokens(ids), expected, name);
      encoder.dispose();
    }
  });

  test(`a fetch of one's own, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    requests = [];
    let calls = 0;
    const encoder = await loadImageEncoder({
      model: clip.config,
      weights: `${base}/clip`,
      worker,
      cache: 'no-store',
      fetch: (url, init) => {
        calls++;
        assert.equal(init.cache, 'no-store');
        return fetch(url, { ...init, headers: { authorization: 'Bearer secret' } });
      },
    });
    assert.equal(calls, 1);
    assert.deepEqual(
      requests.map(({ headers }) => headers.authorization),
      ['Bearer secret'],
    );
    assert.equal((await encoder.embedPixels(pixels)).length, 24);
    encoder.dispose();
  });

  test(`progress and info, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    const steps = [];
    const encoder = await loadTextEncoder({
      model: clip.config,
      weights: clip.path,
      dtype: 'int8',
      worker,
      onProgress: (step) => steps.push(step),
    });
    assert.ok(steps.length >= 2);
    assert.ok(
      steps.every(
        ({ phase, loaded, total }, i) =>
          phase === 'fetch' && total === steps[0].total && (!i || loaded >= steps[i - 1].loaded),
      ),
    );
    const { memoryBytes, fetchedBytes, parameters, ...info } = encoder.info;
    assert.equal(steps.at(-1).loaded, steps.at(-1).total);
    assert.equal(fetchedBytes, steps.at(-1).total);
    assert.ok(fetchedBytes < file.length * 0.6, 'the other tower was not read');
    assert.ok(memoryBytes > 65536 && memoryBytes % 65536 === 0);
    assert.equal(parameters, 62976);
    assert.match(info.simd, /^(relaxed|simd128)$/);
    assert.deepEqual(
      { ...info, simd: null },
      {
        model: null,
        tower: 'text',
        dtype: 'int8',
        dim: 24,
        tokensOut: 1,
        contextLength: 12,
        vocabSize: 96,
        fileBytes: file.length,
        cached: false,
        quickGelu: false,
        simd: null,
        threads: 1,
      },
    );
    encoder.dispose();
  });
}

test('int8 is the default for a checkpoint', async () => {
  const encoder = await loadImageEncoder({ model: clip.config, weights: clip.path });
  assert.equal(encoder.info.dtype, 'int8');
  assert.equal(encoder.info.imageSize, 32);
  encoder.dispose();
  const wide = golden('image-wide');
  const other = await loadImageEncoder({ model: wide.config, weights: wide.path });
  assert.deepEqual(other.info.imageSize, wide.config.model_cfg.vision_cfg.image_size);
  other.dispose();
});

test('the rest of a response is cancelled once the tower is whole', async () => {
  let cancelled = false;
  let sent = 0;
  const response = () =>
    new Response(
      new ReadableStream(
        {
          pull(controller) {
            // The file, and then a tail that never ends.
            const chunk = sent < file.length ? new Uint8Array(file.subarray(sent, sent + 4096)) : new Uint8Array(4096);
            sent += chunk.length;
            controller.enqueue(chunk);
          },
          cancel() {
            cancelled = true;
          },
        },
        { highWaterMark: 0 },
      ),
    );
  const encoder = await loadImageEncoder({
    model: clip.config,
    weights: 'http://example.org/endless',
    fetch: async () => response(),
  });
  assert.ok(cancelled);
  assert.ok(encoder.info.fetchedBytes <= file.length);
  encoder.dispose();
});

test('integrity of the whole file, with each algorithm', async () => {
  for (const weights of [clip.path, file, new Blob([file]), `${base}/clip`, `${base}/gzip`]) {
    for (const algorithm of ['sha256', 'sha384', 'sha512']) {
      const integrity = `${algorithm}-${createHash(algorithm).update(file).digest('base64')}`;
      const encoder = await loadTextEncoder({ model: clip.config, weights, integrity });
      assert.equal(encoder.info.fetchedBytes, file.length);
      encoder.dispose();
      // The strongest algorithm counts, as in <script integrity>.
      const both = loadTextEncoder({
        model: clip.config,
        weights,
        integrity: `sha512-${'A'.repeat(86)}== sha256-${createHash('sha256').update(file).digest('base64')}`,
      });
      await assert.rejects(both, { code: 'integrity/mismatch' });
    }
  }
});

test('one changed byte anywhere is found, also in the other tower', async () => {
  const integrity = `sha256-${createHash('sha256').update(file).digest('base64')}`;
  for (const at of [9000, file.length >> 1, file.length - 1]) {
    const other = Uint8Array.from(file);
    other[at] ^= 1;
    await assert.rejects(loadTextEncoder({ model: clip.config, weights: other, integrity }), {
      code: 'integrity/mismatch',
    });
  }
});

test("WebAssembly's memory is at most 1.1 times the packed weights, plus 24 MB", async () => {
  const { config, file } = randomCheckpoint({
    embed_dim: 512,
    text_cfg: { context_length: 77, vocab_size: 49408, width: 512, heads: 8, layers: 8 },
  });
  for (const [dtype, bytes] of [
    ['int4', 4.5 / 8],
    ['int8', 1],
    ['fp16', 2],
    ['fp32', 4],
  ]) {
    const encoder = await loadTextEncoder({ model: config, weights: file, dtype });
    const texts = Array.from({ length: 64 }, (_, i) => `text number ${i}`);
    const vectors = await encoder.embed(texts);
    assert.ok(vectors.every((vector) => Math.abs(Math.hypot(...vector) - 1) < 1e-5));
    const packed = encoder.info.parameters * bytes;
    assert.ok(
      encoder.info.memoryBytes <= 1.1 * packed + 24e6,
      `${dtype}: ${encoder.info.memoryBytes} bytes for ${packed} of weights`,
    );
    encoder.dispose();
  }
});

test('calls are done in order, whatever they are', async () => {
  const encoder = await loadTextEncoder({ model: clip.config, weights: clip.path });
  const order = [];
  const many = Array.from({ length: 300 }, () => ids);
  await Promise.all([
    encoder.embedTokens(many).then(() => order.push('many')),
    encoder.embedTokens(new Int32Array(12).fill(500)).catch(() => order.push('wrong')),
    encoder.tokenize('a cat').then(() => order.push('tokens')),
    encoder.embedTokens(ids).then(() => order.push('one')),
  ]);
  assert.deepEqual(
    order.filter((name) => name !== 'wrong'),
    ['many', 'tokens', 'one'],
  );
  encoder.dispose();
});

test('a worker lets Node.js end', () => {
  const program = `
    import { loadTextEncoder } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
    const encoder = await loadTextEncoder({ model: ${JSON.stringify(clip.config)}, weights: ${JSON.stringify(fileURLToPath(clip.path))}, worker: true });
    console.log((await encoder.embedTokens(new Int32Array(12))).length);`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 20000,
  });
  assert.equal(status, 0);
  assert.equal(stdout, '24\n');
});
