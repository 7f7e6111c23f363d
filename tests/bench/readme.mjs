// Puts the newest benchmark (build/bench.json, of `make bench`) into README.md beside this file: its tables, and its
// plot. `node tests/bench/readme.mjs`

import { readFileSync, writeFileSync } from 'node:fs';

import { readmePart } from '../readme.mjs';
import { plotRows } from './plot.mjs';

const { rows, node, chromium, onnxruntime, cpu, cores, simd, date } = JSON.parse(
  readFileSync(new URL('../../build/bench.json', import.meta.url), 'utf8'),
);
const models = [...new Set(rows.map(({ model }) => model))];

const find = (model, place, dtype, threads, what) =>
  rows.find(
    (row) =>
      row.halfclip &&
      row.model === model &&
      row.place === place &&
      row.dtype === dtype &&
      row.threads === threads &&
      row.what === what,
  );
const number = (x) => (x >= 100 ? x.toFixed(0) : x.toFixed(1));

/** Cells of one figure, Node.js and Chromium: our milliseconds, onnxruntime-web ÷ ours, ours ÷ native. */
function cells(model, dtype, what, threads = 1) {
  const both = ['node', 'chromium'].map((place) => find(model, place, dtype, threads, what));
  const join = (each) => (both.some(Boolean) ? both.map((row) => (row ? each(row) : '–')).join(' / ') : null);
  const native = both[0]?.['onnxruntime-node'];
  return [
    join((row) => number(row.halfclip.best)),
    join((row) => (row['onnxruntime-web'] ? (row['onnxruntime-web'].best / row.halfclip.best).toFixed(2) : '–')),
    native ? (both[0].halfclip.best / native.best).toFixed(2) : '–',
  ];
}

const FIGURES = [
  ['one picture, int8', 'int8', 'image'],
  ['one picture, int4', 'int4', 'image'],
  ['one picture, fp32', 'fp32', 'image'],
  ['a picture of 8, int8', 'int8', 'image, batch 8'],
  ['one text of 8 tokens, int8', 'int8', 'text, 8 tokens'],
  ['one text of 8 tokens, int4', 'int4', 'text, 8 tokens'],
  ['one text of 8 tokens, fp32', 'fp32', 'text, 8 tokens'],
  ['one text of 77 tokens, int8', 'int8', 'text, 77 tokens'],
  ['a text of 32, 8 tokens each, int8', 'int8', 'text, 8 tokens, batch 32'],
  ['from the call of `loadImageEncoder` to the first vector, int8', 'int8', 'image: load, first vector'],
  ['from the call of `loadTextEncoder` to the first vector, int8', 'int8', 'text: load, first vector'],
];

function speedTable() {
  const lines = [
    '| one thread | ms, Node.js / Chromium | onnxruntime-web ÷ halfclip | halfclip ÷ native |',
    '|---|---|---|---|',
  ];
  for (const model of models) {
    lines.push(`| **${model}** | | | |`);
    for (const [name, dtype, what] of FIGURES) {
      const found = cells(model, dtype, what);
      if (found[0]) lines.push(`| ${name} | ${found.join(' | ')} |`);
    }
  }
  return lines;
}

/** One thread ÷ two, of each contender. */
function threadsTable() {
  const lines = [
    '| two threads | ms, Node.js / Chromium | one ÷ two: halfclip, onnxruntime-web (Node.js) |',
    '|---|---|---|',
  ];
  for (const model of models) {
    for (const [name, dtype, what] of [
      ['one picture, int8', 'int8', 'image'],
      ['a picture of 8, int8', 'int8', 'image, batch 8'],
      ['one picture, fp32', 'fp32', 'image'],
      ['one text of 77 tokens, int8', 'int8', 'text, 77 tokens'],
    ]) {
      const [one, two] = [1, 2].map((threads) => find(model, 'node', dtype, threads, what));
      if (!one || !two) continue;
      const ratio = (contender) =>
        one[contender] && two[contender] ? (one[contender].best / two[contender].best).toFixed(2) : '–';
      lines.push(
        `| ${model}, ${name} | ${cells(model, dtype, what, 2)[0]} | ${ratio('halfclip')}, ${ratio('onnxruntime-web')} |`,
      );
    }
  }
  return lines.length > 2 ? ['', ...lines] : [];
}

/** Memory and bytes, of the first model at int8. */
function memoryTable() {
  const lines = ['', `| ${models[0]}, MB | halfclip | onnxruntime-web |`, '|---|---|---|'];
  for (const tower of ['image', 'text']) {
    for (const [name, place, what] of [
      ['WebAssembly heap', 'node', 'WebAssembly heap'],
      ['process in Node.js, at most', 'node', 'process, peak'],
      ['process in Chromium, at most', 'chromium', 'process, peak'],
    ]) {
      for (const dtype of ['int8', 'int4']) {
        const row = find(models[0], place, dtype, 1, `${tower}: ${what}`);
        if (row)
          lines.push(
            `| ${tower}, ${dtype}: ${name} | ${['halfclip', 'onnxruntime-web'].map((who) => (row[who].best / 1e6).toFixed(0)).join(' | ')} |`,
          );
      }
    }
  }
  const runtime = find(models[0], 'chromium', 'int8', 1, 'image: runtime, gzip');
  if (runtime)
    lines.push(
      `| scripts and modules that a page fetches, compressed | ${['halfclip', 'onnxruntime-web'].map((who) => (runtime[who].best / 1e6).toFixed(2)).join(' | ')} |`,
    );
  return lines;
}

const about = `Best of runs in turn, ${date.slice(0, 10)}: ${cpu.trim()}, ${cores} cores, Node.js ${node.slice(1)} and Chromium ${chromium}, module \`${simd.node}\`, onnxruntime ${onnxruntime}.`;
await readmePart('tests/bench/README.md', 'speed', 'tests/bench/readme.mjs', async () =>
  [about, '', ...speedTable(), ...threadsTable(), ...memoryTable()].join('\n'),
).write();
writeFileSync(new URL('bench.svg', import.meta.url), plotRows(rows, onnxruntime));
