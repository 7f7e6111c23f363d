// What the tests of the package share: golden data, small checkpoints, comparisons.

import { readFileSync, readdirSync } from 'node:fs';

export const GOLDEN = new URL('../golden/', import.meta.url);
export const TOWERS = new URL('towers/', GOLDEN);
export const towerNames = readdirSync(TOWERS).filter((name) => name.endsWith('.expected.safetensors')).map((name) => name.replace('.expected.safetensors', ''));

/** { name: { dtype, shape, bytes } } of a .safetensors file's bytes. */
export function parseSafetensors(file) {
  const length = Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(file.subarray(8, 8 + length).toString());
  const tensors = Object.fromEntries(Object.entries(entries).map(([name, { dtype, shape, data_offsets: [begin, end] }]) =>
    [name, { dtype, shape, bytes: file.subarray(8 + length + begin, 8 + length + end) }]));
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
