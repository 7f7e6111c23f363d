// Which WebAssembly module a model takes: that with OpenCLIP's own transformers alone, or that with all families.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadImageEncoder } from '../../dist/index.js';
import { architectures } from '../../web/models/architectures.js';
import { familiesOf } from '../../web/wasm/families.js';
import { programIn } from './cli-program.mjs';
import { TOWERS } from './support.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const weightsOf = (name) => fileURLToPath(new URL(`${name}.safetensors`, TOWERS));
const configOf = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, TOWERS), 'utf8'));

let folder;
let alone; // a folder with the modules for ViTs alone

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  alone = mkdtempSync(path.join(folder, 'alone-'));
  for (const name of readdirSync(DIST))
    if (name.startsWith('halfclip-vit-')) copyFileSync(path.join(DIST, name), path.join(alone, name));
});

after(() => rmSync(folder, { recursive: true }));

/** The dimension of the image tower of golden weights, loaded with the modules for ViTs alone; or the error. */
async function dimAlone(options) {
  try {
    const image = await loadImageEncoder({ assets: alone, threads: 1, worker: false, ...options });
    const { dim } = image.info;
    image.dispose();
    return dim;
  } catch (error) {
    return error;
  }
}

/** The path of the image tower alone, as `halfclip shard` writes it. */
async function shardOf(name) {
  const repository = mkdtempSync(path.join(folder, 'repository-'));
  copyFileSync(weightsOf(name), path.join(repository, 'open_clip_model.safetensors'));
  copyFileSync(new URL(`${name}.json`, TOWERS), path.join(repository, 'open_clip_config.json'));
  const out = path.join(repository, 'image.safetensors');
  await programIn(folder).works(['shard', '--tower', 'image', '--model', `local-dir:${repository}`, '--out', out]);
  return out;
}

test("OpenCLIP's own transformers need no other family, and every other architecture does", () => {
  for (const [name, config] of Object.entries(architectures)) {
    const own =
      !config.vision_cfg.timm_model_name && !config.text_cfg.hf_model_name && !config.text_cfg.hf_tokenizer_name;
    const vit = own && !Array.isArray(config.vision_cfg.layers);
    assert.equal(familiesOf(JSON.stringify(config)), vit ? 'vit' : 'all', name);
    assert.equal(familiesOf(JSON.stringify(JSON.stringify(config))), vit ? 'vit' : 'all', name);
  }
});

test('a ViT takes the small module, named, as a config or as a shard that says it itself', async () => {
  assert.equal(await dimAlone({ model: configOf('clip'), weights: weightsOf('clip') }), 24);
  assert.equal(await dimAlone({ weights: await shardOf('clip') }), 24);
});

test('other towers take the module with all families, also as a shard that says it itself', async () => {
  const name = 'timm-vit-siglip';
  const model = configOf(name);
  for (const given of [{ model, weights: weightsOf(name) }, { weights: await shardOf(name) }]) {
    const image = await loadImageEncoder({ ...given, worker: false });
    assert.equal(image.info.dim, model.model_cfg.embed_dim);
    image.dispose();
    const error = await dimAlone(given);
    assert.match(error.message, /halfclip-(relaxed|simd128)\.wasm/);
  }
});

test('the small module, given for another tower, says which module has it', async () => {
  const wasm = readFileSync(path.join(DIST, 'halfclip-vit-simd128.wasm'));
  const error = await dimAlone({ model: configOf('timm-vit-siglip'), weights: weightsOf('timm-vit-siglip'), wasm });
  assert.equal(error.code, 'model/unsupported');
  assert.match(error.message, /vision_cfg is not of OpenCLIP's own transformers.*halfclip-relaxed\.wasm/);
});
