// Halfclip against onnxruntime-web with the same towers and weights, one thread, in Node.js and in Chromium, and native onnxruntime for orientation:
// `node tests/bench/peers.mjs [MODEL …]`, by default ViT-B-32. Contenders take turns (A B A B), each in its own process. Prints a table, writes
// build/bench.json and build/bench.svg. Installs the peers in build/peers.
//
// Settings in the environment: SECONDS (4), about how long each figure is measured; LOADS (3), fresh starts of each contender; PLACES (node,chromium);
// DTYPES (fp32,int8); CLOCK (wall), or `cpu`: in Node.js the process's time, so that what else runs on the machine matters less.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { models } from '../../dist/models.js';
import { serve } from '../../web/server.js';
import { cosine } from '../node/support.mjs';
import { DTYPES, makeModels } from './bench-models.mjs';
import { inChromium, inNode } from './places.mjs';
import { plot } from './plot.mjs';

const ONNXRUNTIME = '1.30.0';
const MIN_RUNS = 5;
const MAX_RUNS = 60;
const SECONDS = Number(process.env.SECONDS ?? 4);
const LOADS = Number(process.env.LOADS ?? 3);
const CLOCK = process.env.CLOCK ?? 'wall';
const PLACES = (process.env.PLACES ?? 'node,chromium').split(',');
const WIDTHS = (process.env.DTYPES ?? DTYPES.join()).split(',');
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
  const installed = (name) => existsSync(manifest(name)) && JSON.parse(readFileSync(manifest(name), 'utf8')).version === ONNXRUNTIME;
  if (wanted.every(installed)) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', ...options, ...wanted.map((name) => `${name}@${ONNXRUNTIME}`)], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Contenders of a place: how to start one, what to import, which kind of file to load. */
function contenders(place, site) {
  const start = place === 'node' ? inNode : () => inChromium(site);
  const url = (folder, file, prefix) => (place === 'node' ? pathToFileURL(path.join(folder, file)).href : `${prefix}${file}`);
  const web = place === 'node' ? 'ort.node.min.mjs' : 'ort.wasm.bundle.min.mjs';
  const list = [
    { name: 'halfclip', file: 'safetensors', start, url: url(DIST, 'index.js', '/dist/') },
    { name: 'onnxruntime-web', file: 'onnx', start, provider: 'wasm', url: url(ORT_WEB, web, '/onnxruntime-web/') },
  ];
  if (place === 'node') {
    list.push({ name: 'onnxruntime-node', file: 'onnx', start, provider: 'cpu', url: url(path.join(PEERS, 'onnxruntime-node/dist'), 'index.js') });
  }
  return list;
}

/** What is timed of a tower. */
function cases(tower, { vision_cfg, text_cfg }) {
  if (tower === 'image') {
    const size = vision_cfg.image_size;
    return [1, 8].map((count) => ({ what: count === 1 ? 'image' : `image, batch ${count}`, input: { tower, count, size } }));
  }
  const end = text_cfg.vocab_size - 1;
  return [[1, 8], [1, 20], [1, text_cfg.context_length], [32, 8]].map(([count, length]) =>
    ({ what: `text, ${length} tokens${count === 1 ? '' : `, batch ${count}`}`, input: { tower, count, length, end } }));
}

const summary = (all) => {
  const sorted = [...all].sort((a, b) => a - b);
  return { best: sorted[0], median: sorted[sorted.length >> 1], runs: all.length };
};

/** Times a case, the contenders in turn; times are of one input. */
async function race(running, { input }, check) {
  const vectors = [];
  for (const { place } of running) vectors.push(await place.call('prepare', { input }));
  check(vectors);
  // Engines compile WebAssembly twice, the second time while it runs.
  for (const { place } of running) for (let i = 0; i < 2; i++) await place.call('run', { clock: CLOCK });
  const times = running.map(() => []);
  const end = performance.now() + SECONDS * 1000;
  for (let round = 0; round < MIN_RUNS || (round < MAX_RUNS && performance.now() < end); round++) {
    for (const [i, { place }] of running.entries()) times[i].push((await place.call('run', { clock: CLOCK })) / input.count);
  }
  return times.map(summary);
}

