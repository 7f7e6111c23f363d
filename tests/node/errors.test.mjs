// Each failure has its code and a message that names what is wrong; after it, the next call works.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { HalfclipError, cosineSimilarity, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { fails } from './fails.mjs';
import { buildSafetensors, golden, parseSafetensors, rows } from './support.mjs';

const clip = golden('clip');
const file = readFileSync(clip.path);
const load = (weights, options) => loadTextEncoder({ model: clip.config, weights, dtype: 'fp32', ...options });

/** The golden checkpoint with a change to its tensors. */
function changed(change) {
  const content = parseSafetensors(Buffer.from(file));
  content.tensors = { ...content.tensors };
  change(content.tensors);
  return buildSafetensors(content);
}

/** The golden checkpoint with another header. */
function withHeader(change) {
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  change(header);
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, file.subarray(8 + length)]);
}

let folder;
let server;
let base;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  server = createServer((request, response) => {
    if (request.url === '/clip.safetensors') response.end(file);
    else if (request.url === '/page.safetensors')
      response.setHeader('content-type', 'text/html').end('<!DOCTYPE html><title>Sign in</title>');
    else if (request.url === '/cut.safetensors') {
      response.writeHead(200, { 'content-length': file.length });
      response.write(file.subarray(0, 20000), () => response.destroy());
    } else response.writeHead(404).end('no');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

test('a path or URL as model', async () => {
  for (const model of [
    './model.safetensors',
    'models/clip.json',
    'https://example.org/open_clip_config.json',
    'clip.safetensors',
    'C:\\clip',
  ]) {
    await fails(loadTextEncoder({ model, weights: file }), 'model/not-a-path', /weights/);
  }
  await fails(loadTextEncoder({ model: new URL('https://example.org/clip'), weights: file }), 'model/not-a-path');
});

test('an unknown model, with the nearest known names', async () => {
  await fails(
    loadTextEncoder({ model: 'ViT-B32', weights: file }),
    'model/unknown',
    /"ViT-B32"/,
    /nearest names are ViT-B-32,/,
  );
  await fails(loadTextEncoder({ model: 'halfclip-emojis', weights: file }), 'model/unknown', /halfclip-emoji\b/);
  await fails(loadTextEncoder({ model: { nothing: 1 }, weights: file }), 'model/unknown', /^option model: .*embed_dim/);
});

test('names that are known to OpenCLIP are known here, also as OpenAI writes them', async () => {
  await fails(loadTextEncoder({ model: 'ViT-B-32', weights: file }), 'weights/mismatch', /\b512\b/);
  await fails(loadTextEncoder({ model: 'ViT-B/32', weights: file }), 'weights/mismatch', /\b512\b/);
});

test('models that no tower here computes', async () => {
  const config = structuredClone(clip.config);
  config.model_cfg.vision_cfg = { timm_model_name: 'resnet50', image_size: 224 };
  await fails(loadImageEncoder({ model: config, weights: file }), 'model/unsupported', /timm_model_name is "resnet50"/);
});

test('a tower of the other kind', async () => {
  const texts = buildSafetensors({
    tensors: Object.fromEntries(
      Object.entries(parseSafetensors(file).tensors).filter(([name]) => !name.startsWith('visual.')),
    ),
  });
  await load(texts).then((encoder) => encoder.dispose());
  await fails(
    loadImageEncoder({ model: clip.config, weights: texts }),
    'weights/mismatch',
    /text tower/,
    /image tower/,
  );
});

test('a missing tensor', async () => {
  const weights = changed((tensors) => delete tensors['ln_final.weight']);
  await fails(load(weights), 'weights/mismatch', /ln_final\.weight/);
});

test('a tensor of another shape', async () => {
  const weights = changed(
    (tensors) => (tensors['ln_final.weight'] = { ...tensors['ln_final.weight'], shape: [2, 24] }),
  );
  await fails(load(weights), 'weights/mismatch', /ln_final\.weight/, /\b24\b/, /\b48\b/);
});

test('a file that ends too early', async () => {
  const where = path.join(folder, 'cut.safetensors');
  for (const length of [0, 5, 8, 100, 3000, file.length >> 1, file.length - 1]) {
    const cut = file.subarray(0, length);
    writeFileSync(where, cut);
    for (const weights of [where, new Blob([cut]), new Uint8Array(cut)])
      await fails(load(weights), 'weights/truncated');
  }
  await fails(load(where), 'weights/truncated', /cut\.safetensors/);
  const unknownLength = async () =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array(file.subarray(0, 20000)));
          controller.close();
        },
      }),
    );
  await fails(load('http://example.org/short', { fetch: unknownLength }), 'weights/truncated', /short/, /20000/);
});

