// What quantisation leaves of trained towers, beside onnxruntime's: cosines to the same program's fp32 vectors, and
// which nearest neighbours stay; and of trained towers of timm's also how near fp32 comes to timm's own vectors.
// `node tests/trained.mjs FOLDER` measures with what weights-tools/trained_towers.py and trained_timm.py wrote into
// FOLDER and writes tests/golden/trained.json; `node tests/trained.mjs` prints the tables of src/README.md, with --write
// puts them there.

import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { loadImageEncoder, loadTextEncoder } from '../dist/index.js';
import { compare } from '../web/cli/agreement.js';
import { readmePart } from './readme.mjs';

const FILE = new URL('golden/trained.json', import.meta.url);
const DTYPES = ['fp16', 'int8', 'int4'];
const TOWERS = {
  image: "OpenAI's ViT-B/16, pictures",
  minilm: 'all-MiniLM-L6-v2, sentences',
  e5: 'multilingual-e5-small (published at 4 bits), sentences',
};

const TIMM_TOWERS = { dinov2: 'DINOv2 ViT-S/14', swin: 'Swin-B' };

export const README = readmePart('src/README.md', 'trained', 'tests/trained.mjs', async () => tables(recorded()));
export const recorded = () => JSON.parse(readFileSync(FILE, 'utf8'));

/** Every `length` numbers. */
const cut = (numbers, length) =>
  Array.from({ length: numbers.length / length }, (_, i) => numbers.subarray(i * length, (i + 1) * length));

const bytesOf = (path) => Uint8Array.from(readFileSync(path)).buffer;

async function measure(folder) {
  const peers = JSON.parse(readFileSync(new URL('onnxruntime.json', folder), 'utf8'));
  const found = { date: new Date().toISOString().slice(0, 10), onnxruntime: peers.onnxruntime, towers: {} };
  for (const name of Object.keys(TOWERS)) found.towers[name] = await measureTower(name, folder, peers[name]);
  const about = JSON.parse(readFileSync(new URL('timm.json', folder), 'utf8'));
  found.timm = { version: about.timm, towers: {} };
  for (const name of Object.keys(TIMM_TOWERS)) found.timm.towers[name] = await measureTimm(name, folder, about);
  return found;
}

/** The vectors of all inputs at one dtype. */
async function embedAt(dtype, load, options, method, inputs) {
  const encoder = await load({ ...options, dtype });
  const vectors = await encoder[method](inputs);
  encoder.dispose();
  return vectors;
}

/** How near fp32 is to timm's vectors, and what each dtype keeps of it. */
async function measureTimm(name, folder, { size, towers }) {
  const model = { model_cfg: towers[name] };
  const floats = (file) => new Float32Array(bytesOf(new URL(file, folder)));
  const inputs = cut(floats('timm.bin'), 3 * size * size);
  const options = { model, weights: new URL(`${name}.safetensors`, folder), imageSize: size };
  const vectors = (dtype) => embedAt(dtype, loadImageEncoder, options, 'embedPixels', inputs);
  const exact = await vectors('fp32');
  const kept = { fp32: compare(cut(floats(`${name}.vectors.bin`), model.model_cfg.embed_dim), exact) };
  for (const dtype of DTYPES) kept[dtype] = compare(exact, await vectors(dtype));
  return { inputs: inputs.length, kept };
}

/** What each dtype keeps, ours and then onnxruntime's. */
async function measureTower(name, folder, peers) {
  const at = (ending) => new URL(`${name}.${ending}`, folder);
  const weights = at('safetensors');
  const image = name === 'image';
  const model = image ? 'ViT-B-16-quickgelu' : { model_cfg: JSON.parse(readFileSync(at('json'), 'utf8')) };
  const inputs = image
    ? cut(new Float32Array(bytesOf(at('bin'))), 3 * 224 * 224)
    : cut(new Int32Array(bytesOf(at('bin'))), model.model_cfg.text_cfg.context_length);
  const vectors = (dtype) =>
    image
      ? embedAt(dtype, loadImageEncoder, { model, weights }, 'embedPixels', inputs)
      : embedAt(dtype, loadTextEncoder, { model, weights }, 'embedTokens', inputs);
  const exact = await vectors('fp32');
  const kept = {};
  for (const dtype of DTYPES) kept[dtype] = compare(exact, await vectors(dtype));
  for (const [kind, result] of Object.entries(peers)) kept[`onnxruntime, ${kind}`] = result;
  return { inputs: inputs.length, kept };
}

const cells = ({ mean, least, recall }) =>
  `${mean.toFixed(4)} / ${least.toFixed(4)} | ${[1, 10].map((k) => recall[k].toFixed(3)).join(' / ')}`;

/** Markdown: a row a dtype, columns a tower. */
function table(names, towers) {
  const of = Object.entries(towers);
  const head = of.map(
    ([name, { inputs }]) => ` ${names[name]} (${inputs}): cosine, mean / least | neighbours kept of 1 / 10 |`,
  );
  return [
    `| |${head.join('')}`,
    `|---|${'---|---|'.repeat(of.length)}`,
    ...Object.keys(of[0][1].kept).map(
      (kind) => `| ${kind} | ${of.map(([, { kept }]) => cells(kept[kind])).join(' | ')} |`,
    ),
  ];
}

export function tables({ date, onnxruntime, towers, timm }) {
  return [
    `Measured ${date}, onnxruntime ${onnxruntime}.`,
    '',
    ...table(TOWERS, towers),
    '',
    `Towers of timm's ${timm.version}, of which the first row is what its own vectors and fp32's have in common:`,
    '',
    ...table(TIMM_TOWERS, timm.towers),
  ].join('\n');
}

const [, program, folder] = process.argv;
const isProgram = import.meta.url === pathToFileURL(program ?? '').href;
if (isProgram && folder && folder !== '--write') {
  const found = await measure(pathToFileURL(`${folder}/`));
  writeFileSync(FILE, `${JSON.stringify(found, null, 1)}\n`);
  console.log(tables(found));
} else {
  await README.command();
}