/** Fresh starts in turn; the last of each stays. */
async function load(list, site, files, tower, first) {
  const loads = list.map(() => []);
  const memories = list.map(() => []);
  const running = [];
  for (let round = 0; round < LOADS; round++) {
    for (const [i, contender] of list.entries()) {
      const place = await contender.start();
      let loaded;
      try {
        await place.call('open', { url: contender.url });
        const { name, provider, file } = contender;
        loaded = await place.call('load', { contender: name, provider, tower, weights: `${site}/models/${files[file]}`, input: first });
      } catch (error) {
        for (const one of [...running, { place }]) await one.place.close();
        throw Object.assign(error, { contender: contender.name });
      }
      loads[i].push(loaded.ms);
      memories[i].push({ heap: loaded.heap, ...(await place.memory()) });
      if (round < LOADS - 1) await place.close();
      else running.push({ ...contender, place, simd: loaded.simd });
    }
  }
  return { loads: loads.map(summary), memories: memories.map((all) => all[0]), running };
}

/** The bytes of the scripts and modules that a page fetched, compressed by gzip. */
function runtimeBytes(served, prefix, folder) {
  const files = [...served.keys()].filter((name) => name.startsWith(prefix) && /\.(m?js|wasm)$/.test(name));
  return files.reduce((sum, name) => sum + gzipSync(readFileSync(path.join(folder, name.slice(prefix.length))), { level: 9 }).length, 0);
}

const rows = [];
const names = process.argv.length > 2 ? process.argv.slice(2) : ['ViT-B-32'];

const number = (value, digits) => (value === undefined ? '' : value >= 1000 ? value.toFixed(0) : value.toFixed(digits));

function cells(values) {
  const widths = [9, 8, 4, 30, 15, 15, 15, 8, 6];
  return values.map((value, i) => (i < 4 ? String(value).padEnd(widths[i]) : String(value).padStart(widths[i]))).join('  ').trimEnd();
}

/** Notes a figure and prints its line: best and median of halfclip, onnxruntime-web and, in Node.js, onnxruntime-node; ratios of the best. */
function report(model, place, dtype, what, unit, [ours, web, native]) {
  const scale = { ms: 1, MB: 1e6, kB: 1e3 }[unit];
  const cell = (figure) => {
    if (!figure) return '';
    return figure.median === undefined ? number(figure.best / scale, 1) : `${number(figure.best, 1)} / ${number(figure.median, 1)}`;
  };
  rows.push({ model, place, dtype, what, unit: unit === 'ms' ? 'ms' : 'bytes', halfclip: ours, 'onnxruntime-web': web, 'onnxruntime-node': native });
  const ratios = [native ? (ours.best / native.best).toFixed(2) : '', (web.best / ours.best).toFixed(2)];
  console.log(cells([model, place, dtype, `${what}, ${unit}`, cell(ours), cell(web), cell(native), ...ratios]));
}

