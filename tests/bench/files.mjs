// From picture files to vectors: halfclip, exact and with `decode: 'fast'`, against @huggingface/transformers (in Node.js on
// native onnxruntime, in Chromium on onnxruntime-web), ViT-B-32 at int8 with the same weights on as many threads. Contenders take turns over the
// same files, each in its own process. Prints a table, and for halfclip how its time went. The bound is the processor's
// time for one picture, decoded, resized and computed on one thread, over the number of threads. Makes its pictures
// itself, and installs the peer in build/peers.
//
// Settings in the environment: PLACES (node,chromium); MEGAPIXELS (1,2,12,48); FORMATS (jpeg,png,webp); COUNT (12) files a run; RUNS (3);
// THREADS (as many as there are cores).

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

import { cosine } from '../node/support.mjs';
import { makeModels } from './bench-models.mjs';
import { PLACES } from './files-places.mjs';

const TRANSFORMERS = '4.3.1';
const MODEL = 'ViT-B-32';
const list = (name, otherwise) => (process.env[name] ?? otherwise).split(',');
const MEGAPIXELS = list('MEGAPIXELS', '1,2,12,48').map(Number);
const FORMATS = list('FORMATS', 'jpeg,png,webp');
const COUNT = Number(process.env.COUNT ?? 12);
const RUNS = Number(process.env.RUNS ?? 3);
const THREADS = Number(process.env.THREADS ?? cpus().length);
const DIFFERENT = 4; // pictures, of which runs repeat the files

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = path.join(ROOT, 'build');
const PEERS = path.join(BUILD, 'peers/node_modules/@huggingface/transformers');
const FOLDER = path.join(BUILD, 'bench-files');
const PICTURES = path.join(ROOT, 'tests/pictures');

/** The peer as npm has it, without install scripts: those fetch what only GPUs need. */
function installPeer() {
  const manifest = path.join(PEERS, 'package.json');
  if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === TRANSFORMERS) return;
  const folder = path.join(BUILD, 'peers');
  mkdirSync(folder, { recursive: true });
  if (!existsSync(path.join(folder, 'package.json')))
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', ...options, `@huggingface/transformers@${TRANSFORMERS}`], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** The same tower as a shard and as what the peer loads: a folder of its own kind. */
function makeTower() {
  const folder = path.join(FOLDER, 'model');
  const names = ['pixel_values', 'image_embeds'];
  const { safetensors, onnx } = makeModels(MODEL, 'image', folder, ['int8'], names).int8;
  mkdirSync(path.join(folder, 'onnx'), { recursive: true });
  renameSync(path.join(folder, onnx), path.join(folder, 'onnx/model_quantized.onnx'));
  const write = (name, content) => writeFileSync(path.join(folder, name), JSON.stringify(content));
  write('config.json', { model_type: 'clip_vision_model', architectures: ['CLIPVisionModelWithProjection'] });
  write('preprocessor_config.json', {
    image_processor_type: 'CLIPImageProcessor',
    ...{ do_resize: true, size: { shortest_edge: 224 }, resample: 3 },
    ...{ do_center_crop: true, crop_size: { height: 224, width: 224 }, do_convert_rgb: true },
    ...{ do_rescale: true, rescale_factor: 1 / 255, do_normalize: true },
    image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_std: [0.26862954, 0.26130258, 0.27577711],
  });
  return { shard: path.join(folder, safetensors), folder };
}