test('an HTML page in place of weights', async () => {
  await fails(load(`${base}/page.safetensors`), 'weights/format', /page\.safetensors/, /HTML/);
  await fails(load(Buffer.from('<html>'.padEnd(4000))), 'weights/format', /HTML/);
});

test('files of other formats', async () => {
  await fails(load(Buffer.from('PK\x03\x04'.padEnd(4000))), 'weights/truncated', /PyTorch|zip/i);
  await fails(load(Buffer.from('{"model_cfg": 1}'.padEnd(4000))), 'weights/format');
});

test('HTTP statuses', async () => {
  const error = await fails(load(`${base}/nothing`), 'http/status', /404/, /\/nothing/);
  assert.equal(error.status, 404);
  const embedder = await loadImageEncoder({ model: clip.config, weights: file });
  await fails(embedder.embed(`${base}/nothing.png`), 'http/status', /nothing\.png/);
  embedder.dispose();
});

test('no server', async () => {
  await fails(load('http://127.0.0.1:1/clip.safetensors'), 'http/network', /127\.0\.0\.1:1/);
});

test('a connection that breaks', async () => {
  await fails(load(`${base}/cut.safetensors`), 'http/network', /cut\.safetensors/);
});

test('a missing file, and no weights at all', async () => {
  await fails(load(path.join(folder, 'none.safetensors')), 'weights/not-found', /none\.safetensors/);
  await fails(load(folder), 'weights/not-found');
  await fails(load(undefined), 'weights/not-found', /weights/);
});

test('a file of zeros', async () => {
  await fails(load(Buffer.alloc(4000)), 'weights/format');
  const zeros = changed((tensors) =>
    Object.keys(tensors).forEach(
      (name) => (tensors[name] = { ...tensors[name], bytes: Buffer.alloc(tensors[name].bytes.length) }),
    ),
  );
  await fails(load(zeros), 'weights/corrupt');
});

test('values that no trained tower has', async () => {
  const weights = changed((tensors) => {
    const bytes = Buffer.from(tensors['ln_final.weight'].bytes);
    tensors['ln_final.weight'].dtype === 'F32' ? bytes.writeFloatLE(NaN, 0) : bytes.writeUInt16LE(0x7e00, 0);
    tensors['ln_final.weight'] = { ...tensors['ln_final.weight'], bytes };
  });
  await fails(load(weights), 'weights/corrupt', /ln_final\.weight/);
});

test('a header that lies', async () => {
  const lies = {
    'offsets beyond the end': (header) => (header['ln_final.weight'].data_offsets = [1e9, 1e9 + 96]),
    'offsets that go backwards': (header) => header['ln_final.weight'].data_offsets.reverse(),
    'offsets that overlap': (header) => (header['ln_final.weight'].data_offsets = header['ln_final.bias'].data_offsets),
    "a size that is not the shape's": (header) => (header['ln_final.weight'].shape = [47]),
    'an unknown dtype': (header) => (header['ln_final.weight'].dtype = 'F31'),
    'no offsets': (header) => delete header['ln_final.weight'].data_offsets,
    'a negative shape': (header) => (header['ln_final.weight'].shape = [-48]),
  };
  for (const [name, lie] of Object.entries(lies)) {
    const error = await load(withHeader(lie)).then(
      () => null,
      (error) => error,
    );
    assert.ok(
      error instanceof HalfclipError && ['weights/format', 'weights/truncated'].includes(error.code),
      `${name}: ${error?.stack}`,
    );
  }
  const prefix = Buffer.from(file);
  prefix.writeBigUInt64LE(0xffff_ffff_ffff_fff0n);
  await fails(load(prefix), 'weights/format');
});

test('integrity', async () => {
  await fails(load(file, { integrity: `sha256-${'A'.repeat(43)}=` }), 'integrity/mismatch', /sha256-/);
  await fails(load(file, { integrity: 'md5-abc' }), 'input/type', /md5/);
});

