// What inspect says of files and of names: the architecture with its activation and what decides it, what is kept, and
// what an architecture is without any file.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadTextEncoder } from '../../dist/node.js';
import { inspect } from '../../web/cli/report.js';
import { architectures } from '../../web/models/architectures.js';
import '../../web/node/index.js';
import { FaultServer, inMemory, zerosBehind } from './fault-server.mjs';
import { buildSafetensors, golden, headerOf, parseSafetensors, tensorShapes } from './support.mjs';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

let server;
let folder;

before(async () => {
  server = await FaultServer.start({});
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
});
beforeEach(() => server.reset());
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

function cli(...args) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [CLI, 'inspect', ...args], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

/**
 * Tensors of ViT-B-32's sizes under names with a prefix, and more tensors beside them, in a file that has nothing behind
 * its header.
 */
function vitB32(prefix = '', beside = []) {
  const shapes = Object.entries(tensorShapes(architectures['ViT-B-32']));
  return headerOf({
    ...Object.fromEntries(shapes.map(([name, shape]) => [prefix + name, shape])),
    ...Object.fromEntries(beside.map((name) => [name, [1]])),
  });
}

const named = async (...args) => {
  server.files = { '/vit': zerosBehind(vitB32(...args)) };
  const { architecture, names, activation } = await inspect(`${server.base}/vit`);
  return [architecture, names, activation.quickGelu];
};

test('where nothing says which activation it is, both names are given, and that it is so', async () => {
  const both = ['ViT-B-32', 'ViT-B-32-quickgelu'];
  assert.deepEqual(await named(), [{ name: 'ViT-B-32', exact: true }, both, null]);
  for (const prefix of ['module.', 'clip.', '_orig_mod.', 'module.clip.', 'model.'])
    assert.deepEqual(await named(prefix), [{ name: 'ViT-B-32', exact: true }, both, null]);
  const place = path.join(folder, 'bare.safetensors');
  const { head, size } = vitB32();
  writeFileSync(place, head);
  truncateSync(place, size);
  assert.match(
    cli(place),
    /^architecture: ViT-B-32 or ViT-B-32-quickgelu\nactivation: GELU or QuickGELU: nothing in the file says it/m,
  );
});

test("files of OpenAI's and of CLIP4Clip's are of the architecture with QuickGELU", async () => {
  const quick = [{ name: 'ViT-B-32-quickgelu', exact: true }, ['ViT-B-32-quickgelu'], true];
  assert.deepEqual(await named('', ['input_resolution', 'context_length', 'vocab_size']), quick);
  assert.deepEqual(await named('module.', ['module.context_length', 'module.vocab_size']), quick);
  for (const name of ['frame_position_embeddings.weight', 'transformerClip.x', 'lstm_visual.x', 'cross.x'])
    assert.deepEqual(await named('clip.', [name]), quick);
  assert.deepEqual(await named('module.clip.', ['module.cross.x']), quick);
});

test('a config.json of Hugging Face beside a file decides, and in a folder or on a hub that a name stands for', async () => {
  const place = path.join(folder, 'face');
  mkdirSync(place);
  const section = { hidden_size: 24, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 2 };
  const face = golden('hugging-face');
  copyFileSync(face.path, path.join(place, 'model.safetensors'));
  for (const [act, quickGelu] of [
    ['quick_gelu', true],
    ['gelu', false],
    [undefined, true],
  ]) {
    // what is left out is as in CLIPConfig
    const config = {
      model_type: 'clip',
      projection_dim: 24,
      text_config: { ...section, hidden_act: act, max_position_embeddings: 12, vocab_size: 96, eos_token_id: 95 },
      vision_config: { ...section, hidden_act: act, image_size: 18, patch_size: 6 },
    };
    writeFileSync(path.join(place, 'config.json'), JSON.stringify(config));
    server.files = {
      '/org/face/resolve/main/config.json': inMemory(Buffer.from(JSON.stringify(config))),
      '/org/face/resolve/main/model.safetensors': inMemory(readFileSync(face.path)),
    };
    assert.equal((await inspect(path.join(place, 'model.safetensors'))).activation.quickGelu, quickGelu);
    assert.equal((await inspect(`local-dir:${place}`)).activation.quickGelu, quickGelu);
    assert.equal((await inspect('hf-hub:org/face', { hub: server.base })).activation.quickGelu, quickGelu);
  }
  // Of a URL nothing is fetched but what the caller named.
  server.requests.length = 0;
  assert.equal((await inspect(`${server.base}/org/face/resolve/main/model.safetensors`)).activation.quickGelu, null);
  assert.ok(server.requests.every(({ path: asked }) => asked.endsWith('/model.safetensors')));
});

