// An app as a bundler's own starter makes it, with the package installed as npm would, and a look at it in Chromium.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { ROOT, unpack } from '../install.mjs';
import { golden } from '../node/support.mjs';

export const HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

const { name, config } = golden('clip');
const PICTURE = path.join(ROOT, 'tests/pictures/owl.jpg');
const TOKENS = Int32Array.from({ length: 12 }, (_, i) => i + 1);
const PIXELS = Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => Math.sin(i));

/** A module that a test installed under build/, by its package's name there. */
export async function installed(folder, name, file) {
  const { resolve } = createRequire(path.join(ROOT, 'build', folder, 'index.js'));
  return import(
    pathToFileURL(file ? path.join(path.dirname(resolve(`${name}/package.json`)), file) : resolve(name)).href
  );
}

/** What the app's page does when it is asked to. */
const MAIN = `
import { HalfclipError, loadImageEncoder, loadTextEncoder } from 'halfclip';

const sizes = { model: ${JSON.stringify(config)}, dtype: 'int8' };
const weights = new URL('/${name}.safetensors', location.href);

window.run = async ({ threads, ...others }) => {
  const found = {};
  const text = await loadTextEncoder({ model: 'halfclip-emoji', threads, ...others });
  found.text = [...(await text.embed('two hearts'))];
  found.threads = text.info.threads;
  text.dispose();
  const image = await loadImageEncoder({ model: 'halfclip-emoji', threads, ...others });
  found.image = [...(await image.embed('/owl.jpg'))];
  image.dispose();
  const tokens = await loadTextEncoder({ ...sizes, weights, threads, ...others });
  found.tokens = [...(await tokens.embedTokens(Int32Array.from(${JSON.stringify([...TOKENS])})))];
  tokens.dispose();
  const pixels = await loadImageEncoder({ ...sizes, weights, threads, ...others });
  found.pixels = [...(await pixels.embedPixels(Float32Array.from({ length: ${PIXELS.length} }, (_, i) => Math.sin(i))))];
  pixels.dispose();
  return found;
};
window.fail = (options) => loadTextEncoder({ model: 'halfclip-emoji', ...options })
  .then(() => null, (error) => ({ halfclip: error instanceof HalfclipError, code: error.code, message: error.message }));
`;

/** Makes an app's folder, with the package as npm would install it. */
export function makeApp(folder, tarball, files = {}) {
  rmSync(folder, { recursive: true, force: true });
  const write = (name, content) => {
    const place = path.join(folder, name);
    mkdirSync(path.dirname(place), { recursive: true });
    writeFileSync(place, content);
  };
  const all = {
    'package.json': '{ "name": "app", "private": true, "version": "0.0.0", "type": "module" }',
    'index.html':
      '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>app</title></head><body><script type="module" src="/src/main.js"></script></body></html>',
    'src/main.js': MAIN,
    [`public/${name}.safetensors`]: readFileSync(golden(name).path),
    'public/owl.jpg': readFileSync(PICTURE),
    ...files,
  };
  for (const [name, content] of Object.entries(all)) if (content !== null) write(name, content);
  unpack(tarball, path.join(folder, 'node_modules/halfclip'));
}

let expected;

/** What `run` gives in Node.js: the same bits. The JPEG is decoded by another decoder. */
async function expectations() {
  const sizes = { model: config, dtype: 'int8', weights: golden(name).path };
  const one = async (load, options, method, input) => {
    const encoder = await load(options);
    const vector = [...(await encoder[method](input))];
    encoder.dispose();
    return vector;
  };
  return {
    text: await one(loadTextEncoder, { model: 'halfclip-emoji' }, 'embed', 'two hearts'),
    image: await one(loadImageEncoder, { model: 'halfclip-emoji' }, 'embed', PICTURE),
    tokens: await one(loadTextEncoder, sizes, 'embedTokens', TOKENS),
    pixels: await one(loadImageEncoder, sizes, 'embedPixels', PIXELS),
  };
}

/**
 * Opens an app's page and lets it load and embed, on one thread and on two, in a worker and on its own thread.
 * @param {import('playwright-core').Browser} browser
 * @param {string} url
 */
export async function checkApp(browser, url, { options = {}, expectedMessages = /^$/ } = {}) {
  expected ??= await expectations();
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expectedMessages.test(message.text()))
      complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`);
  });
  let workers = 0;
  page.on('worker', () => workers++);
  try {
    await page.goto(url);
    await page.waitForFunction(() => window.run);
    for (const given of [{ threads: 1 }, { threads: 2 }, { threads: 2, worker: false }]) {
      workers = 0;
      const found = await page.evaluate((given) => window.run(given), { ...given, ...options });
      assert.equal(found.threads, given.threads);
      assert.ok(given.worker === false || workers >= 4, `${workers} workers`);
      for (const kind of ['text', 'tokens', 'pixels']) assert.deepEqual(found[kind], expected[kind], kind);
      const dot = found.image.reduce((sum, x, i) => sum + x * expected.image[i], 0);
      assert.ok(dot > 0.999, `the picture: cosine ${dot}`);
    }
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}
