// One tower out of a checkpoint of more than a gigabyte: what is fetched, and what is held.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { loadTextEncoder } from '../../dist/index.js';
import { architectures } from '../../web/models/architectures.js';
import { FaultServer } from './fault-server.mjs';

const GAP = 65536; // up to which reading on is cheaper than another request
const TAG = '/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/open_clip_model.safetensors';

/** Shapes of OpenCLIP's text tower. */
function textShapes({ embed_dim, text_cfg: { context_length, vocab_size, width, layers } }) {
  const shapes = {
    positional_embedding: [context_length, width],
    text_projection: [width, embed_dim],
    'token_embedding.weight': [vocab_size, width],
  };
  for (const part of ['weight', 'bias']) shapes[`ln_final.${part}`] = [width];
  for (let i = 0; i < layers; i++) {
    const block = `transformer.resblocks.${i}`;
    Object.assign(shapes, {
      [`${block}.attn.in_proj_weight`]: [3 * width, width],
      [`${block}.attn.in_proj_bias`]: [3 * width],
      [`${block}.attn.out_proj.weight`]: [width, width],
      [`${block}.attn.out_proj.bias`]: [width],
      [`${block}.mlp.c_fc.weight`]: [4 * width, width],
      [`${block}.mlp.c_fc.bias`]: [4 * width],
      [`${block}.mlp.c_proj.weight`]: [width, 4 * width],
      [`${block}.mlp.c_proj.bias`]: [width],
    });
    for (const norm of ['ln_1', 'ln_2'])
      for (const part of ['weight', 'bias']) shapes[`${block}.${norm}.${part}`] = [width];
  }
  return shapes;
}

/** A checkpoint at fp32 that is made as it is read: a header, and the same block of weights again and again. */
function virtualCheckpoint(shapes, before, behind) {
  const header = {};
  let at = 0;
  const add = (name, shape) => {
    const begin = at;
    at += 4 * shape.reduce((a, b) => a * b);
    header[name] = { dtype: 'F32', shape, data_offsets: [begin, at] };
  };
  add('visual.before', [before / 4]);
  for (const [name, shape] of Object.entries(shapes)) add(name, shape);
  add('visual.behind', [behind / 4]);
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const head = Buffer.concat([Buffer.alloc(8), padded]);
  head.writeBigUInt64LE(BigInt(padded.length));

  const block = Buffer.alloc(1 << 16);
  for (let i = 0; i < block.length; i += 4) block.writeFloatLE(Math.sin(i * i) * 0.05, i);
  const read = (begin, end) => {
    if (begin < head.length) return head.subarray(begin, end);
    const from = (begin - head.length) % block.length;
    return block.subarray(from, Math.min(block.length, from + end - begin));
  };
  return {
    size: head.length + at,
    read,
    tower: header['visual.behind'].data_offsets[0] - header['visual.before'].data_offsets[1],
  };
}

const shapes = textShapes(architectures['ViT-B-32']);
const checkpoint = virtualCheckpoint(shapes, 500e6, 400e6);
let server;

before(async () => (server = await FaultServer.start({ [TAG]: checkpoint })));
after(() => server.close());

for (const [dtype, bytesEach] of [
  ['int8', 1],
  ['fp16', 2],
]) {
  test(`the text tower of a ViT-B-32 at ${dtype} out of ${(checkpoint.size / 1e9).toFixed(2)} GB at fp32`, async (t) => {
    server.requests = [];
    const begin = performance.now();
    let most = 0; // bytes outside V8's heap: WebAssembly's memory and what is on its way there
    const { external } = process.memoryUsage();
    const encoder = await loadTextEncoder({
      model: 'ViT-B-32',
      weights: 'laion2b_s34b_b79k',
      hub: server.base,
      dtype,
      cache: 'no-store',
      onProgress: () => (most = Math.max(most, process.memoryUsage().external - external)),
    });
    const seconds = (performance.now() - begin) / 1000;
    const { memoryBytes, fetchedBytes, fileBytes, parameters } = encoder.info;
    const packed = parameters * bytesEach;
    t.diagnostic(
      JSON.stringify({
        dtype,
        fileBytes,
        fetchedBytes,
        memoryBytes,
        packed,
        outside: most,
        requests: server.requests.length,
        seconds,
      }),
    );
    assert.equal(fileBytes, checkpoint.size);
    assert.ok(fileBytes >= 1e9);
    assert.ok(memoryBytes <= 1.1 * packed + 24e6, `${memoryBytes} bytes of memory for ${packed} of weights`);
    assert.ok(most <= memoryBytes + 100e6, `${most} bytes outside the heap: transfers are not waiting for the encoder`);
    assert.ok(
      fetchedBytes <= checkpoint.tower + 262144 + GAP,
      `${fetchedBytes} bytes fetched for ${checkpoint.tower} of weights`,
    );
    assert.ok(server.requests.length <= 3, `${server.requests.length} requests`);
    const [vector] = await encoder.embed(['a photo of a cat']);
    assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
    encoder.dispose();
  });
}
