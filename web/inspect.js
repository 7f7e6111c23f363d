// What a .safetensors file holds, from its header alone. For the command line.

import { open } from 'node:fs/promises';

import { HalfclipError } from './errors.js';

const MAX_HEADER = 100_000_000;

// How tensors of the image tower are called, in every family of checkpoints; what is left belongs to the text tower or to neither.
const IMAGE = /^(module\.|clip\.)*(visual\.|vision_model\.|visual_projection\.)/;
const TEXT = /^(module\.|clip\.)*(text\.|text_model\.|text_projection|transformer\.|token_embedding|positional_embedding|ln_final|cls_emb)/;

/**
 * @param {string} path
 * @returns {Promise<{ file: string, format: 'safetensors', bytes: number, metadata: Record<string, string>,
 *   towers: Record<string, { count: number, bytes: number }>, dtypes: Record<string, { count: number, bytes: number }>,
 *   tensors: { name: string, dtype: string, shape: number[], bytes: number }[] }>} tensors in file order
 */
export async function inspect(path) {
  const { header, bytes } = await readHeader(path);
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = Object.entries(entries)
    .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])
    .map(([name, { dtype, shape, data_offsets: [begin, end] }]) => ({ name, dtype, shape, bytes: end - begin }));
  const towerOf = ({ name }) => metadata.tower ?? (IMAGE.test(name) ? 'image' : TEXT.test(name) ? 'text' : 'neither');
  return {
    file: path,
    format: 'safetensors',
    bytes,
    metadata,
    towers: sums(tensors, towerOf),
    dtypes: sums(tensors, ({ dtype }) => dtype),
    tensors,
  };
}

async function readHeader(path) {
  let file;
  try {
    file = await open(path);
  } catch (error) {
    throw new HalfclipError('weights/not-found', `${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`);
  }
  try {
    const { size } = await file.stat();
    const prefix = new Uint8Array(8);
    if (size < 8) throw new HalfclipError('weights/truncated', `${path}: has ${size} bytes, expected a header`);
    await file.read(prefix, 0, 8, 0);
    const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
    if (length > MAX_HEADER) throw new HalfclipError('weights/format', `${path}: is not a safetensors file: its header would have ${length} bytes`);
    if (length + 8 > size) throw new HalfclipError('weights/truncated', `${path}: ends after ${size} bytes, within its header of ${length + 8}`);
    const text = new Uint8Array(length);
    await file.read(text, 0, length, 8);
    return { header: parse(text, path), bytes: size };
  } finally {
    await file.close();
  }
}

function parse(text, path) {
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(text));
  } catch (error) {
    throw new HalfclipError('weights/format', `${path}: its header is not JSON: ${error.message}`);
  }
  const isTensor = (entry) => typeof entry?.dtype === 'string' && Array.isArray(entry.shape) && entry.data_offsets?.length === 2;
  const wrong = Object.entries(header ?? {}).find(([name, entry]) => name !== '__metadata__' && !isTensor(entry));
  if (header === null || typeof header !== 'object' || wrong) {
    throw new HalfclipError('weights/format', `${path}: its header is not that of a safetensors file${wrong ? `: tensor ${wrong[0]}` : ''}`);
  }
  return header;
}

function sums(tensors, key) {
  const groups = {};
  for (const tensor of tensors) {
    const group = (groups[key(tensor)] ??= { count: 0, bytes: 0 });
    group.count++;
    group.bytes += tensor.bytes;
  }
  return groups;
}
