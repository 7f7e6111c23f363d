// What the tests of the package share: golden data, small checkpoints, comparisons.

import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// No folder can be made there: what tests load is kept nowhere, unless they say where.
process.env.XDG_CACHE_HOME = '/dev/null';

export const GOLDEN = new URL('../golden/', import.meta.url);
export const TOWERS = new URL('towers/', GOLDEN);
export const towerNames = readdirSync(TOWERS)
  .filter((name) => name.endsWith('.expected.safetensors'))
  .map((name) => name.replace('.expected.safetensors', ''));

export const VIDEOS = new URL('videos/', GOLDEN);
export const videoNames = JSON.parse(readFileSync(new URL('index.json', VIDEOS), 'utf8')).map(({ name }) => name);

/** { name: { dtype, shape, bytes } } of a .safetensors file's bytes. */
export function parseSafetensors(file) {
  const length = Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(file.subarray(8, 8 + length).toString());
  const tensors = Object.fromEntries(
    Object.entries(entries).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => [name, { dtype, shape, bytes: file.subarray(8 + length + begin, 8 + length + end) }],
    ),
  );
  return { metadata, tensors };
}

/** The bytes of a .safetensors file. */
export function buildSafetensors({ metadata, tensors }) {
  let at = 0;
  const header = metadata && Object.keys(metadata).length ? { __metadata__: metadata } : {};
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([prefix, padded, ...Object.values(tensors).map(({ bytes }) => bytes)]);
}

function toFloats({ dtype, bytes }) {
  const copy = Uint8Array.from(bytes).buffer;
  if (dtype === 'F32') return new Float32Array(copy);
  if (dtype === 'I32') return new Int32Array(copy);
  return Float32Array.from(new Uint16Array(copy), (half) => {
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    return half & 0x8000 ? -size : size;
  });
}

/** The rows of a tensor along its first axis. */
export function rows(tensor) {
  const flat = toFloats(tensor);
  const length = flat.length / tensor.shape[0];
  return Array.from({ length: tensor.shape[0] }, (_, i) => flat.slice(i * length, (i + 1) * length));
}

/** One golden tower: the checkpoint's path and bytes, its config, and what OpenCLIP computes with it. */
export function golden(name) {
  const path = new URL(`${name}.safetensors`, TOWERS);
  const config = JSON.parse(readFileSync(new URL(`${name}.json`, TOWERS), 'utf8'));
  const { tensors } = parseSafetensors(readFileSync(new URL(`${name}.expected.safetensors`, TOWERS)));
  return { name, path, config, expected: tensors };
}

/** A golden video tower: its checkpoint, its config, and what CLIP4Clip computes. */
export function goldenVideos(name) {
  const place = (ending) => new URL(name + ending, VIDEOS);
  const { tensors } = parseSafetensors(readFileSync(place('.expected.safetensors')));
  const flat = (tensor) => Float32Array.from(rows(tensor).flatMap((row) => [...row]));
  const pixels = rows(tensors.pixels);
  const lengths = rows(tensors.lengths).map(([length]) => length);
  let at = 0;
  const cut = lengths.map((length) => pixels.slice(at, (at += length)));
  return {
    model: JSON.parse(readFileSync(place('.json'), 'utf8')),
    weights: fileURLToPath(place('.safetensors')),
    frames: cut,
    videos: cut.map((frames) => Float32Array.from(frames.flatMap((frame) => [...frame]))),
    vectors: rows(tensors.video_features),
    scale: flat(tensors.logit_scale.shape.length ? tensors.logit_scale : { ...tensors.logit_scale, shape: [1] })[0],
    tensors,
  };
}

export function cosine(a, b) {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / Math.sqrt(aa * bb);
}

export const distance = (a, b) => Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0));

export function medianDistance(vectors) {
  const all = [];
  for (let i = 0; i < vectors.length; i++) for (let j = 0; j < i; j++) all.push(distance(vectors[i], vectors[j]));
  return all.sort((a, b) => a - b)[all.length >> 1];
}