test('options of the wrong type', async () => {
  await fails(loadTextEncoder(), 'input/type');
  await fails(load(42), 'input/type', /weights/);
  for (const weights of ['ftp://example.org/clip', new URL('ftp://example.org/clip'), 'http://']) {
    await fails(load(weights), 'input/type', /option weights is .*expected .*https:/);
  }
  await fails(loadTextEncoder({ model: 42, weights: file }), 'input/type', /model/);
  for (const option of [
    { dtype: 'fp8' },
    { threads: 0 },
    { worker: 'yes' },
    { cache: 'forever' },
    { integrity: 1 },
    { signal: {} },
    { onProgress: 1 },
    { fetch: 1 },
  ]) {
    await fails(load(file, option), 'input/type', new RegExp(`option ${Object.keys(option)[0]}`));
  }
});

test('inputs of the wrong type or size', async () => {
  const text = await load(file);
  await fails(text.embed(7), 'input/type', /number 7/);
  await fails(text.embed(['a', null]), 'input/type', /input 1/, /null/);
  await fails(text.embedTokens(new Int32Array(3)), 'input/type', /12/);
  await fails(text.embedTokens(new Float32Array(12)), 'input/type', /Int32Array/);
  await fails(text.embedTokens(new Int32Array(12).fill(96)), 'input/type', /95/);
  await fails(text.embedTokens(new Int32Array(12).fill(-1)), 'input/type');
  await fails(text.embed('a', 5), 'input/type');
  await fails(text.embed('a', { signal: 5 }), 'input/type', /option signal is the number 5/);
  await fails(text.tokenize('a', { signal: {} }), 'input/type', /option signal/);
  await fails(text.embed('a', { normalize: 'no' }), 'input/type', /option normalize is the string "no"/);
  const many = Array.from({ length: 40 }, () => new Int32Array(12));
  many[35][2] = 4096;
  await fails(text.embedTokens(many), 'input/type', /^input 35: token id 4096 at position 2, expected 0 to 95$/);
  await fails(text.embedTokens(many[35]), 'input/type', /^the input: token id 4096/);
  await fails(
    text.embed(['a']),
    'input/type',
    /^input 0: token id \d+ at position 0, expected 0 to 95: the vocabulary does not fit the model$/,
  );
  assert.equal((await text.embedTokens(rows(clip.expected.tokens)[0])).length, 24, 'the next call works');
  text.dispose();

  const image = await loadImageEncoder({ model: clip.config, weights: file });
  await fails(image.embed({}), 'input/type', /picture/);
  await fails(image.embed({ data: new Uint8Array(5), width: 1, height: 1 }), 'input/type', /5 bytes/);
  await fails(image.embed({ data: new Float32Array(3), width: 1, height: 1 }), 'input/type');
  await fails(image.embed({ data: new Uint8Array(0), width: 0, height: 1 }), 'input/size', /0 x 1/);
  await fails(image.embed({ data: new Uint8Array(60003), width: 20001, height: 1 }), 'input/size', /20001/);
  await fails(image.embedPixels(new Float32Array(5)), 'input/type', /3072/);
  await fails(image.embedPixels(new Float32Array(3072).fill(NaN)), 'input/type', /finite/);
  const pixels = Array.from({ length: 6 }, () => new Float32Array(3072));
  pixels[5][7] = Infinity;
  await fails(
    image.embedPixels(pixels),
    'input/type',
    /^input 5: pixel value Infinity at position 7, expected a finite number$/,
  );
  await fails(image.embed(''), 'input/type', /the input is the string "", expected a path or URL/);
  await fails(image.embed(['ftp://example.org/a.png']), 'input/type', /^input 0 is .*ftp:.*https:/);
  assert.equal(
    (await image.embed({ data: new Uint8Array(12), width: 2, height: 2 })).length,
    24,
    'the next call works',
  );
  image.dispose();
  for (const [a, b] of [
    [[1], [1, 2]],
    ['a', 'b'],
    [null, null],
    [[1], '1'],
  ]) {
    assert.throws(
      () => cosineSimilarity(a, b),
      (error) => error.code === 'input/type',
    );
  }
  assert.ok(Math.abs(cosineSimilarity([1e-100, 0], [1e-100, 1e-100]) - Math.SQRT1_2) < 1e-12, 'neither underflows');
  assert.equal(cosineSimilarity([1e100, 0], [1e100, 0]), 1, 'nor overflows');
  assert.equal(cosineSimilarity([0, 0], [1, 2]), 0);
});

