// Halfclip against onnxruntime-web with the same towers and weights on as many threads, in Node.js and in Chromium, and
// native onnxruntime for orientation: `node tests/bench/peers.mjs [MODEL …]`, by default ViT-B-32. Contenders take
// turns (A B A B), each in its own process. Prints a table, writes build/bench.json and build/bench.svg. Installs the
// peers in build/peers.
//
// Settings in the environment: SECONDS (3), about how long each figure is measured; LOADS (3), fresh starts of each
// contender; PLACES (node,chromium); DTYPES (fp32,int8,int4); TOWERS (image,text); THREADS (1,2); LONGEST (10),
// seconds: a case of which one run would take longer is left out; CLOCK (wall), or `cpu`: in Node.js the process's
// time, so that what else runs on the machine matters less.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { architectures } from '../../web/models/architectures.js';
import { serve } from '../../web/cli/server.js';
import { cosine } from '../node/support.mjs';
import { DTYPES, isForeign, makeModels } from './bench-models.mjs';
import { inChromium, inNode } from './places.mjs';
import { plotRows } from './plot.mjs';

const ONNXRUNTIME = '1.30.0';
const MIN_RUNS = 5;
const MAX_RUNS = 60;
const SECONDS = Number(process.env.SECONDS ?? 3);
const LOADS = Number(process.env.LOADS ?? 3);
const CLOCK = process.env.CLOCK ?? 'wall';
const PLACES = (process.env.PLACES ?? 'node,chromium').split(',');
const WIDTHS = (process.env.DTYPES ?? DTYPES.join()).split(',');
const TOWERS = (process.env.TOWERS ?? 'image,text').split(',');
const THREADS = (process.env.THREADS ?? '1,2').split(',').map(Number);
// Milliseconds between runs on several threads: some pools spin on, on the next contender's cores, when they are done.
const PAUSE = 200;
const LONGEST = Number(process.env.LONGEST ?? 10);
// Cosine to the vectors in fp32: the same work is done by all. Random weights of timm's and Hugging Face's own
// initialisation leave less of it at int8.
const LEAST = { fp32: 0.9999, int8: 0.99, int4: 0.9 };
const LEAST_FOREIGN = { ...LEAST, int8: 0.95 };
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = path.join(ROOT, 'build');
const PEERS = path.join(BUILD, 'peers/node_modules');
const DIST = path.join(ROOT, 'dist');
const ORT_WEB = path.join(PEERS, 'onnxruntime-web/dist');
const MODELS = path.join(BUILD, 'bench-models');