/** { name: shape } of the tensors of a ViT's checkpoint, as OpenCLIP has them; without a cfg, a tower is left out. */
export function tensorShapes({ vision_cfg, text_cfg, embed_dim = 16 }) {
  const shapes = {};
  const add = (name, ...shape) => (shapes[name] = shape);
  const norm = (name, width) => ['weight', 'bias'].forEach((part) => add(`${name}.${part}`, width));
  const blocks = (prefix, { width, layers }) => {
    for (let i = 0; i < layers; i++) {
      const block = `${prefix}transformer.resblocks.${i}`;
      norm(`${block}.ln_1`, width);
      norm(`${block}.ln_2`, width);
      add(`${block}.attn.in_proj_weight`, 3 * width, width);
      add(`${block}.attn.in_proj_bias`, 3 * width);
      add(`${block}.attn.out_proj.weight`, width, width);
      add(`${block}.attn.out_proj.bias`, width);
      add(`${block}.mlp.c_fc.weight`, 4 * width, width);
      add(`${block}.mlp.c_fc.bias`, 4 * width);
      add(`${block}.mlp.c_proj.weight`, width, 4 * width);
      add(`${block}.mlp.c_proj.bias`, width);
    }
  };
  if (vision_cfg) {
    const { image_size, patch_size, width } = vision_cfg;
    const [height, across] = [image_size, image_size].flat();
    add('visual.class_embedding', width);
    add('visual.positional_embedding', Math.floor(height / patch_size) * Math.floor(across / patch_size) + 1, width);
    add('visual.conv1.weight', width, 3, patch_size, patch_size);
    norm('visual.ln_pre', width);
    norm('visual.ln_post', width);
    add('visual.proj', width, embed_dim);
    blocks('visual.', vision_cfg);
  }
  if (text_cfg) {
    const { context_length, vocab_size, width } = text_cfg;
    add('positional_embedding', context_length, width);
    add('token_embedding.weight', vocab_size, width);
    norm('ln_final', width);
    add('text_projection', width, embed_dim);
    blocks('', text_cfg);
  }
  return shapes;
}

/** A checkpoint of random weights in fp16, with its config; without a cfg, a tower is left out. */
export function randomCheckpoint({ vision_cfg, text_cfg, embed_dim = 16 }) {
  let seed = 1;
  const tensors = {};
  for (const [name, shape] of Object.entries(tensorShapes({ vision_cfg, text_cfg, embed_dim }))) {
    const halves = new Uint16Array(shape.reduce((a, b) => a * b));
    for (let i = 0; i < halves.length; i++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      halves[i] = ((seed >>> 31) << 15) | 0x2a00 | ((seed >>> 16) & 0x5ff); // a magnitude of 0.05 to 0.12
    }
    tensors[name] = { dtype: 'F16', shape, bytes: Buffer.from(halves.buffer) };
  }
  const tiny = { image_size: 32, patch_size: 16, width: 64, layers: 1 };
  const config = {
    embed_dim,
    vision_cfg: vision_cfg ?? tiny,
    text_cfg: text_cfg ?? { context_length: 8, vocab_size: 64, width: 64, heads: 1, layers: 1 },
  };
  return { config, file: buildSafetensors({ tensors }) };
}

/**
 * A .safetensors file of fp16 tensors by shape alone, for what looks at no byte of them: its header, and its size.
 * @param {Record<string, number[]>} shapes
 */
export function headerOf(shapes) {
  let at = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const begin = at;
    at += 2 * shape.reduce((a, b) => a * b, 1);
    return [name, { dtype: 'F16', shape, data_offsets: [begin, at] }];
  });
  const body = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const head = Buffer.concat([Buffer.alloc(8), body]);
  head.writeBigUInt64LE(BigInt(body.length));
  return { head, size: head.length + at };
}

/**
 * A file with `clip`'s tensors and others of no tower between them, so that both towers lie in several ranges, none of
 * which the first request reaches.
 */
export function scatteredCheckpoint(clip) {
  const { tensors } = parseSafetensors(readFileSync(clip.path));
  const padding = (bytes) => ({ dtype: 'U8', shape: [bytes], bytes: Buffer.alloc(bytes, 'padding') });
  const scattered = { 'padding.first': padding(300_000) };
  Object.entries(tensors).forEach(([name, tensor], i) => {
    if (i % 12 === 11) scattered[`padding.${i}`] = padding(70_000);
    scattered[name] = tensor;
  });
  return buildSafetensors({ tensors: scattered });
}
