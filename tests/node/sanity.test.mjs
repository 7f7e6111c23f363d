// The check of web/cli/README.md after a load: `halfclip rank` with a few pictures that one can name tells trained
// weights from nonsense, here the bundled model from random weights of the same architecture.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { jsonLines, programIn } from './cli-program.mjs';
import { GOLDEN, randomCheckpoint } from './support.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'halfclip-'));
after(() => rmSync(folder, { recursive: true }));
const { works } = programIn(folder);

const NAMES = ['tiger', 'rocket', 'pizza', 'guitar', 'owl', 'castle'];
const pictureOf = (name) => fileURLToPath(new URL(`../pictures/${name}.jpg`, import.meta.url));

/** How many of the words find their own picture first. */
async function found(...weights) {
  let right = 0;
  for (const name of NAMES) {
    const args = ['rank', '--json', '--threads', '1', ...weights, '--query', name, ...NAMES.map(pictureOf)];
    right += jsonLines(await works(args))[0].input === pictureOf(name);
  }
  return right;
}

test('trained weights: each word finds its own picture first', async () => {
  assert.equal(await found(), NAMES.length);
});

test('random weights of the same architecture: words find half of them at most', async () => {
  const config = JSON.parse(readFileSync(new URL('emoji/open_clip_config.json', GOLDEN)));
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(path.join(folder, 'random.safetensors'), randomCheckpoint(config.model_cfg).file);
  const vocabulary = ['--vocabulary', fileURLToPath(new URL('emoji/merges.bin', GOLDEN))];
  const shard = ['shard', '--model', 'config.json', '--weights', 'random.safetensors'];
  await works([...shard, '--tower', 'image', '--out', 'image.safetensors']);
  await works([...shard, '--tower', 'text', ...vocabulary, '--out', 'text.safetensors']);
  const right = await found('--image-weights', 'image.safetensors', '--text-weights', 'text.safetensors');
  assert.ok(right <= NAMES.length / 2, `${right} of ${NAMES.length}`);
});
