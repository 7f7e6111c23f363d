// What quantisation leaves of trained towers, beside onnxruntime's: cosines to the same program's fp32 vectors, and
// which nearest neighbours stay. `node tests/trained.mjs FOLDER` measures with what weights-tools/trained_towers.py
// wrote into FOLDER and writes tests/golden/trained.json; `node tests/trained.mjs` prints the table of src/README.md,
// with --write puts it there.

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

export const README = readmePart('src/README.md', 'trained', 'tests/trained.mjs', async () => table(recorded()));
export const recorded = () => JSON.parse(readFileSync(FILE, 'utf8'));

/** Every `length` numbers. */
const cut = (numbers, length) =>
  Array.from({ length: numbers.length / length }, (_, i) => numbers.subarray(i * length, (i + 1) * length));

const bytesOf = (path) => Uint8Array.from(readFileSync(path)).buffer;

async function measure(folder) {
  const peers = JSON.parse(readFileSync(new URL('onnxruntime.json', folder), 'utf8'));
  const found = { date: new Date().toISOString().slice(0, 10), onnxruntime: peers.onnxruntime, towers: {} };
  for (const name of Object.keys(TOWERS)) found.towers[name] = await measureTower(name, folder, peers[name]);
  return found;
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
  const vectors = async (dtype) => {
    const encoder = await (image ? loadImageEncoder : loadTextEncoder)({ model, weights, dtype });
    const found = await (image ? encoder.embedPixels(inputs) : encoder.embedTokens(inputs));
    encoder.dispose();
    return found;
  };
  const exact = await vectors('fp32');
  const kept = {};
  for (const dtype of DTYPES) kept[dtype] = compare(exact, await vectors(dtype));
  for (const [kind, result] of Object.entries(peers)) kept[`onnxruntime, ${kind}`] = result;
  return { inputs: inputs.length, kept };
}

/** Markdown. */
export function table(found) {
  const cells = ({ mean, least, recall }) =>
    `${mean.toFixed(4)} / ${least.toFixed(4)} | ${[1, 10].map((k) => recall[k].toFixed(3)).join(' / ')}`;
  const names = Object.keys(TOWERS);
  const head = ({ inputs }, name) => ` ${TOWERS[name]} (${inputs}): cosine, mean / least | neighbours kept of 1 / 10 |`;
  return [
    `Measured ${found.date}, onnxruntime ${found.onnxruntime}.`,
    '',
    `| |${names.map((name) => head(found.towers[name], name)).join('')}`,
    `|---|${'---|---|'.repeat(names.length)}`,
    ...Object.keys(found.towers.image.kept).map(
      (kind) => `| ${kind} | ${names.map((name) => cells(found.towers[name].kept[kind])).join(' | ')} |`,
    ),
  ].join('\n');
}

const [, program, folder] = process.argv;
const isProgram = import.meta.url === pathToFileURL(program ?? '').href;
if (isProgram && folder && folder !== '--write') {
  const found = await measure(pathToFileURL(`${folder}/`));
  writeFileSync(FILE, `${JSON.stringify(found, null, 1)}\n`);
  console.log(table(found));
} else {
  await README.command();
}
