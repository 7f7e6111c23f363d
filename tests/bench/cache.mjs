// Times the first and the second load of a text tower at int8 from a local server, up to the first vector, in Node.js
// and in Chromium, beside copying as many bytes into a new WebAssembly memory: `node tests/bench/cache.mjs [MODEL]`.
// The weights are random and in fp16; a first load includes keeping the tower.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import * as halfclip from '../../dist/index.js';
import { serve } from '../../web/cli/server.js';
import { architectures } from '../../web/models/architectures.js';
import { launchProfile } from '../browser/chromium.mjs';
import { randomCheckpoint } from '../node/support.mjs';

const RUNS = Number(process.env.RUNS ?? 7);
const [model = 'ViT-B-32'] = process.argv.slice(2);

/**
 * Milliseconds of loads in one place: { first: [], second: [], copy: [] }. Runs in Node.js and, as its source text, in
 * a page.
 */
async function times({ loadTextEncoder }, { runs, cache = {}, ...options }) {
  const found = { first: [], second: [], copy: [] };
  const ids = new Int32Array(77).fill(320, 0, 7).fill(49407, 7, 8);
  for (let i = 0; i < runs; i++) {
    for (const [name, mode] of [
      ['first', 'reload'],
      ['second', 'default'],
    ]) {
      const begin = performance.now();
      const encoder = await loadTextEncoder({ ...options, dtype: 'int8', cache: { ...cache, mode } });
      await encoder.embedTokens(ids);
      found[name].push(performance.now() - begin);
      if (encoder.info.cached !== (name === 'second'))
        throw new Error(`cached is ${encoder.info.cached} in the ${name} load`);
      const bytes = encoder.info.memoryBytes;
      encoder.dispose();
      if (name === 'first') continue;
      const weights = new Uint8Array(bytes).fill(1);
      const start = performance.now();
      new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) }).buffer).set(weights);
      found.copy.push(performance.now() - start);
    }
  }
  return found;
}

function print(where, { first, second, copy }) {
  const [before, after, bare] = [first, second, copy].map((all) => all.toSorted((a, b) => a - b)[all.length >> 1]);
  const cells = [
    ['first', before],
    ['second', after],
    ['copy', bare],
  ].map(([name, ms]) => `${name} ${ms.toFixed(0).padStart(6)} ms`);
  console.log(
    `${where.padEnd(28)} ${cells.join('   ')}   second: ${(before / after).toFixed(1)} times as fast as the first, ${(after / bare).toFixed(1)} times as long as the copy`,
  );
}

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
const { embed_dim, vision_cfg, text_cfg } = architectures[model];
mkdirSync(path.join(folder, 'site'));
writeFileSync(path.join(folder, 'site', 'weights.safetensors'), randomCheckpoint({ embed_dim, text_cfg }).file);
writeFileSync(
  path.join(folder, 'site', 'index.html'),
  '<!DOCTYPE html><link rel="icon" href="data:,"><title>halfclip</title>',
);
const server = await serve({
  root: { '/': path.join(folder, 'site'), '/halfclip/': fileURLToPath(new URL('../../dist/', import.meta.url)) },
});
const options = {
  model: { embed_dim, vision_cfg, text_cfg },
  weights: `${server.url}/weights.safetensors`,
  runs: RUNS,
};
let browser;
try {
  console.log(`${model}, text tower, int8, median of ${RUNS} runs`);
  print(
    `Node.js ${process.versions.node}`,
    await times(halfclip, { ...options, cache: { dir: path.join(folder, 'towers') } }),
  );
  browser = await launchProfile(path.join(folder, 'profile'));
  const page = await browser.newPage();
  await page.goto(server.url);
  for (const worker of [true, false]) {
    const found = await page.evaluate(
      `import('/halfclip/index.js').then((module) => (${times})(module, ${JSON.stringify({ ...options, worker })}))`,
    );
    print(`Chromium, ${worker ? 'in a worker' : "on the page's thread"}`, found);
  }
} finally {
  await browser?.close();
  await server.close();
  rmSync(folder, { recursive: true });
}
