// What the tests of the cache share: a server with one golden checkpoint, a fresh folder of towers for each test, and a
// load that keeps its tower there.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import { FaultServer, inMemory } from './fault-server.mjs';
import { golden, rows } from './support.mjs';

export const clip = golden('clip');
export const file = readFileSync(clip.path);
export const ids = rows(clip.expected.tokens)[0];
export const pixels = rows(clip.expected.pixels)[0];

/** Set anew by the hooks below; `dir` is empty when a test begins. */
export let server;
export let folder;
export let dir;

before(async () => {
  server = await FaultServer.start({});
  folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
});

beforeEach(() => {
  server.reset();
  server.files = { '/clip.safetensors': inMemory(file) };
  dir = mkdtempSync(path.join(folder, 'towers-'));
});

after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/**
 * Loads a tower through the cache and disposes of it; gives its info, one vector, and the requests that were made for
 * it.
 */
export async function load({ tower = 'text', ...options } = {}) {
  const before = server.requests.length;
  const encoder = await (tower === 'text' ? loadTextEncoder : loadImageEncoder)({
    model: clip.config,
    weights: `${server.base}/clip.safetensors`,
    dtype: 'int8',
    cache: { dir },
    retry: { attempts: 1 },
    ...options,
  });
  const vector = await (tower === 'text' ? encoder.embedTokens(ids) : encoder.embedPixels(pixels));
  encoder.dispose();
  return { ...encoder.info, vector, requests: server.requests.slice(before) };
}
