// Times the first and the second load of a text tower at int8 from a local server, in Node.js and in Chromium: `node tests/bench/cache.mjs [MODEL]`. The weights
// are random and in fp16; a first load includes keeping the tower.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

import * as halfclip from '../../dist/index.js';
import { models } from '../../dist/models.js';
import { serve } from '../../web/server.js';
import { randomCheckpoint } from '../node/support.mjs';

const RUNS = Number(process.env.RUNS ?? 7);
const [model = 'ViT-B-32'] = process.argv.slice(2);
const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** Milliseconds of loads in one place: { first: [], second: [] }. Runs in Node.js and, as its source text, in a page. */
async function times({ loadTextEncoder }, { runs, cache = {}, ...options }) {
  const found = { first: [], second: [] };
  for (let i = 0; i < runs; i++) {
    for (const [name, mode] of [['first', 'reload'], ['second', 'default']]) {
      const begin = performance.now();
      const encoder = await loadTextEncoder({ ...options, dtype: 'int8', cache: { ...cache, mode } });
      found[name].push(performance.now() - begin);
      if (encoder.info.cached !== (name === 'second')) throw new Error(`cached is ${encoder.info.cached} in the ${name} load`);
      encoder.dispose();
    }
  }
  return found;
}

function print(where, { first, second }) {
  const [before, after] = [first, second].map((all) => all.toSorted((a, b) => a - b)[all.length >> 1]);
  console.log(`${where.padEnd(28)} first ${before.toFixed(0).padStart(6)} ms   second ${after.toFixed(0).padStart(6)} ms   ${(before / after).toFixed(1)} times as fast`);
}

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
const { embed_dim, vision_cfg, text_cfg } = models[model];
mkdirSync(path.join(folder, 'site'));
writeFileSync(path.join(folder, 'site', 'weights.safetensors'), randomCheckpoint({ embed_dim, text_cfg }).file);
writeFileSync(path.join(folder, 'site', 'index.html'), '<!DOCTYPE html><link rel="icon" href="data:,"><title>halfclip</title>');
const server = await serve({ root: { '/': path.join(folder, 'site'), '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)) } });
const options = { model: { embed_dim, vision_cfg, text_cfg }, weights: `${server.url}/weights.safetensors`, runs: RUNS };
let browser;
try {
  console.log(`${model}, text tower, int8, median of ${RUNS} runs`);
  print(`Node.js ${process.versions.node}`, await times(halfclip, { ...options, cache: { dir: path.join(folder, 'towers') } }));
  browser = await chromium.launchPersistentContext(path.join(folder, 'profile'), { executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage();
  await page.goto(server.url);
  for (const worker of [true, false]) {
    const found = await page.evaluate(`import('/halfclip/index.js').then((module) => (${times})(module, ${JSON.stringify({ ...options, worker })}))`);
    print(`Chromium, ${worker ? 'in a worker' : 'on the page\'s thread'}`, found);
  }
} finally {
  await browser?.close();
  await server.close();
  rmSync(folder, { recursive: true });
}