test('a shard says it itself', async () => {
  const { metadata, tensors } = parseSafetensors(
    readFileSync(new URL('../../web/models/halfclip-emoji-text.safetensors', import.meta.url)),
  );
  for (const quick_gelu of [true, false]) {
    const model_cfg = JSON.stringify({ ...JSON.parse(metadata.model_cfg), quick_gelu });
    const { activation, architecture } = await inspect(
      new Blob([buildSafetensors({ metadata: { ...metadata, model_cfg }, tensors })]),
    );
    assert.deepEqual(activation, { quickGelu: quick_gelu, because: 'its own config' });
    assert.equal(architecture.exact, false);
  }
});

test('names: an architecture without a file, and the bundled model', async () => {
  const plain = await inspect('ViT-B-32');
  assert.deepEqual(plain.towers.image, { parameters: 87849216, imageSize: 224, dim: 512 });
  assert.deepEqual(plain.towers.text, { parameters: 63428096, contextLength: 77, vocabSize: 49408, dim: 512 });
  assert.ok(plain.tags.includes('laion2b_s34b_b79k') && plain.tags.includes('openai'));
  assert.equal(plain.activation.quickGelu, false);
  assert.equal((await inspect('ViT-B/32-quickgelu')).activation.quickGelu, true);
  assert.match(
    cli('ViT-B-32'),
    /image +87\.8 M parameters +pictures of 224 x 224 +vectors of 512[\s\S]*laion2b_s34b_b79k/,
  );
  const emoji = await inspect('halfclip-emoji');
  assert.equal(emoji.files.length, 2);
  assert.ok(emoji.towers.image.count > 50 && emoji.towers.text.count > 30 && emoji.notKept === null);
  assert.match(cli('halfclip-emoji'), /^halfclip-emoji: safetensors.*\narchitecture: its own config$/m);
});

test('a summary by default, the tensors when they are asked for', () => {
  const place = fileURLToPath(golden('clip').path);
  assert.ok(!cli(place).includes('ln_final.weight'));
  assert.ok(cli('--tensors', place).includes('ln_final.weight'));
  assert.ok(JSON.parse(cli('--json', place)).tensors.some(({ name }) => name === 'ln_final.weight'));
});

test('weights whose server names no version: one line says that they are not kept, and why', async () => {
  const clip = golden('clip');
  server.files = { '/clip.safetensors': inMemory(readFileSync(clip.path)) };
  const url = `${server.base}/clip.safetensors`;
  assert.equal((await inspect(url)).notKept, null);
  const bare = async (...args) => {
    const response = await fetch(...args);
    const headers = new Headers(response.headers);
    for (const name of ['etag', 'last-modified']) headers.delete(name);
    return new Response(response.body, { status: response.status, headers });
  };
  assert.match((await inspect(url, { fetch: bare })).notKept, /not kept.*ETag.*Last-Modified/);
  const warned = [];
  const { warn } = console;
  console.warn = (line) => warned.push(line);
  try {
    const load = async (options) =>
      (
        await loadTextEncoder({
          model: clip.config,
          weights: url,
          worker: false,
          cache: { dir: path.join(folder, 'cache') },
          ...options,
        })
      ).dispose();
    await load({});
    await load({ fetch: bare, cache: 'no-store' });
    assert.deepEqual(warned, []);
    await load({ fetch: bare, cache: { dir: path.join(folder, 'other') } });
  } finally {
    console.warn = warn;
  }
  assert.equal(warned.length, 1);
  assert.match(warned[0], /^halfclip: http.*clip\.safetensors: .*not kept.*ETag.*Last-Modified/);
});
