// Chromium: the package inside workers of the caller's own, of every kind. A service worker has no import() and no
// workers.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

import { serve } from '../../web/cli/server.js';
import { launch } from './chromium.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

const PROGRAM = `
import { loadTextEncoder } from '/halfclip/index.js';
const answer = async (options) => {
  const text = await loadTextEncoder({ model: 'halfclip-emoji', assets: '/halfclip/', ...options });
  const [a, b] = await text.embed(['a cat', 'a dog']);
  text.dispose();
  return [a.length, b.length];
};
const reply = async (port) => {
  const results = [];
  for (const worker of [false, true]) results.push(await answer({ worker }).catch((error) => error.name + ' ' + error.code));
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

const START = {
  'a dedicated worker': {
    expected: [
      [192, 192],
      [192, 192],
    ],
  },
  'a shared worker': { expected: [[192, 192], 'HalfclipError input/type'] },
  'a service worker': { expected: [[192, 192], 'HalfclipError input/type'] },
  'a classic dedicated worker': {
    expected: [
      [192, 192],
      [192, 192],
    ],
  },
  'a classic service worker': { expected: [[192, 192], 'HalfclipError input/type'] },
};

for (const [kind, { expected }] of Object.entries(START)) {
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
      const [script, type] = kind.includes('classic') ? ['classic.js', 'classic'] : ['program.js', 'module'];
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
    assert.deepEqual(found, expected);
  });
}