/** Pictures with as much detail as a camera's: an enlarged one under the grain of a sensor. */
async function makeFiles(megapixels, format) {
  const width = 4 * Math.round(Math.sqrt((megapixels * 1e6 * 4) / 3) / 4);
  const height = (width * 3) / 4;
  const subjects = ['castle', 'owl', 'pizza', 'tiger'].slice(0, DIFFERENT);
  const made = [];
  for (const subject of subjects) {
    const file = path.join(FOLDER, `${subject}-${megapixels}.${format}`);
    made.push(file);
    if (existsSync(file)) continue;
    const grain = { type: 'gaussian', mean: 128, sigma: 8 };
    const noise = await sharp({ create: { width, height, channels: 3, background: '#808080', noise: grain } })
      .png({ compressionLevel: 0 })
      .toBuffer();
    const whole = await sharp(path.join(PICTURES, `${subject}.jpg`))
      .resize(width, height)
      .composite([{ input: noise, blend: 'soft-light' }])
      .removeAlpha()
      .raw()
      .toBuffer();
    await sharp(whole, { raw: { width, height, channels: 3 } })
      .toFormat(format, format === 'png' ? { compressionLevel: 6 } : { quality: 88, effort: 1 })
      .toFile(file);
  }
  return Array.from({ length: COUNT }, (_, i) => made[i % made.length]);
}

const cells = (items) => `| ${items.join(' | ')} |`;

/** Best of the runs, in ms a picture; with what the contender says of that run. */
async function race(contenders, files) {
  const all = contenders.map(() => []);
  for (let run = 0; run < RUNS; run++)
    for (const [i, { contender, options }] of contenders.entries()) all[i].push(await contender.run(files, options));
  return all.map((runs) => runs.reduce((best, one) => (one.ms < best.ms ? one : best)));
}

function describeStages({ ms, threads, stages: [computing, resizing, waiting, decoding] }) {
  const share = (part) => `${Math.round((100 * part) / ms / threads)} %`;
  return (
    `each of ${threads} threads computes ${share(computing)}, resizes ${share(resizing)}, waits for its decoder ${share(waiting)}, ` +
    `and for pictures ${share(ms * threads - computing - resizing - waiting)}; decoders: ${(decoding / ms).toFixed(1)} at work on average`
  );
}

/** Files of one size and format, in one place: a line of the table, and how the time went. */
async function measure({ ours, theirs }, format, megapixels) {
  const files = await makeFiles(megapixels, format);
  const [exact, fast, peer, one] = await race(
    [
      { contender: ours, options: {} },
      { contender: ours, options: { decode: 'fast' } },
      { contender: theirs, options: {} },
      { contender: ours, options: { single: true } },
    ],
    files,
  );
  const alone = await ours.alone(files);
  const agreement = cosine(exact.vectors[0], peer.vectors[0]);
  if (!(agreement > 0.95)) throw new Error(`${format}, ${megapixels} megapixels: cosine ${agreement}`);
  const both = ({ ms, cpu }) => `${(ms / COUNT).toFixed(0)} (${(cpu / COUNT).toFixed(0)})`;
  const ratio = (a, b) => `${(a.ms / b.ms).toFixed(2)} (${(a.cpu / b.cpu).toFixed(2)})`;
  const bound = { ms: (alone * COUNT) / THREADS, cpu: alone * COUNT };
  console.log(
    cells([
      `${megapixels} MP ${format}`,
      ...[exact, fast, peer].map(both),
      ratio(peer, exact),
      ratio(peer, fast),
      `${(one.ms / exact.ms).toFixed(2)}`,
      ratio(exact, bound),
    ]),
  );
  for (const [name, result] of Object.entries({ exact, fast }))
    if (result.stages) console.log(`  ${name}: ${describeStages(result)}`);
  console.log(`  load of the machine: ${loadavg()[0].toFixed(1)}`);
}

installPeer();
mkdirSync(FOLDER, { recursive: true });
const { shard, folder } = makeTower();
for (const name of list('PLACES', 'node,chromium')) {
  const place = await PLACES[name]({ shard, folder, peer: PEERS, threads: THREADS });
  try {
    console.log(
      `${cpus()[0].model}, ${THREADS} threads, ${place.name}, @huggingface/transformers ${TRANSFORMERS}; best of ${RUNS} runs in turn over ${COUNT} files, ms a picture (in brackets: of the processor)\n`,
    );
    console.log(
      cells(['', 'exact', 'fast', 'transformers.js', '÷ exact', '÷ fast', 'one thread ÷ exact', 'exact ÷ bound']),
    );
    for (const format of FORMATS) for (const megapixels of MEGAPIXELS) await measure(place, format, megapixels);
  } finally {
    await place.close();
  }
}