async function measureTower(model, tower, versions) {
  const folder = path.join(MODELS, model);
  const made = makeModels(model, tower, folder);
  const work = cases(tower, models[model]);
  try {
    for (const place of PLACES) {
      let exact;
      for (const dtype of WIDTHS) {
        const server = await serve({
          root: { '/models/': folder, '/dist/': DIST, '/onnxruntime-web/': ORT_WEB, '/bench/': path.join(ROOT, 'tests/bench') },
        });
        const list = contenders(place, server.url);
        let loaded;
        try {
          loaded = await load(list, server.url, made[dtype], tower, work[0].input);
        } catch (error) {
          await server.close();
          if (error.contender === 'halfclip') throw error;
          // A model may be too large for a peer.
          const failed = `${error.contender} cannot load it: ${error.message.split('\n')[0]}`;
          rows.push({ model, place, dtype, what: tower, failed });
          console.log(cells([model, place, dtype, tower, failed]));
          continue;
        }
        const { loads, memories, running } = loaded;
        try {
          versions.simd[place] = running[0].simd;
          if (running[0].place.version) versions.chromium = running[0].place.version;
          for (const [i, one] of work.entries()) {
            const times = await race(running, one, (vectors) => {
              // The same work is done by all: the same vectors.
              const least = dtype === 'fp32' ? 0.9999 : 0.99;
              const against = dtype === 'fp32' || !exact ? vectors[0] : exact[i];
              for (const [k, all] of vectors.entries()) {
                const closest = Math.min(...all.map((vector, n) => cosine(vector, against[n])));
                if (!(closest > least)) throw new Error(`${running[k].name}, ${dtype}, ${one.what}: cosine ${closest}`);
              }
              if (dtype === 'fp32') (exact ??= []).push(vectors[0]);
            });
            report(model, place, dtype, one.what, 'ms', times);
          }
        } finally {
          for (const one of running) await one.place.close();
          await server.close();
        }
        report(model, place, dtype, `${tower}: load, first vector`, 'ms', loads);
        report(model, place, dtype, `${tower}: file`, 'MB', list.map(({ file }) => ({ best: statSync(path.join(folder, made[dtype][file])).size })));
        report(model, place, dtype, `${tower}: WebAssembly heap`, 'MB', memories.slice(0, 2).map(({ heap }) => ({ best: heap })));
        if (memories[0].now) {
          report(model, place, dtype, `${tower}: process, loaded`, 'MB', memories.map(({ now }) => ({ best: now })));
          report(model, place, dtype, `${tower}: process, peak`, 'MB', memories.map(({ peak }) => ({ best: peak })));
        }
        if (place === 'chromium') {
          const bytes = [runtimeBytes(server.served, '/dist/', DIST), runtimeBytes(server.served, '/onnxruntime-web/', ORT_WEB)];
          report(model, place, dtype, `${tower}: runtime, gzip`, 'kB', bytes.map((best) => ({ best })));
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const name of names) if (!models[name]?.vision_cfg || models[name].vision_cfg.timm_model_name) throw new Error(`${name} is not a ViT of OpenCLIP's own`);
installPeers();
const versions = { node: process.version, onnxruntime: ONNXRUNTIME, cpu: cpus()[0].model, simd: {} };
const clock = CLOCK === 'cpu' ? ' (in Node.js: processor time)' : '';
console.log(`${versions.cpu}, Node.js ${versions.node}, onnxruntime ${ONNXRUNTIME}, one thread; best / median${clock} for one picture or text\n`);
console.log(cells(['model', 'place', '', 'figure', 'halfclip', 'onnxruntime-web', 'native', '÷ native', 'web ÷']));
for (const model of names) for (const tower of ['image', 'text']) await measureTower(model, tower, versions);
const modules = Object.entries(versions.simd).map(([place, simd]) => `${simd} (${place})`).join(', ');
console.log(`\nhalfclip's modules: ${modules}. The last column: onnxruntime-web ÷ halfclip, of the best.`);

writeFileSync(path.join(BUILD, 'bench.json'), `${JSON.stringify({ date: new Date().toISOString(), ...versions, threads: 1, clock: CLOCK, rows }, null, 1)}\n`);
const places = { node: 'Node.js', chromium: 'Chromium' };
const PLOTTED = /^(image|text, 8 tokens|text, 77 tokens|(image|text): load.*)$/;
const drawn = rows.filter(({ unit, what }) => unit === 'ms' && PLOTTED.test(what)).map((row) => ({
  label: `${names.length > 1 ? `${row.model}, ` : ''}${row.dtype} ${row.what}, ${places[row.place]}`,
  ours: row.halfclip.best,
  peer: row['onnxruntime-web'].best,
}));
const title = `${names.join(', ')}: halfclip (blue) and onnxruntime-web ${ONNXRUNTIME}, one thread`;
writeFileSync(path.join(BUILD, 'bench.svg'), plot(title, drawn));
