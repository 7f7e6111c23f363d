// GELU or QuickGELU: files of OpenAI and of CLIP4Clip loaded by an architecture's name compute QuickGELU, shards what
// they say, and who contradicts the file is told.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { GOLDEN, buildSafetensors, cosine, golden, parseSafetensors, randomCheckpoint, rows } from './support.mjs';

const openai = golden('openai'); // with the buffers that OpenAI's archives have, and quick_gelu in its config
const quick = golden('clip-quick-gelu');

/** The config without what it says of the activation, and with `statement`. */
function withActivation({ config }, statement) {
  const {
    model_cfg: { quick_gelu, ...model_cfg },
    ...others
  } = config;
  assert.equal(quick_gelu, true);
  return { model_cfg: { ...model_cfg, ...statement }, ...others };
}

/** The file's tensors under another prefix, with others beside them. */
function renamed({ path }, prefix, names) {
  const { tensors } = parseSafetensors(readFileSync(path));
  const one = { dtype: 'F32', shape: [1], bytes: Buffer.alloc(4) };
  return buildSafetensors({
    tensors: {
      ...Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor])),
      ...Object.fromEntries(names.map((name) => [name, one])),
    },
  });
}

async function computes(model, config, weights) {
  for (const load of [loadTextEncoder, loadImageEncoder]) {
    const text = load === loadTextEncoder;
    const encoder = await load({ model: config, weights, dtype: 'fp32', worker: text });
    const vector = text
      ? await encoder.embedTokens(rows(model.expected.tokens)[0], { normalize: false })
      : await encoder.embedPixels(rows(model.expected.pixels)[0], { normalize: false });
    assert.ok(cosine(vector, rows(model.expected[text ? 'text_features' : 'image_features'])[0]) > 0.99999);
    assert.equal(encoder.info.quickGelu, true);
    encoder.dispose();
  }
}

async function fails(promise, ...words) {
  const error = await promise.then(
    () => assert.fail('it worked'),
    (error) => error,
  );
  assert.ok(error instanceof HalfclipError, error.stack);
  assert.equal(error.code, 'weights/mismatch');
  for (const word of words) assert.ok(error.message.includes(word), `${word}: ${error.message}`);
}

test('a file of OpenAI computes QuickGELU where the model leaves it open', async () => {
  await computes(openai, withActivation(openai, {}), openai.path);
  await computes(openai, withActivation(openai, { quick_gelu: null }), readFileSync(openai.path));
  // TorchScript, as OpenAI published it.
  await computes(openai, withActivation(openai, {}), new URL('torch/script-openai.pt', GOLDEN));
  await fails(
    loadTextEncoder({ model: withActivation(openai, { quick_gelu: false }), weights: openai.path }),
    'openai.safetensors',
    'option model',
    'quick_gelu false',
    'QuickGELU',
  );
});

test('a file of CLIP4Clip does, under any wrapper', async () => {
  for (const [prefix, names] of [
    ['clip.', ['frame_position_embeddings.weight']],
    ['module.clip.', ['module.lstm_visual.bias_ih_l0']],
    ['clip.', ['cross.pooler.dense.bias']],
  ]) {
    await computes(quick, withActivation(quick, {}), renamed(quick, prefix, names));
  }
  const file = renamed(quick, 'clip.', ['transformerClip.resblocks.0.ln_1.bias']);
  await fails(
    loadImageEncoder({ model: withActivation(quick, { quick_gelu: false }), weights: file }),
    'CLIP4Clip',
    'quick_gelu false',
  );
  // Anybody may keep a model under `clip.`: that alone says nothing.
  const encoder = await loadImageEncoder({ model: withActivation(quick, {}), weights: renamed(quick, 'clip.', []) });
  assert.equal(encoder.info.quickGelu, false);
  encoder.dispose();
});

// The text towers of two architectures that differ in the activation alone, a small one in their place.
const [plainName, quickName] = ['ViT-B-32', 'ViT-B-32-quickgelu'];

test('an architecture by name: the file decides, and the other name contradicts it', async () => {
  const { file } = randomCheckpoint({
    text_cfg: { context_length: 77, vocab_size: 49408, width: 512, heads: 8, layers: 12 },
    embed_dim: 512,
  });
  const { tensors } = parseSafetensors(file);
  const size = { dtype: 'I64', shape: [], bytes: Buffer.from([77, 0, 0, 0, 0, 0, 0, 0]) };
  const ofOpenAI = buildSafetensors({
    tensors: { ...tensors, context_length: size, vocab_size: size, input_resolution: size },
  });
  for (const [model, weights, expected] of [
    [plainName, file, false],
    [quickName, file, true],
    [plainName, ofOpenAI, true],
    [quickName, ofOpenAI, true],
  ]) {
    const encoder = await loadTextEncoder({ model, weights, dtype: 'int4', worker: false });
    assert.equal(encoder.info.quickGelu, expected, model);
    assert.equal(encoder.info.model, model);
    encoder.dispose();
  }
});
