// The package as `npm pack` makes it, installed into an empty folder: what is in it, and that it runs in this Node.js
// and in the newest.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import { cosineSimilarity, loadTextEncoder } from '../../dist/index.js';
import { newestNode, NEWEST } from '../newest-node.mjs';
import { cosine, golden, rows } from './support.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
const npm = (args, cwd) => run('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd });

let folder;
let packed;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  const { stdout } = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], ROOT);
  [packed] = JSON.parse(stdout.slice(stdout.indexOf('[')));
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module", "private": true }');
  await npm(['install', '--offline', `./${packed.filename}`], folder);
});

after(() => rmSync(folder, { recursive: true }));

test('what is in it', () => {
  const names = packed.files.map(({ path }) => path);
  for (const name of [
    'index.js',
    'index.d.ts',
    'index.d.cts',
    'video.js',
    'kept.js',
    'hugging-face.js',
    'worker.js',
    'node.js',
    'node.cjs',
    'node-worker.js',
    'vector-index.js',
    'vector-index.d.ts',
    'vector-index.d.cts',
    'vector-index-node.js',
    'vector-index-node.cjs',
    'exif.js',
    'exif.cjs',
    'exif.d.ts',
    'exif.d.cts',
    'langchain.js',
    'langchain.cjs',
    'langchain.d.ts',
    'langchain.d.cts',
    'cli.js',
    'demo-offline.js',
    'clip-merges.bin',
    'halfclip-relaxed.wasm',
    'halfclip-simd128.wasm',
    'halfclip-relaxed-threads.wasm',
    'halfclip-simd128-threads.wasm',
    'halfclip-vit-relaxed.wasm',
    'halfclip-vit-simd128.wasm',
    'halfclip-vit-relaxed-threads.wasm',
    'halfclip-vit-simd128-threads.wasm',
    'halfclip-files.wasm',
    'halfclip-calibrate-relaxed-threads.wasm',
    'halfclip-calibrate-simd128-threads.wasm',
    'models/halfclip-emoji-image.safetensors',
    'models/halfclip-emoji-text.safetensors',
  ]) {
    assert.ok(names.includes(`dist/${name}`), name);
  }
  const others = names.filter(
    (name) => !name.startsWith('dist/') && !['package.json', 'README.md', 'LICENSE'].includes(name),
  );
  assert.deepEqual(others, []);
  for (const name of ['index.html', 'demo.js', 'demo.css', 'pictures/index.txt', 'pictures/owl.jpg'])
    assert.ok(names.includes(`dist/demo/${name}`), name);
  const manifest = JSON.parse(readFileSync(path.join(folder, 'node_modules/halfclip/package.json'), 'utf8'));
  assert.equal(manifest.dependencies, undefined);
  assert.ok(!Object.keys(manifest.scripts).some((name) => /install|prepare/.test(name)));
  assert.ok(!existsSync(path.join(folder, 'node_modules/sharp')));
});

test('what a page fetches for a ViT is two scripts and a module, at most 150 kB compressed, and what videos and Node.js need is not in them', () => {
  const dist = path.join(folder, 'node_modules/halfclip/dist');
  const compressed = (name) => gzipSync(readFileSync(path.join(dist, name)), { level: 9 }).length;
  const importsOf = (name) => {
    const text = readFileSync(path.join(dist, name), 'utf8');
    assert.doesNotMatch(text, /worker_threads|XDG_CACHE_HOME/, name);
    return [
      ...new Set(
        [...text.matchAll(/\}\s*from\s*"([^"]*)"|\bimport\s*"([^"]*)"/g)].map(([, from, alone]) => from ?? alone),
      ),
    ];
  };
  const laterImportsOf = (name) =>
    [...readFileSync(path.join(dist, name), 'utf8').matchAll(/\bimport\s*\(([^)]*)\)/g)].map(([, what]) => what);
  assert.deepEqual([...new Set(laterImportsOf('index.js'))].sort(), [
    '"./hugging-face.js"',
    '"./kept.js"',
    '"./video.js"',
  ]); // which few pages fetch
  assert.deepEqual(importsOf('video.js'), ['./worker.js']);
  assert.deepEqual(importsOf('kept.js'), ['./worker.js']);
  assert.deepEqual(importsOf('hugging-face.js'), ['./worker.js']);
  assert.deepEqual(importsOf('index.js'), ['./worker.js']);
  assert.deepEqual(laterImportsOf('worker.js'), []);
  assert.deepEqual(importsOf('worker.js'), []);
  assert.doesNotMatch(readFileSync(path.join(dist, 'worker.js'), 'utf8'), /import\.meta/);
  for (const flavour of ['relaxed', 'simd128', 'relaxed-threads', 'simd128-threads']) {
    const bytes = ['index.js', 'worker.js', `halfclip-vit-${flavour}.wasm`].reduce(
      (sum, name) => sum + compressed(name),
      0,
    );
    assert.ok(bytes <= 150_000, `${bytes} bytes with ${flavour}`);
  }
});

test('what a page fetches for an index is one script, at most 27 kB compressed', () => {
  const file = readFileSync(path.join(folder, 'node_modules/halfclip/dist/vector-index.js'));
  assert.doesNotMatch(String(file), /\bimport\b(?!\.meta)|worker_threads/);
  const bytes = gzipSync(file, { level: 9 }).length;
  assert.ok(bytes <= 27_000, `${bytes} bytes`);
});

test('what a page fetches for dates is one script, at most 3 kB compressed', () => {
  const file = readFileSync(path.join(folder, 'node_modules/halfclip/dist/exif.js'));
  assert.doesNotMatch(String(file), /\bimport\b/);
  const bytes = gzipSync(file, { level: 9 }).length;
  assert.ok(bytes <= 3000, `${bytes} bytes`);
});

