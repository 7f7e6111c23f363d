// tests/golden/digests.json: for each golden tower the SHA-256 of its vectors' bits, not normalised (but of videos), all
// golden inputs in one call, at each dtype. They say nothing about what is right, which OpenCLIP's vectors do: they hold the bits in
// place while code moves. int8 and int4 are the same bits in every build, fp32 and fp16 in every build that multiplies
// and adds in two steps.
//
// `node tests/digests.mjs` says what the package in dist/ gives otherwise, --write adds the towers that have no digest
// yet and drops those that are gone, --replace puts all of them there anew, which is right only where a change of bits
// is meant.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { loadImageEncoder, loadTextEncoder, loadVideoEncoder } from '../dist/index.js';
import { golden, goldenVideos, rows, towerNames, videoNames } from './node/support.mjs';

const FILE = new URL('golden/digests.json', import.meta.url);
const DTYPES = ['fp32', 'fp16', 'int8', 'int4'];

/** { data, tower, expected } of each golden tower, where `expected` are OpenCLIP's vectors. */
export const cases = towerNames
  .map(golden)
  .flatMap((data) =>
    ['image', 'text']
      .filter((tower) => data.expected[`${tower}_features`])
      .map((tower) => ({ data, tower, expected: rows(data.expected[`${tower}_features`]) })),
  );

/** The vectors of a golden tower's inputs, embedded in one call and not normalised. */
export async function embedGolden({ config, path, expected }, tower, options) {
  const load = tower === 'image' ? loadImageEncoder : loadTextEncoder;
  const encoder = await load({ model: config, weights: path, ...options });
  const vectors =
    tower === 'image'
      ? await encoder.embedPixels(rows(expected.pixels), { normalize: false })
      : await encoder.embedTokens(rows(expected.tokens), { normalize: false });
  encoder.dispose();
  return vectors;
}

/** The vectors of a golden video tower's videos, embedded in one call. */
export async function embedGoldenVideos({ model, weights, videos }, options) {
  const encoder = await loadVideoEncoder({ model, weights, ...options });
  const vectors = await encoder.embedPixels(videos);
  encoder.dispose();
  return vectors;
}

export function digest(vectors) {
  const hash = createHash('sha256');
  for (const vector of vectors) hash.update(vector);
  return hash.digest('hex');
}

/** Digests as the file has them: { 'NAME TOWER': { dtype: digest } }. */
export const readDigests = () => JSON.parse(readFileSync(FILE, 'utf8'));

/** What to do about a golden tower whose digest is another, or that has none. */
export const ADVICE =
  'for a new golden tower run `make dist && node tests/digests.mjs --write`; where a change of bits is meant, --replace in place of --write';

async function computeDigests() {
  const all = {};
  for (const { data, tower } of cases) {
    const digests = (all[`${data.name} ${tower}`] = {});
    for (const dtype of DTYPES) digests[dtype] = digest(await embedGolden(data, tower, { dtype, simd: 'simd128' }));
  }
  for (const name of videoNames) {
    const digests = (all[`${name} video`] = {});
    for (const dtype of DTYPES)
      digests[dtype] = digest(await embedGoldenVideos(goldenVideos(name), { dtype, simd: 'simd128' }));
  }
  return all;
}

function format(digests) {
  const lines = Object.keys(digests)
    .sort()
    .map((name) => `  ${JSON.stringify(name)}: ${JSON.stringify(digests[name])}`);
  return `{\n${lines.join(',\n')}\n}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , option] = process.argv;
  const found = await computeDigests();
  const committed = option === '--replace' ? {} : readDigests();
  const others = Object.keys(found).filter(
    (name) => committed[name] && format({ name: committed[name] }) !== format({ name: found[name] }),
  );
  for (const name of others) console.error(`${name}: other bits than tests/golden/digests.json says`);
  if (['--write', '--replace'].includes(option))
    writeFileSync(
      FILE,
      format(Object.fromEntries(Object.keys(found).map((name) => [name, committed[name] ?? found[name]]))),
    );
  else process.stdout.write(format(found));
  process.exitCode = others.length ? 1 : 0;
}
