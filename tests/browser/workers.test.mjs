// Chromium: the package inside workers of the caller's own, of every kind. A service worker has no import() and no workers.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { serve } from '../../web/server.js';
import { launch } from './chromium.mjs';

const PROGRAM = `
import { loadTextEncoder } from '/halfclip/index.js';
const answer = async (options) => {
  const text = await loadTextEncoder({ model: 'halfclip-emoji', ...options });
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
  server = await serve({ root: { '/': folder, '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)) } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true });
});

const START = {
  'a dedicated worker': { expected: [[192, 192], [192, 192]] },
  'a shared worker': { expected: [[192, 192], 'HalfclipError input/type'] },
  'a service worker': { expected: [[192, 192], 'HalfclipError input/type'] },
};

for (const [kind, { expected }] of Object.entries(START)) {
  test(`in ${kind}`, async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(server.url);
    const found = await page.evaluate(async (kind) => {
      const { port1, port2 } = new MessageChannel();
      const come = (port) => new Promise((resolve) => { port.onmessage = ({ data }) => resolve(data); });
      if (kind === 'a shared worker') return come(new SharedWorker('program.js', { type: 'module' }).port);
      let worker;
      if (kind === 'a dedicated worker') worker = new Worker('program.js', { type: 'module' });
      else {
        await navigator.serviceWorker.register('program.js', { type: 'module' });
        worker = (await navigator.serviceWorker.ready).active;
      }
      worker.postMessage('go', [port2]);
      return come(port1);
    }, kind);
    await context.close();
    assert.deepEqual(found, expected);
  });
}
