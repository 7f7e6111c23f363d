// Makes what the benchmark loads: one tower with random weights, as shards of halfclip and as ONNX models, from the
// same checkpoint. Those of OpenCLIP's own classes are made here; of timm's and Hugging Face's, PyTorch itself exports
// the ONNX models (weights-tools/onnx_towers.py), for which PYTHON names a Python with weights-tools/requirements.txt.

import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { architectures } from '../../web/models/architectures.js';
import { buildSafetensors, parseSafetensors, randomCheckpoint } from '../node/support.mjs';
import { clipOnnx } from './clip-onnx.mjs';
import { isResnet, randomResnet } from './resnet-onnx.mjs';

const PYTHON = process.env.PYTHON ?? 'python3';
const EXPORTER = fileURLToPath(new URL('../../weights-tools/onnx_towers.py', import.meta.url));
const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
export const DTYPES = ['fp32', 'int8', 'int4'];

function writeChunks(file, chunks) {
  const descriptor = openSync(file, 'w');
  for (const chunk of chunks) for (let at = 0; at < chunk.length;) at += writeSync(descriptor, chunk, at);
  closeSync(descriptor);
}

/**
 * The matrices of a random checkpoint all have the same range, unlike trained ones. At int8 onnxruntime would find the
 * scales of q, k and v equal, compute their product with the activations' scale once, and then miss the fusion that it
 * does for trained weights.
 */
function spreadRanges(tensors) {
  for (const [name, { bytes, shape }] of Object.entries(tensors)) {
    if (!name.endsWith('in_proj_weight')) continue;
    const part = (shape[0] / 3) * shape[1];
    for (let i = 0; i < 3; i++) bytes.writeUInt16LE(0x3000 + 16 * i, 2 * part * i); // 0.125 and a little more
  }
}

/** Whether the tower is of a class of timm's or Hugging Face's. */
export const isForeign = ({ vision_cfg, text_cfg }, tower) =>
  Boolean(tower === 'image' ? vision_cfg.timm_model_name : text_cfg.hf_model_name);

function randomTensors(config, tower) {
  const { vision_cfg, text_cfg, embed_dim } = config;
  if (tower === 'image' && isResnet(config)) return randomResnet(config);
  const one = tower === 'image' ? { vision_cfg, embed_dim } : { text_cfg, embed_dim };
  const { tensors } = parseSafetensors(randomCheckpoint(one).file);
  spreadRanges(tensors);
  return tensors;
}

/**
 * @param {string} model an architecture's name
 * @param {'image' | 'text'} tower
 * @param {string} folder where to
 * @param {string[]} dtypes
 * @param {[string, string]} [names] of the ONNX model's input and output
 * @returns {Record<string, { safetensors: string, onnx: string }>} names of files by dtype
 */
export function makeModels(model, tower, folder, dtypes, names) {
  mkdirSync(folder, { recursive: true });
  const checkpoint = path.join(folder, `${tower}.checkpoint`);
  const tensors = isForeign(architectures[model], tower) ? null : randomTensors(architectures[model], tower);
  if (tensors) writeFileSync(checkpoint, buildSafetensors({ tensors }));
  else execFileSync(PYTHON, [EXPORTER, folder, model, tower, ...dtypes], { stdio: ['ignore', 'ignore', 'inherit'] });
  const made = {};
  for (const dtype of dtypes) {
    made[dtype] = { safetensors: `${tower}-${dtype}.safetensors`, onnx: `${tower}-${dtype}.onnx` };
    const shard = path.join(folder, made[dtype].safetensors);
    const options = ['--tower', tower, '--model', model, '--weights', checkpoint, '--dtype', dtype, '--out', shard];
    execFileSync(process.execPath, [CLI, 'shard', ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
    if (tensors)
      writeChunks(path.join(folder, made[dtype].onnx), clipOnnx(tower, architectures[model], tensors, dtype, names));
  }
  rmSync(checkpoint);
  return made;
}