/** The peers as npm has them, without their install scripts: those fetch what only GPUs need. */
function installPeers() {
  const folder = path.dirname(PEERS);
  const wanted = ['onnxruntime-web', 'onnxruntime-node'];
  const manifest = (name) => path.join(PEERS, name, 'package.json');
  const installed = (name) =>
    existsSync(manifest(name)) && JSON.parse(readFileSync(manifest(name), 'utf8')).version === ONNXRUNTIME;
  if (wanted.every(installed)) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', ...options, ...wanted.map((name) => `${name}@${ONNXRUNTIME}`)], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** Contenders of a place: how to start one, what to import, which kind of file to load. */
function contenders(place, site) {
  const start = place === 'node' ? inNode : () => inChromium(site);
  const url = (folder, file, prefix) =>
    place === 'node' ? pathToFileURL(path.join(folder, file)).href : `${prefix}${file}`;
  const web = place === 'node' ? 'ort.node.min.mjs' : 'ort.wasm.bundle.min.mjs';
  const list = [
    { name: 'halfclip', file: 'safetensors', start, url: url(DIST, 'index.js', '/dist/') },
    { name: 'onnxruntime-web', file: 'onnx', start, provider: 'wasm', url: url(ORT_WEB, web, '/onnxruntime-web/') },
  ];
  if (place === 'node') {
    list.push({
      name: 'onnxruntime-node',
      file: 'onnx',
      start,
      provider: 'cpu',
      url: url(path.join(PEERS, 'onnxruntime-node/dist'), 'index.js'),
    });
  }
  return list;
}

/** What is timed of a tower; on more than one thread, only what shows how much they help. */
function cases(tower, { vision_cfg, text_cfg }, threads) {
  if (tower === 'image') {
    const size = vision_cfg.image_size;
    return [1, 8, 32]
      .filter((count) => threads === 1 || count < 32)
      .map((count) => ({ what: count === 1 ? 'image' : `image, batch ${count}`, input: { tower, count, size } }));
  }
  // Hugging Face's models of RoBERTa's kind begin a text with 0, end it with 2 and pad with 1.
  const roberta = Boolean(text_cfg.hf_model_name);
  const end = roberta ? 2 : text_cfg.vocab_size - 1;
  const [start, pad] = roberta ? [0, 1] : [end - 1, 0];
  const longest = text_cfg.context_length ?? 77;
  const all =
    threads === 1
      ? [
          [1, 1],
          [1, 8],
          [1, 20],
          [1, longest],
          [8, 8],
          [32, 8],
        ]
      : [
          [1, 8],
          [1, longest],
          [32, 8],
        ];
  return all.map(([count, length]) => ({
    what: `text, ${length} token${length > 1 ? 's' : ''}${count === 1 ? '' : `, batch ${count}`}`,
    input: { tower, count, length, start, end, pad },
  }));
}

const summary = (all) => {
  const sorted = [...all].sort((a, b) => a - b);
  return { best: sorted[0], median: sorted[sorted.length >> 1], runs: all.length };
};

/** Times a case, the contenders in turn; times are of one input. */
async function race(running, { input }, threads, check) {
  const vectors = [];
  for (const { place } of running) vectors.push(await place.call('prepare', { input }));
  check(vectors);
  // Engines compile WebAssembly twice, the second time while it runs.
  for (const { place } of running) for (let i = 0; i < 2; i++) await place.call('run', { clock: CLOCK });
  const times = running.map(() => []);
  const end = performance.now() + SECONDS * 1000;
  for (let round = 0; round < MIN_RUNS || (round < MAX_RUNS && performance.now() < end); round++) {
    for (const [i, { place }] of running.entries()) {
      if (threads > 1) await sleep(PAUSE);
      times[i].push((await place.call('run', { clock: CLOCK })) / input.count);
    }
  }
  return times.map(summary);
}

/**
 * Fresh starts in turn; the last of each stays. A peer that cannot load the model, because it is too large or of a kind
 * that it does not know, is left out.
 */
async function load(list, site, files, tower, first, { rounds, threads }) {
  const found = list.map((contender) => ({ ...contender, loads: [], memories: [], place: null, failure: null }));
  for (let round = 0; round < rounds; round++) {
    for (const one of found.filter(({ failure }) => !failure)) {
      const place = await one.start();
      try {
        await place.call('open', { url: one.url });
        const loaded = await place.call('load', {
          contender: one.name,
          provider: one.provider,
          tower,
          threads,
          weights: `${site}/models/${files[one.file]}`,
          input: first,
          pad: first.pad,
        });
        one.loads.push(loaded.ms);
        one.memories.push({ heap: loaded.heap, ...(await place.memory()) });
        one.info = loaded.info;
        if (round === rounds - 1) one.place = place;
        else await place.close();
      } catch (error) {
        await place.close();
        if (one.name === 'halfclip') {
          for (const { place: other } of found) await other?.close();
          throw error;
        }
        one.failure = error.message.split('\n')[0];
      }
    }
  }
  return found;
}

/** The bytes of the scripts and modules that a page fetched, compressed by gzip. */
function runtimeBytes(served, prefix, folder) {
  const files = [...served.keys()].filter((name) => name.startsWith(prefix) && /\.(m?js|wasm)$/.test(name));
  return files.reduce(
    (sum, name) => sum + gzipSync(readFileSync(path.join(folder, name.slice(prefix.length))), { level: 9 }).length,
    0,
  );
}

const rows = [];
const names = process.argv.length > 2 ? process.argv.slice(2) : ['ViT-B-32'];

const number = (value, digits) => (value === undefined ? '' : value >= 1000 ? value.toFixed(0) : value.toFixed(digits));

function cells(values) {
  const widths = [9, 8, 4, 7, 30, 15, 15, 15, 8, 6];
  return values
    .map((value, i) => (i < 5 ? String(value).padEnd(widths[i]) : String(value).padStart(widths[i])))
    .join('  ')
    .trimEnd();
}

/**
 * Notes a figure of each contender and prints its line: best and median of halfclip, onnxruntime-web and, in Node.js,
 * onnxruntime-node; ratios of the best.
 */
function report(about, what, unit, figures) {
  const scale = { ms: 1, MB: 1e6, kB: 1e3 }[unit];
  const cell = (figure) => {
    if (!figure) return '';
    return figure.median === undefined
      ? number(figure.best / scale, 1)
      : `${number(figure.best, 1)} / ${number(figure.median, 1)}`;
  };
  rows.push({ ...about, what, unit: unit === 'ms' ? 'ms' : 'bytes', ...figures });
  const { halfclip: ours, 'onnxruntime-web': web, 'onnxruntime-node': native } = figures;
  const ratios = [native ? (ours.best / native.best).toFixed(2) : '', web ? (web.best / ours.best).toFixed(2) : ''];
  const { model, place, dtype, threads } = about;
  console.log(
    cells([model, place, dtype, threads, `${what}, ${unit}`, cell(ours), cell(web), cell(native), ...ratios]),
  );
}

function note(about, what, text) {
  rows.push({ ...about, what, note: text });
  console.log(cells([about.model, about.place, about.dtype, about.threads, `${what}: ${text}`]));
}

/** One tower in one place, at one dtype, on so many threads. */
async function measure(about, tower, folder, files, exact, versions) {
  const { model, place, dtype, threads } = about;
  const least = (isForeign(architectures[model], tower) ? LEAST_FOREIGN : LEAST)[dtype];
  const server = await serve({
    root: {
      '/models/': folder,
      '/dist/': DIST,
      '/onnxruntime-web/': ORT_WEB,
      '/bench/': path.join(ROOT, 'tests/bench'),
    },
  });
  const work = cases(tower, architectures[model], threads);
  let all = [];
  try {
    all = await load(contenders(place, server.url), server.url, files, tower, work[0].input, {
      threads,
      rounds: threads === 1 ? LOADS : 1,
    });
    for (const { name, failure } of all) if (failure) note(about, tower, `${name} cannot load it: ${failure}`);
    const running = all.filter((one) => one.place);
    const byName = (figure) => Object.fromEntries(running.map((one, i) => [one.name, figure(one, i)]));
    versions.simd[place] = running[0].info.simd;
    if (running[0].info.threads !== threads)
      throw new Error(`halfclip computes on ${running[0].info.threads} threads, expected ${threads}`);
    if (running[0].place.version) versions.chromium = running[0].place.version;
    let slowest = 0; // ms of one input that is computed alone
    for (const one of work) {
      if (slowest * one.input.count > LONGEST * 1000) {
        note(about, one.what, `left out, as one run would take more than ${LONGEST} s`);
        continue;
      }
      const times = await race(running, one, threads, (vectors) => {
        const against = exact[one.what] ?? vectors[0];
        for (const [k, found] of vectors.entries()) {
          const closest = Math.min(...found.map((vector, n) => cosine(vector, against[n])));
          if (!(closest > least)) throw new Error(`${running[k].name}, ${dtype}, ${one.what}: cosine ${closest}`);
        }
        if (dtype === 'fp32') exact[one.what] ??= vectors[0];
      });
      report(
        about,
        one.what,
        'ms',
        byName((_, i) => times[i]),
      );
      if (one.input.count === 1) slowest = Math.max(...times.map(({ median }) => median));
    }
    if (threads > 1) return;
    report(
      about,
      `${tower}: load, first vector`,
      'ms',
      byName(({ loads }) => summary(loads)),
    );
    report(
      about,
      `${tower}: file`,
      'MB',
      byName(({ file }) => ({ best: statSync(path.join(folder, files[file])).size })),
    );
    const { 'onnxruntime-node': _, ...heaps } = byName(({ memories: [{ heap }] }) => ({ best: heap }));
    report(about, `${tower}: WebAssembly heap`, 'MB', heaps);
    if (running[0].memories[0].now) {
      report(
        about,
        `${tower}: process, loaded`,
        'MB',
        byName(({ memories: [{ now }] }) => ({ best: now })),
      );
      report(
        about,
        `${tower}: process, peak`,
        'MB',
        byName(({ memories: [{ peak }] }) => ({ best: peak })),
      );
    }
    if (place === 'chromium') {
      const folders = { halfclip: ['/dist/', DIST], 'onnxruntime-web': ['/onnxruntime-web/', ORT_WEB] };
      report(
        about,
        `${tower}: runtime, gzip`,
        'kB',
        byName(({ name }) => ({ best: runtimeBytes(server.served, ...folders[name]) })),
      );
    }
  } finally {
    for (const one of all) await one.place?.close();
    await server.close();
  }
}

/** How much faster each contender is on more threads. */
function reportSpeedUps() {
  const [one, ...more] = THREADS;
  for (const row of rows.filter(({ threads, unit }) => more.includes(threads) && unit === 'ms')) {
    const before = rows.find(
      (other) => ['model', 'place', 'dtype', 'what'].every((key) => other[key] === row[key]) && other.threads === one,
    );
    if (!before?.halfclip) continue;
    const ratio = (name) => (before[name] && row[name] ? (before[name].best / row[name].best).toFixed(2) : '');
    console.log(
      cells([
        row.model,
        row.place,
        row.dtype,
        `${one} ÷ ${row.threads}`,
        row.what,
        ratio('halfclip'),
        ratio('onnxruntime-web'),
        ratio('onnxruntime-node'),
      ]),
    );
  }
}

/** What was measured so far, so that a long run which ends early leaves what it found. */
function save() {
  writeFileSync(
    path.join(BUILD, 'bench.json'),
    `${JSON.stringify({ date: new Date().toISOString(), ...versions, clock: CLOCK, rows }, null, 1)}\n`,
  );
  writeFileSync(path.join(BUILD, 'bench.svg'), plotRows(rows, ONNXRUNTIME));
}

for (const name of names) if (!architectures[name]) throw new Error(`${name} is no architecture of OpenCLIP`);
installPeers();
const versions = {
  node: process.version,
  onnxruntime: ONNXRUNTIME,
  cpu: cpus()[0].model,
  cores: cpus().length,
  simd: {},
};
const clock = CLOCK === 'cpu' ? ' (in Node.js: processor time)' : '';
console.log(
  `${versions.cpu}, Node.js ${versions.node}, onnxruntime ${ONNXRUNTIME}; best / median${clock} for one picture or text\n`,
);
console.log(
  cells(['model', 'place', '', 'threads', 'figure', 'halfclip', 'onnxruntime-web', 'native', '÷ native', 'web ÷']),
);
for (const model of names) {
  for (const tower of TOWERS) {
    const folder = path.join(MODELS, model);
    try {
      const made = makeModels(model, tower, folder, WIDTHS);
      const exact = {};
      for (const place of PLACES)
        for (const dtype of WIDTHS)
          for (const threads of THREADS)
            await measure({ model, place, dtype, threads }, tower, folder, made[dtype], exact, versions);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    save();
  }
}
if (THREADS.length > 1) {
  console.log(
    `\n${cells(['model', 'place', '', 'threads', 'times as fast', 'halfclip', 'onnxruntime-web', 'native'])}`,
  );
  reportSpeedUps();
}
const modules = Object.entries(versions.simd)
  .map(([place, simd]) => `${simd} (${place})`)
  .join(', ');
console.log(`\nhalfclip's modules: ${modules}. The last column: onnxruntime-web ÷ halfclip, of the best.`);
