// Activations beyond what fp16 holds (65,504): weights at fp16 and bf16 whose hidden values are that large give no
// infinity at any dtype, and vectors that agree with those at fp32.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadImageEncoder } from '../../dist/index.js';
import { buildSafetensors, cosine, parseSafetensors, randomCheckpoint } from './support.mjs';

const WIDTH = 64;
const { config, file } = randomCheckpoint({ vision_cfg: { image_size: 32, patch_size: 8, width: WIDTH, layers: 4 } });
const CHANNEL = 7;
// What each block's last bias adds to one channel. Both a half and its sum with what the blocks compute, some hundreds
// at most, stay known: behind the second block the channel is near 120,000, behind the last where it was.
const STEPS = [60000, 60000, -60000, -60000];
const LEAST = { fp16: 0.9999, int8: 0.999, int4: 0.97 };
const pixels = Array.from({ length: 4 }, (_, n) =>
  Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => Math.sin((n + 1) * 0.37 * i + n)),
);

/** The bits of the float of a half that is a normal number or zero. */
function floatOf(half) {
  const exponent = (half >> 10) & 31;
  const size = exponent ? 2 ** (exponent - 15) * (1 + (half & 1023) / 1024) : 0;
  return half & 0x8000 ? -size : size;
}

/** The checkpoint with one channel that grows beyond 65,504 and comes back, as trained models have them. */
function checkpoint(type) {
  const { tensors } = parseSafetensors(Buffer.from(file));
  for (const [name, tensor] of Object.entries(tensors)) {
    const floats = Float32Array.from(new Uint16Array(Uint8Array.from(tensor.bytes).buffer), floatOf);
    const block = /^visual\.transformer\.resblocks\.(\d)\.mlp\.c_proj\.bias$/.exec(name);
    if (block) floats[CHANNEL] = STEPS[block[1]];
    tensors[name] = { dtype: type, shape: tensor.shape, bytes: TYPES[type](floats) };
  }
  return buildSafetensors({ tensors });
}

/** Halves are exact as halves; as bf16 they are cut, all four steps alike. */
const TYPES = {
  F16: (floats) => Buffer.from(Uint16Array.from(floats, halfOf).buffer),
  BF16: (floats) => Buffer.from(Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16).buffer),
};

function halfOf(value) {
  if (!value) return 0;
  const size = Math.abs(value);
  const exponent = Math.floor(Math.log2(size));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | Math.floor((size / 2 ** exponent - 1) * 1024);
}

async function vectorsOf(bytes, dtype) {
  const encoder = await loadImageEncoder({ model: config, weights: new Uint8Array(bytes), dtype });
  const vectors = await encoder.embedPixels(pixels);
  encoder.dispose();
  return vectors;
}

for (const type of ['F16', 'BF16']) {
  test(`${type}: a channel beyond 65,504 on the way`, async () => {
    const weights = checkpoint(type);
    const exact = await vectorsOf(weights, 'fp32');
    assert.ok(cosine(exact[0], exact[1]) < 0.9999, 'the inputs are told apart');
    for (const [dtype, least] of Object.entries(LEAST)) {
      for (const [i, vector] of (await vectorsOf(weights, dtype)).entries()) {
        assert.ok(vector.every(Number.isFinite), dtype);
        const found = cosine(vector, exact[i]);
        assert.ok(found >= least, `${dtype}: ${found}`);
      }
    }
  });
}
