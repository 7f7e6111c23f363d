// What `make demo` runs: pictures found by words, with one half of CLIP in memory at a time, over HTTP from this
// machine.
//
// It is a program that a person reads and a test as well: it exits with 1 and a sentence if a query does not find what
// it should, or if the other half's weights are fetched before their turn.

import { readdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { serve } from '../web/cli/server.js';
import { formatBytes, formatTime } from '../web/demo/format.js';

const DIST = new URL('../dist/', import.meta.url);
const PICTURES = new URL('pictures/', import.meta.url);
const MODEL = 'halfclip-emoji';

/** What is asked, and what must be among the first three. What is asked without an answer is there to be looked at. */
const QUERIES = [
  ['a cat', /cat/],
  ['an airplane', /airplane/],
  ['a red heart', /heart/],
  ['fruit', /apple|banana|grapes|strawberry/],
  ['dessert', /cake|doughnut/],
  ['Christmas', /christmas/],
  ['rain', /rain/],
  ['robot and rocket', /robot|rocket/],
];

const SHOWN = 3;
const BAR = 5;
const NAME = 14;
const QUERY = 18;
/** A name, a space, a bar, a space, '0.31'. */
const CELL = NAME + 1 + BAR + 1 + 4;
const GAP = '  ';

const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const style = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
const bold = style('1');
const faint = style('2');
const green = style('32');

class ExpectationError extends Error {}

function expect(condition, message) {
  if (!condition) throw new ExpectationError(message);
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const fit = (text, width) => (text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width));

/** A bar of eighths of a character: 0.5 of 5 is two and a half. */
function bar(share, width) {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  return ('█'.repeat(eighths >> 3) + ' ▏▎▍▌▋▊▉'.charAt(eighths & 7).trim()).padEnd(width);
}

/** Loads one tower, lets `task` use it, and disposes of it. */
async function withTower(load, options, task) {
  const start = performance.now();
  const encoder = await load({ ...options, cache: 'no-store' }); // what is shown is a first load
  const loadTime = performance.now() - start;
  try {
    const results = await task(encoder);
    return { info: { ...encoder.info }, loadTime, ...results };
  } finally {
    encoder.dispose();
  }
}

/** Embeds one source after the other, as a page does, and times each. */
async function embedEach(encoder, sources) {
  const vectors = [];
  const times = [];
  for (const source of sources) {
    const start = performance.now();
    vectors.push(await encoder.embed(source));
    times.push(performance.now() - start);
  }
  return { vectors, time: median(times) };
}

function printRanking(rankings) {
  const highest = Math.max(...rankings.map(({ ranked }) => ranked[0].score));
  const heads = ['first', 'second', 'third'].map((head) => fit(head, CELL)).join(GAP);
  console.log(faint(`  ${fit('asked for', QUERY)} ${heads}`.trimEnd()));
  console.log(faint(`  ${'─'.repeat(QUERY + 1 + SHOWN * (CELL + GAP.length) - GAP.length)}`));
  for (const { query, ranked } of rankings) {
    const cells = ranked.slice(0, SHOWN).map(({ name, score }, i) => {
      const text = fit(name, NAME);
      return `${i === 0 ? bold(text) : text} ${green(bar(score / highest, BAR))} ${faint(score.toFixed(2))}`;
    });
    console.log(`  ${fit(query, QUERY)} ${cells.join(GAP)}`);
  }
}

function printCosts(image, text) {
  const whole = 4 * (image.info.parameters + text.info.parameters);
  const simd = ({ info }) =>
    (info.simd === 'relaxed' ? 'relaxed SIMD' : 'SIMD (simd128)') + (info.threads > 1 ? ` × ${info.threads}` : '');
  const rows = [
    ['fetched', formatBytes(image.info.fetchedBytes), formatBytes(text.info.fetchedBytes), formatBytes(whole)],
    ['held in memory', formatBytes(image.info.memoryBytes), formatBytes(text.info.memoryBytes), formatBytes(whole)],
    ['loaded in', formatTime(image.loadTime), formatTime(text.loadTime), ''],
    ['one embedding', `${formatTime(image.time)} a picture`, `${formatTime(text.time)} a query`, ''],
    [
      'numbers',
      `${image.info.dtype}, ${image.info.dim} a vector`,
      `${text.info.dtype}, ${text.info.dim} a vector`,
      'fp32',
    ],
    ['kernels', simd(image), simd(text), ''],
  ];
  const line = (cells, paint = (cell) => cell) =>
    cells
      .map((cell, i) => paint(fit(cell, i === 0 ? 17 : 23), i))
      .join(' ')
      .trimEnd();
  console.log(faint(`  ${line(['', 'image half', 'text half', 'the whole model, fp32'])}`));
  console.log(faint(`  ${'─'.repeat(88)}`));
  for (const row of rows) console.log(`  ${line(row, (cell, i) => (i === 0 || i === 3 ? faint(cell) : cell))}`);
  const share = (info) => `${Math.round((100 * info.memoryBytes) / whole)} %`;
  console.log(
    `\n  At no time was more than one half in memory: ${share(image.info)} of the whole model, then ${share(text.info)}.`,
  );
}

async function main() {
  const { cosineSimilarity, loadImageEncoder, loadTextEncoder } = await import(new URL('index.js', DIST)).catch(
    (error) => {
      throw new Error(`${fileURLToPath(DIST)} holds no package yet (${error.message}); run \`make\``);
    },
  );
  const files = (await readdir(PICTURES)).filter((file) => /\.(jpg|png)$/.test(file)).sort();
  const names = files.map((file) => path.parse(file).name.replace(/[-_]+/g, ' '));
  const server = await serve({ root: { '/': DIST, '/pictures/': PICTURES } });
  const shard = (tower) => new URL(`models/${MODEL}-${tower}.safetensors`, `${server.url}/`);
  const sent = (tower) => server.served.get(shard(tower).pathname) ?? 0;

  try {
    console.log(
      `\n  ${bold('halfclip')}  ${files.length} pictures, found by words with one half of CLIP at a time. ${faint(`Node.js ${process.versions.node}, ${availableParallelism()} cores`)}\n`,
    );
    console.log(`  The bundled model knows emoji, in English, and nothing else: the pictures are emoji.\n`);

    const image = await withTower(loadImageEncoder, { model: MODEL, weights: shard('image') }, (encoder) =>
      embedEach(
        encoder,
        files.map((file) => new URL(encodeURIComponent(file), `${server.url}/pictures/`)),
      ),
    );
    expect(
      sent('image') === image.info.fetchedBytes,
      `the server sent ${sent('image')} bytes of the image shard, but the encoder counted ${image.info.fetchedBytes}`,
    );
    expect(sent('text') === 0, `${sent('text')} bytes of the text shard were fetched for the image half`);

    const text = await withTower(loadTextEncoder, { model: MODEL, weights: shard('text') }, (encoder) =>
      embedEach(
        encoder,
        QUERIES.map(([query]) => query),
      ),
    );
    expect(
      sent('text') === text.info.fetchedBytes,
      `the server sent ${sent('text')} bytes of the text shard, but the encoder counted ${text.info.fetchedBytes}`,
    );

    const rankings = QUERIES.map(([query, wanted], q) => {
      const ranked = names.map((name, i) => ({ name, score: cosineSimilarity(text.vectors[q], image.vectors[i]) }));
      return { query, wanted, ranked: ranked.sort((a, b) => b.score - a.score) };
    });
    printRanking(rankings);
    console.log();
    printCosts(image, text);
    console.log();
    for (const { query, wanted, ranked } of rankings) {
      const found = ranked.slice(0, SHOWN).map(({ name }) => name);
      expect(
        !wanted || found.some((name) => wanted.test(name)),
        `'${query}' found ${found.join(', ')}, and none of them is what was asked for (${wanted?.source})`,
      );
    }
  } finally {
    await server.close();
  }
}

main().catch((error) => {
  process.stderr.write(
    `halfclip demo: ${error instanceof ExpectationError || error.code ? error.message : (error.stack ?? error)}\n`,
  );
  process.exitCode = 1;
});
