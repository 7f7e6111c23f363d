// Models by name: repositories of a hub, folders, and OpenCLIP's pretrained tags, against a server with a hub's paths,
// redirects and headers.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { pretrained } from '../../web/models/pretrained.js';
import { resolveModel } from '../../web/models/resolve.js';
import '../../web/node/index.js';
import { fails } from './fails.mjs';
import { FaultServer, inMemory } from './fault-server.mjs';
import { cosine, golden, rows } from './support.mjs';

const clip = golden('clip');
const face = golden('hugging-face');
const json = (value) => inMemory(Buffer.from(JSON.stringify(value)));
const bytesOf = ({ path }) => inMemory(readFileSync(path));
const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

let hub;
let store; // where the hub redirects to
let folder;

before(async () => {
  hub = await FaultServer.start({});
  store = await FaultServer.start({});
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
});

beforeEach(() => {
  for (const server of [hub, store]) {
    server.reset();
    server.files = {};
  }
});

after(async () => {
  await Promise.all([hub.close(), store.close()]);
  rmSync(folder, { recursive: true });
});

/** Puts files into a repository; large ones lie elsewhere, as on a real hub. */
function publish(repo, files, revision = 'main') {
  for (const [name, content] of Object.entries(files)) {
    const place = `/${repo}/resolve/${revision}/${name}`;
    hub.files[place] = content;
    if (!name.endsWith('.json')) store.files[`/blobs${place}`] = content;
  }
  hub.fault = ({ path }) =>
    store.files[`/blobs${path}`]
      ? { redirect: `${store.base}/blobs${path}?signature=1`, headers: { 'x-repo-commit': 'abc' } }
      : {};
}

/** The vectors of a golden model's first text, which OpenCLIP has computed too. */
async function checkText(model, options) {
  const encoder = await loadTextEncoder({ dtype: 'fp32', cache: 'no-store', hub: hub.base, ...options });
  const vector = await encoder.embedTokens(rows(model.expected.tokens)[0], { normalize: false });
  assert.ok(cosine(vector, rows(model.expected.text_features)[0]) > 0.99999);
  encoder.dispose();
  return encoder.info;
}

async function checkPictures(model, options) {
  const encoder = await loadImageEncoder({ dtype: 'fp32', cache: 'no-store', hub: hub.base, ...options });
  const vector = await encoder.embedPixels(rows(model.expected.pixels)[0], { normalize: false });
  assert.ok(cosine(vector, rows(model.expected.image_features)[0]) > 0.99999);
  encoder.dispose();
}

test('a repository of OpenCLIP', async () => {
  publish('org/clip', {
    'open_clip_config.json': json(clip.config),
    'open_clip_model.safetensors': bytesOf(clip),
    'open_clip_pytorch_model.bin': json('wrong'),
  });
  for (const worker of [false, true]) {
    const info = await checkText(clip, { model: 'hf-hub:org/clip', worker });
    assert.equal(info.model, 'hf-hub:org/clip');
  }
  await checkPictures(clip, { model: 'hf-hub:org/clip', fetch });
  assert.ok(store.requests.every(({ path }) => path.includes('signature')));
  assert.deepEqual(
    hub.requests.slice(0, 2).map(({ path }) => path),
    ['/org/clip/resolve/main/open_clip_config.json', '/org/clip/resolve/main/open_clip_model.safetensors'],
  );
});

test('a revision', async () => {
  publish(
    'org/clip',
    { 'open_clip_config.json': json(clip.config), 'model.safetensors': bytesOf(clip) },
    'refs%2Fpr%2F1',
  );
  await checkText(clip, { model: 'hf-hub:org/clip@refs/pr/1' });
  await fails(
    loadTextEncoder({ model: 'hf-hub:org/clip', hub: hub.base }),
    'model/unknown',
    /hf-hub:org\/clip/,
    /config\.json/,
  );
});

