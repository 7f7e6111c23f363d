// Chromium: the package inside workers of the caller's own, of every kind. A service worker has no import() and no
// workers.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

import { serve } from '../../web/cli/server.js';
import { launch } from './chromium.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

const PROGRAM = `
import { keptTowers, loadTextEncoder, loadVideoEncoder } from '/halfclip/index.js';
const answer = async (options) => {
  const text = await loadTextEncoder({ model: 'halfclip-emoji', assets: '/halfclip/', ...options });
  const [a, b] = await text.embed(['a cat', 'a dog']);
  text.dispose();
  return [a.length, b.length];
};
const video = async () => {
  const encoder = await loadVideoEncoder({ model: 'halfclip-emoji', assets: '/halfclip/', worker: false });
  const frame = { data: new Uint8Array(300), width: 10, height: 10 };
  const vector = await encoder.embed({ frames: [frame, frame] });
  encoder.dispose();
  return vector.length;
};
const reply = async (port) => {
  const results = [];
  for (const worker of [false, true]) results.push(await answer({ worker }).catch((error) => error.name + ' ' + error.code));
  results.push(await keptTowers().then((list) => list.length, (error) => error.code));
  const hub = location.origin;
  results.push(await loadTextEncoder({ model: 'hf-hub:some/model', hub, worker: false }).catch((error) => error.code + ': ' + error.message));
  results.push(await video().catch((error) => error.code + ': ' + error.message));
  port.postMessage(results);
};
globalThis.onconnect = ({ ports: [port] }) => reply(port);
globalThis.onmessage = ({ ports: [port] }) => reply(port);
`;

let folder;
let server;
let browser;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
  writeFileSync(path.join(folder, 'index.html'), '<!DOCTYPE html><title>halfclip</title>');
  writeFileSync(path.join(folder, 'program.js'), PROGRAM);
  writeFileSync(
    path.join(folder, 'with-both.js'),
    `import '/halfclip/video.js';\nimport '/halfclip/hugging-face.js';\n${PROGRAM}`,
  );
  const repository = path.join(folder, 'some/model/resolve/main');
  mkdirSync(repository, { recursive: true });
  writeFileSync(path.join(repository, 'config.json'), '{ "model_type": "other" }');
  // In one piece, as a classic script, where nothing is left of import.meta.
  await build({
    stdin: { contents: PROGRAM.replace('/halfclip/index.js', './index.js'), resolveDir: DIST },
    bundle: true,
    format: 'iife',
    outfile: path.join(folder, 'classic.js'),
    logOverride: { 'empty-import-meta': 'silent' },
  });
  server = await serve({ root: { '/': folder, '/halfclip/': DIST } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true });
});

// What a repository's config says was read, and found to be of a model that is not known.
const READ = /^model\/unsupported: .*"other"/;
const importFirst = (name) =>
  new RegExp(`^http/network: a module cannot be imported: .*service worker has to import 'halfclip/${name}' first`);

const START = {
  'a dedicated worker': [[192, 192], [192, 192], 0, READ, 192],
  'a shared worker': [[192, 192], 'HalfclipError input/type', 0, READ, 192],
  'a service worker': [
    [192, 192],
    'HalfclipError input/type',
    'http/network',
    importFirst('hugging-face'),
    importFirst('video'),
  ],
  'a service worker with both modules': [[192, 192], 'HalfclipError input/type', 'http/network', READ, 192],
  'a classic dedicated worker': [[192, 192], [192, 192], 0, READ, 192],
  'a classic service worker': [[192, 192], 'HalfclipError input/type', 0, READ, 192],
};

for (const [kind, expected] of Object.entries(START)) {
  test(`in ${kind}`, async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(server.url);
    const found = await page.evaluate(async (kind) => {
      const { port1, port2 } = new MessageChannel();
      const come = (port) =>
        new Promise((resolve) => {
          port.onmessage = ({ data }) => resolve(data);
        });
      const [script, type] = kind.includes('classic')
        ? ['classic.js', 'classic']
        : [kind.includes('with both modules') ? 'with-both.js' : 'program.js', 'module'];
      if (kind === 'a shared worker') return come(new SharedWorker(script, { type }).port);
      let worker;
      if (kind.endsWith('dedicated worker')) worker = new Worker(script, { type });
      else {
        await navigator.serviceWorker.register(script, { type });
        worker = (await navigator.serviceWorker.ready).active;
      }
      worker.postMessage('go', [port2]);
      return come(port1);
    }, kind);
    await context.close();
    assert.equal(found.length, expected.length);
    for (const [i, one] of expected.entries()) (one instanceof RegExp ? assert.match : assert.deepEqual)(found[i], one);
  });
}