test('a picture that cannot be read', async () => {
  const image = await loadImageEncoder({ model: clip.config, weights: file });
  await fails(image.embed(new Uint8Array([1, 2, 3])), 'input/decode', /^the input:/);
  await fails(image.embed([new Uint8Array([1, 2, 3])]), 'input/decode', /^input 0:/);
  await fails(image.embed(new Blob(['no picture'])), 'input/decode');
  await fails(image.embed(path.join(folder, 'none.png')), 'input/decode', /none\.png/);
  await fails(
    image.embed([{ data: new Uint8Array(12), width: 2, height: 2 }, fileURLToPath(import.meta.url)]),
    'input/decode',
    /errors\.test\.mjs/,
  );
  assert.equal((await image.embed({ data: new Uint8Array(12), width: 2, height: 2 })).length, 24);
  image.dispose();
});

test("a tokenizer that is not CLIP's, and that cannot be had", async () => {
  const config = structuredClone(clip.config);
  config.model_cfg.text_cfg.hf_tokenizer_name = 'timm/ViT-B-16-SigLIP';
  const hub = 'http://127.0.0.1:9';
  const text = await loadTextEncoder({ model: config, weights: file, hub, retry: { attempts: 1 } });
  await fails(text.embed('a cat'), 'http/network', /SigLIP.*tokenizer\.json/);
  assert.equal((await text.embedTokens(rows(clip.expected.tokens)[0])).length, 24);
  text.dispose();
});

for (const worker of [false, true]) {
  test(`a disposed encoder, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    const text = await load(file, { worker });
    const ids = rows(clip.expected.tokens)[0];
    const running = text.embedTokens(Array.from({ length: 5000 }, () => ids));
    text.dispose();
    await fails(running, 'state/disposed');
    await fails(text.embedTokens(ids), 'state/disposed');
    await fails(text.embed('a'), 'state/disposed');
    text.dispose();
    assert.equal(text.info.dim, 24);
  });

  test(`an aborted load, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    const reason = new Error('changed my mind');
    assert.equal(await load(file, { worker, signal: AbortSignal.abort(reason) }).catch((error) => error), reason);

    const controller = new AbortController();
    let cancelled = false;
    const slow = async () =>
      new Response(
        new ReadableStream(
          {
            pull(stream) {
              stream.enqueue(new Uint8Array(file.subarray(0, 4096)));
              setTimeout(() => controller.abort(reason), 20);
              return new Promise(() => {}); // nothing more ever comes
            },
            cancel() {
              cancelled = true;
            },
          },
          { highWaterMark: 0 },
        ),
      );
    assert.equal(
      await load('http://example.org/slow', { worker, fetch: slow, signal: controller.signal }).catch((error) => error),
      reason,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(cancelled, 'the body is cancelled');

    const text = await load(file, { worker });
    assert.equal((await text.embedTokens(rows(clip.expected.tokens)[0])).length, 24, 'the next load works');
    text.dispose();
  });

  test(`an aborted embed, ${worker ? 'in a worker' : 'on this thread'}`, async () => {
    const text = await load(file, { worker });
    const ids = rows(clip.expected.tokens)[0];
    const many = Array.from({ length: 20000 }, () => ids);
    const reason = new Error('never mind');
    assert.equal(await text.embedTokens(ids, { signal: AbortSignal.abort(reason) }).catch((error) => error), reason);

    const controller = new AbortController();
    const start = performance.now();
    const running = text.embedTokens(many, { signal: controller.signal });
    const behind = text.embedTokens(ids);
    setTimeout(() => controller.abort(reason), 20);
    assert.equal(await running.catch((error) => error), reason);
    assert.equal((await behind).length, 24, 'what waited behind it is done');
    const stopped = performance.now() - start;
    const all = performance.now();
    await text.embedTokens(many.slice(0, 4000));
    assert.ok(stopped < (performance.now() - all) * 5, `it stopped early, after ${stopped} ms`);
    text.dispose();
  });
}

test('a folder of assets without the module: what is missing and what helps, each said once', async () => {
  const { message } = await fails(
    load(clip.path, { assets: new URL('.', import.meta.url), worker: false }),
    'http/network',
    /halfclip-[\w-]+\.wasm: there is no such file/,
  );
  assert.equal(message.split('the option assets').length, 2, message);
});