const PROGRAM = `
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { HalfclipError, loadImageEncoder, loadTextEncoder } from 'halfclip';

const { model, weights, tokens, pixels } = JSON.parse(readFileSync('input.json', 'utf8'));
const result = { node: process.version, vectors: {} };
for (const worker of [false, true]) {
  const text = await loadTextEncoder({ model, weights, dtype: 'fp32', worker });
  const image = await loadImageEncoder({ model, weights, dtype: 'fp32', worker });
  result.simd = text.info.simd;
  result.vectors[worker] = {
    text: Array.from(await text.embedTokens(Int32Array.from(tokens), { normalize: false })),
    image: Array.from(await image.embedPixels(Float32Array.from(pixels), { normalize: false })),
  };
  const start = (...bytes) => Uint8Array.from({ length: 100 }, (_, i) => bytes[i] ?? 0);
  const text64 = (string) => start(...Buffer.from(string));
  const sources = [
    [start(0xff, 0xd8, 0xff), /npm install sharp/],
    [text64('RIFF1234WEBP'), /npm install sharp/],
    [text64('1234ftypavif'), /npm install sharp/],
    [text64('<?xml version="1.0"?> <svg>'), /SVG has no pixels/],
    [start(), /the input: is no picture/],
    [text64('<!doctype html><svg>'), /is no picture.*HTML/],
    [text64('12345678{"a":'), /is no picture.*safetensors/],
  ];
  for (const [source, pattern] of sources) {
    const error = await image.embed(source).catch((error) => error);
    assert.ok(error instanceof HalfclipError);
    assert.equal(error.code, 'input/decode');
    assert.match(error.message, pattern);
    assert.equal(/npm install/.test(error.message), /npm/.test(pattern.source));
  }
  if (Symbol.dispose) image[Symbol.dispose]();
  else image.dispose();
  text.dispose();
}
for (const part of ['worker', 'halfclip-relaxed.wasm', 'halfclip-simd128-threads.wasm']) assert.ok(readFileSync(new URL(import.meta.resolve('halfclip/' + part))).length > 500);
const { VectorIndex } = await import('halfclip/index');
const { VectorIndex: Required } = createRequire(import.meta.url)('halfclip/index');
const index = new VectorIndex({ dim: result.vectors.true.text.length });
index.add('a text', result.vectors.true.text);
await index.save('program.index');
assert.deepEqual(
  (await Required.load('program.index')).search(result.vectors.true.text).map(({ id, score }) => [id, Math.round(score)]),
  [['a text', 1]],
);
const { takenAt } = await import('halfclip/exif');
assert.equal(await takenAt(new Uint8Array(100)), null);
assert.equal(await createRequire(import.meta.url)('halfclip/exif').takenAt(new Blob([])), null);
result.kernels = index.kernels;
console.log(JSON.stringify(result));
`;

async function runIn(node) {
  const { name, config, path: weights, expected } = golden('clip');
  const [tokens, pixels] = [rows(expected.tokens)[1], rows(expected.pixels)[1]];
  writeFileSync(
    path.join(folder, 'input.json'),
    JSON.stringify({ model: config, weights: fileURLToPath(weights), tokens: [...tokens], pixels: [...pixels] }),
  );
  writeFileSync(path.join(folder, 'program.js'), PROGRAM);
  const { stdout } = await run(node, ['program.js'], { cwd: folder });
  const result = JSON.parse(stdout);
  for (const vectors of Object.values(result.vectors)) {
    assert.ok(cosine(vectors.text, rows(expected.text_features)[1]) > 0.99999, name);
    assert.ok(cosine(vectors.image, rows(expected.image_features)[1]) > 0.99999, name);
  }
  assert.deepEqual(result.vectors.true, result.vectors.false, 'a worker computes the same');
  return result;
}

test('it runs in this Node.js', async () => {
  const result = await runIn(process.execPath);
  assert.equal(result.node, process.version);
});

test(`it runs in Node.js ${NEWEST}, with relaxed SIMD`, async () => {
  const result = await runIn(newestNode());
  assert.equal(result.node, `v${NEWEST}`);
  assert.equal(result.simd, 'relaxed');
});

test('the bundled model', async () => {
  const text = await loadTextEncoder({ model: 'halfclip-emoji' });
  const [cat, face, train] = await text.embed(['a cat', 'a cat face', 'a train']);
  assert.ok(cosineSimilarity(cat, face) > cosineSimilarity(cat, train));
  text.dispose();
});

test('its command', async () => {
  const { stdout } = await run(
    path.join(folder, 'node_modules/.bin/halfclip'),
    ['embed', '--model', 'halfclip-emoji', 'a cat'],
    { cwd: folder },
  );
  const { input, embedding } = JSON.parse(stdout);
  assert.equal(input, 'a cat');
  assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-5);
});

test('its page, which finds the package and the bundled model from where it is installed', async () => {
  const child = spawn(path.join(folder, 'node_modules/.bin/halfclip'), ['serve', '--port', '0'], { cwd: folder });
  try {
    const [line] = await once(child.stdout, 'data');
    const page = /http:\S+\/demo\//.exec(line)[0];
    for (const name of [
      '',
      'demo.js',
      'library-worker.js',
      'manifest.webmanifest',
      'pictures/index.txt',
      '../index.js',
      '../vector-index.js',
      '../exif.js',
      '../worker.js',
      '../halfclip-vit-relaxed.wasm',
      '../models/halfclip-emoji-text.safetensors',
    ]) {
      const response = await fetch(new URL(name, page));
      assert.equal(response.status, 200, name);
      assert.ok((await response.arrayBuffer()).byteLength > 200, name);
    }
  } finally {
    child.kill();
  }
});