test('the best of several weight files, and none', async () => {
  publish('org/clip', {
    'open_clip_config.json': json(clip.config),
    'model.safetensors': bytesOf(clip),
    'pytorch_model.bin': json('wrong'),
  });
  await checkText(clip, { model: 'hf-hub:org/clip' });
  publish('org/none', { 'open_clip_config.json': json(clip.config) });
  await fails(
    loadTextEncoder({ model: 'hf-hub:org/none', hub: hub.base }),
    'weights/not-found',
    /open_clip_model\.safetensors/,
    /pytorch_model\.bin/,
  );
  await checkText(clip, { model: 'hf-hub:org/none', weights: fileURLToPath(clip.path) });
});

test('the size in a preprocess_cfg is that of the tower, as in OpenCLIP', async () => {
  const config = structuredClone(clip.config);
  config.preprocess_cfg.size = 99;
  publish('org/clip', { 'open_clip_config.json': json(config), 'open_clip_model.safetensors': bytesOf(clip) });
  const encoder = await loadImageEncoder({ model: 'hf-hub:org/clip', hub: hub.base });
  assert.equal((await encoder.preprocess({ data: new Uint8Array(12), width: 2, height: 2 })).length, 3 * 32 * 32);
  encoder.dispose();
});

// As CLIPConfig writes the golden model's config.
const faceConfig = {
  architectures: ['CLIPModel'],
  model_type: 'clip',
  projection_dim: 24,
  text_config: {
    hidden_size: 24,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    max_position_embeddings: 12,
    vocab_size: 96,
    hidden_act: 'gelu',
    eos_token_id: 95,
  },
  vision_config: {
    hidden_size: 24,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    image_size: 18,
    patch_size: 6,
    hidden_act: 'gelu',
  },
};
const facePreprocessor = {
  crop_size: { height: 18, width: 18 },
  size: { shortest_edge: 18 },
  do_center_crop: true,
  resample: 3,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

test('a repository of a Hugging Face CLIPModel', async () => {
  publish('org/face', {
    'config.json': json(faceConfig),
    'preprocessor_config.json': json(facePreprocessor),
    'model.safetensors': bytesOf(face),
  });
  await checkText(face, { model: 'hf-hub:org/face' });
  await checkPictures(face, { model: 'hf-hub:org/face' });
  const { config } = await resolveModel('hf-hub:org/face', undefined, 'image', { hub: hub.base });
  const { model_cfg, preprocess_cfg } = JSON.parse(config);
  const { embed_dim, vision_cfg, text_cfg } = face.config.model_cfg;
  assert.deepEqual(model_cfg, { embed_dim, quick_gelu: false, vision_cfg, text_cfg });
  const { mean, std, interpolation, resize_mode } = face.config.preprocess_cfg;
  assert.deepEqual(preprocess_cfg, { mean, std, interpolation, resize_mode });
});

test('what configs of Hugging Face may say besides', async () => {
  const translate = async (change, preprocessor, tower = 'image') => {
    const config = structuredClone(faceConfig);
    change(config);
    publish('org/face', {
      'config.json': json(config),
      'preprocessor_config.json': json(preprocessor ?? facePreprocessor),
    });
    return JSON.parse((await resolveModel('hf-hub:org/face', undefined, tower, { hub: hub.base })).config);
  };
  const openai = await translate((config) => {
    config.text_config_dict = { hidden_act: 'quick_gelu', eos_token_id: 2 };
    config.vision_config_dict = { hidden_act: 'quick_gelu', layer_norm_eps: 1e-6 };
  });
  assert.equal(openai.model_cfg.quick_gelu, true);
  assert.deepEqual(openai.model_cfg.vision_cfg.norm_kwargs, { eps: 1e-6 });
  assert.equal(openai.model_cfg.text_cfg.pool_type, undefined);
  const squash = await translate(() => {}, {
    size: { height: 18, width: 18 },
    do_center_crop: false,
    resample: 2,
    image_mean: [0, 0, 0],
    image_std: [1, 1, 1],
  });
  assert.deepEqual(squash.preprocess_cfg, {
    mean: [0, 0, 0],
    std: [1, 1, 1],
    interpolation: 'bilinear',
    resize_mode: 'squash',
  });
  const eos = await translate((config) => (config.text_config.eos_token_id = 7), undefined, 'text');
  assert.deepEqual([eos.model_cfg.text_cfg.pool_type, eos.model_cfg.text_cfg.eos_id], ['eos', 7]);
  // The defaults are those of OpenAI's ViT-B/32.
  const bare = await translate(
    (config) => Object.keys(config).forEach((key) => key !== 'model_type' && delete config[key]),
    { size: 224, image_mean: [0, 0, 0], image_std: [1, 1, 1] },
  );
  assert.deepEqual(bare.model_cfg.text_cfg, {
    width: 512,
    layers: 12,
    mlp_ratio: 4,
    context_length: 77,
    vocab_size: 49408,
    heads: 8,
  });
  await fails(
    translate((config) => (config.model_type = 'siglip')),
    'model/unsupported',
    /siglip/,
  );
  await fails(
    translate((config) => (config.vision_config.hidden_act = 'relu')),
    'model/unsupported',
    /relu/,
  );
  await fails(
    translate(() => {}, { ...facePreprocessor, resample: 5 }),
    'model/unsupported',
    /resample/,
  );
  await fails(
    translate(() => {}, { ...facePreprocessor, size: { shortest_edge: 32 } }),
    'model/unsupported',
    /32/,
  );
});

test('names that are none, configs that are none', async () => {
  const repositories = [
    '',
    '..',
    '.',
    'org/../secret',
    'org/..',
    '../org',
    'org/.',
    './org',
    'a/b/c',
    'a//b',
    '/a/b',
    'a/b/',
    '/',
    'a\\b',
    'a%2fb',
    '%2e%2e/b',
    'a/%2e%2e',
    'a/b?x',
    'a/b#x',
    'a b/c',
    'a/b\n',
    'a/\x1b[2J',
    'a/\0',
    'a/\u202e',
    'a/ü',
    'https://example.org/a',
    'x'.repeat(201),
    `a/${'x'.repeat(1e6)}`,
    '@main',
    'a/b@',
  ];
  const revisions = [
    '..',
    '.',
    '../x',
    'x/..',
    'x/../y',
    'x/./y',
    'x//y',
    '/x',
    'x/',
    '%2e%2e',
    '..%2f..',
    'x\\y',
    'x\n',
    'x\x1b[2J',
    'x@y',
    'x?y',
    'x#y',
    'x y',
    'x'.repeat(201),
  ].map((revision) => `a/b@${revision}`);
  for (const name of [...repositories, ...revisions]) {
    const { message } = await fails(
      loadTextEncoder({ model: `hf-hub:${name}`, hub: hub.base }),
      'model/unknown',
      /hf-hub/,
    );
    assert.ok(message.length < 300, message);
    assert.doesNotMatch(message, /[\x00-\x1f\x7f-\x9f]/);
  }
  assert.deepEqual(hub.requests, [], 'and nobody is asked');
  await fails(loadTextEncoder({ model: 'local-dir:' }), 'model/unknown');
  for (const content of [inMemory(Buffer.from('<html>')), json(null), json(5), json({ embed_dim: 5 })]) {
    publish('org/odd', { 'open_clip_config.json': content });
    await fails(loadTextEncoder({ model: 'hf-hub:org/odd', hub: hub.base }), 'model/unknown', /open_clip_config\.json/);
  }
  await fails(loadTextEncoder({ model: 'hf-hub:org/clip', hub: 5 }), 'input/type', /hub/);
  await fails(loadTextEncoder({ model: 'hf-hub:org/clip', hub: 'hub' }), 'input/type', /hub/);
});

test('a repository that needs a token', async () => {
  publish('org/clip', { 'open_clip_config.json': json(clip.config), 'open_clip_model.safetensors': bytesOf(clip) });
  hub.fault = ({ headers }) => (headers.authorization === 'Bearer secret' ? {} : { status: 401 });
  const error = await fails(
    loadTextEncoder({ model: 'hf-hub:org/clip', hub: hub.base }),
    'http/status',
    /401/,
    /fetch/,
  );
  assert.equal(error.status, 401);
  const withToken = (url, init) =>
    fetch(url, { ...init, headers: { ...init.headers, authorization: 'Bearer secret' } });
  await checkText(clip, { model: 'hf-hub:org/clip', fetch: withToken });
});

test('a busy hub', async () => {
  publish('org/clip', { 'open_clip_config.json': json(clip.config), 'open_clip_model.safetensors': bytesOf(clip) });
  const { fault } = hub;
  hub.fault = (request) => (request.number % 2 ? fault(request) : { status: 503 });
  await checkText(clip, { model: 'hf-hub:org/clip', retry: { pause: 1 } });
});

test('a folder', async () => {
  const place = path.join(folder, 'clip');
  mkdirSync(place);
  await fails(loadTextEncoder({ model: `local-dir:${place}` }), 'model/unknown', /local-dir/);
  writeFileSync(path.join(place, 'open_clip_config.json'), JSON.stringify(clip.config));
  await fails(loadTextEncoder({ model: `local-dir:${place}` }), 'weights/not-found', /open_clip_model\.safetensors/);
  copyFileSync(clip.path, path.join(place, 'open_clip_model.safetensors'));
  await checkText(clip, { model: `local-dir:${place}` });
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [cli, 'shard', '--tower', 'text', '--model', `local-dir:${place}/`, '--out', path.join(folder, 'text.safetensors')],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  assert.equal(JSON.parse(stdout).tower, 'text');
});

test('every pretrained tag of OpenCLIP resolves to a file of a hub', async () => {
  let count = 0;
  const warn = console.warn;
  const warnings = [];
  console.warn = (message) => warnings.push(message);
  for (const [model, tags] of Object.entries(pretrained)) {
    for (const tag of Object.keys(tags)) {
      const { weights, config, name } = await resolveModel(model, tag, 'image', { hub: 'https://hub.example' });
      assert.equal(name, model);
      assert.match(
        weights.any[0].url,
        /^https:\/\/hub\.example\/[\w.-]+\/[\w.-]+\/resolve\/main\/[\w.-]+\.safetensors$/,
      );
      const { model_cfg, preprocess_cfg } = JSON.parse(config);
      assert.ok(
        model_cfg.embed_dim &&
          preprocess_cfg.mean.length === 3 &&
          preprocess_cfg.interpolation &&
          preprocess_cfg.resize_mode,
      );
      count++;
    }
  }
  console.warn = warn;
  assert.ok(count > 150, `${count} tags`);
  assert.ok(
    warnings.some(
      (warning) =>
        warning.includes('ViT-B-32 ') && warning.includes('"openai"') && warning.includes('ViT-B-32-quickgelu'),
    ),
  );
  assert.ok(!warnings.some((warning) => warning.includes('laion2b_s34b_b79k')));
});

test('a pretrained tag, however it is written', async () => {
  for (const tag of ['laion2b_s34b_b79k', 'laion2B-s34B-b79K']) {
    hub.reset();
    hub.files['/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/open_clip_model.safetensors'] = bytesOf(clip);
    await fails(
      loadTextEncoder({ model: 'ViT-B-32', weights: tag, hub: `${hub.base}/` }),
      'weights/mismatch',
      /open_clip_model\.safetensors/,
    );
    assert.deepEqual(
      hub.requests.map(({ path }) => path),
      ['/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/open_clip_model.safetensors'],
    );
  }
  const { config } = await resolveModel('ViT-L/14', 'laion2b_s32b_b82k', 'image');
  assert.deepEqual(JSON.parse(config).preprocess_cfg.mean, [0.5, 0.5, 0.5]);
  const { weights } = await resolveModel('ViTamin-S', 'datacomp1b', 'image');
  assert.deepEqual(
    weights.any.map(({ url }) => url),
    [
      'https://huggingface.co/jienengchen/ViTamin-S/resolve/main/pytorch_model.safetensors',
      'https://huggingface.co/jienengchen/ViTamin-S/resolve/main/pytorch_model.bin',
    ],
  );
});

test('an unknown tag, and none, with those that there are', async () => {
  await fails(
    loadTextEncoder({ model: 'ViT-B-32', weights: 'laion9b' }),
    'weights/not-found',
    /laion9b/,
    /laion2b_s34b_b79k/,
  );
  await fails(loadTextEncoder({ model: 'ViT-B-32' }), 'weights/not-found', /laion2b_s34b_b79k/);
  await fails(loadTextEncoder({ model: 'ViT-M-16' }), 'weights/not-found', /no pretrained tags/);
});
