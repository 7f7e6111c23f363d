// Times `halfclip search`, from the command to its answer: an index of 100,000 vectors and a text tower of ViT-B-32's
// shape, both made up, each run a process of its own. Beside it what takes part of that time.
//
//     node tests/bench/search-command.mjs [vectors]      default: 100000

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { VectorIndex } from '../../dist/vector-index-node.js';
import { architectures } from '../../web/models/architectures.js';
import { randomCheckpoint } from '../node/support.mjs';
import { randomVectors } from '../node/vectors.mjs';

const COUNT = Number(process.argv[2] ?? 100_000);
const RUNS = 9;
const MODEL = 'ViT-B-32';
const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

const halfclip = (...args) => execFileSync(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });

/** The best of some runs, in milliseconds: other programs only make them longer. */
function best(...args) {
  const times = Array.from({ length: RUNS }, () => {
    const begin = performance.now();
    halfclip(...args);
    return performance.now() - begin;
  });
  return `${Math.min(...times).toFixed(0)} ms`;
}

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-bench-'));
try {
  const place = (name) => path.join(folder, name);
  const { embed_dim: dim, text_cfg } = architectures[MODEL];
  writeFileSync(place('checkpoint.safetensors'), randomCheckpoint({ embed_dim: dim, text_cfg }).file);
  const [weights, file] = [place('text.safetensors'), place('photos.index')];
  halfclip(
    'shard',
    '--model',
    MODEL,
    '--weights',
    place('checkpoint.safetensors'),
    '--tower',
    'text',
    '--out',
    weights,
  );

  const index = new VectorIndex({ dim, metadata: { folder, tower: { model: MODEL, weights } } });
  const vectors = randomVectors(1000, dim, 7);
  const vector = new Float32Array(dim);
  for (let i = 0; i < COUNT; i++) {
    const [a, b] = [vectors[i % 1000], vectors[(7 * i + Math.floor(i / 1000)) % 1000]];
    for (let k = 0; k < dim; k++) vector[k] = a[k] + 0.7 * b[k];
    index.add(`2026/05/IMG_${i}.jpg`, vector, { data: { size: 3_000_000 + i, time: 1.7e12 + 1000.5 * i } });
  }
  await index.save(file);

  console.log(`halfclip search, ${COUNT} pictures     ${best('search', file, 'a red bicycle')}`);
  console.log(
    `the tower alone, as halfclip embed     ${best('embed', '--threads', '1', '--weights', weights, 'a red bicycle')}`,
  );
  console.log(`a command that does nothing            ${best('--version')}`);
} finally {
  rmSync(folder, { recursive: true });
}
