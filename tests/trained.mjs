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
const TOWERS = { image: "OpenAI's ViT-B/16, pictures", text: 'all-MiniLM-L6-v2, sentences' };

export const README = readmePart('src/README.md', 'trained', 'tests/trained.mjs', async () => table(recorded()));
export const recorded = () => JSON.parse(readFileSync(FILE, 'utf8'));

/** Every `length` numbers. */
const cut = (numbers, length) =>
  Array.from({ length: numbers.length / length }, (_, i) => numbers.subarray(i * length, (i + 1) * length));

const bytesOf = (path) => Uint8Array.from(readFileSync(path)).buffer;

async function measure(folder) {
  const at = (name) => new URL(name, folder);
  const pixels = cut(new Float32Array(bytesOf(at('pixels.bin'))), 3 * 224 * 224);
  const config = JSON.parse(readFileSync(at('text.json'), 'utf8'));
  const tokens = cut(new Int32Array(bytesOf(at('tokens.bin'))), config.text_cfg.context_length);
  const peers = JSON.parse(readFileSync(at('onnxruntime.json'), 'utf8'));
  const vectors = async (dtype) => {
    const image = await loadImageEncoder({ model: 'ViT-B-16-quickgelu', weights: at('image.safetensors'), dtype });
    const text = await loadTextEncoder({ model: { model_cfg: config }, weights: at('text.safetensors'), dtype });
    const found = { image: await image.embedPixels(pixels), text: await text.embedTokens(tokens) };
    image.dispose();
    text.dispose();
    return found;
  };
  const exact = await vectors('fp32');
  const found = {
    date: new Date().toISOString().slice(0, 10),
    onnxruntime: peers.onnxruntime,
    inputs: { image: pixels.length, text: tokens.length },
    image: {},
    text: {},
  };
  for (const dtype of DTYPES) {
    const { image, text } = await vectors(dtype);
    found.image[dtype] = compare(exact.image, image);
    found.text[dtype] = compare(exact.text, text);
  }
  for (const tower of Object.keys(TOWERS))
    for (const [name, result] of Object.entries(peers[tower])) found[tower][`onnxruntime, ${name}`] = result;
  return found;
}

/** Markdown. */
export function table(found) {
  const cells = ({ mean, least, recall }) =>
    `${mean.toFixed(4)} / ${least.toFixed(4)} | ${[1, 10].map((k) => recall[k].toFixed(3)).join(' / ')}`;
  const towers = Object.keys(TOWERS);
  return [
    `Measured ${found.date}, onnxruntime ${found.onnxruntime}.`,
    '',
    `| |${towers.map((tower) => ` ${found.inputs[tower]}: ${TOWERS[tower]}: cosine, mean / least | neighbours kept of 1 / 10 |`).join('')}`,
    `|---|${'---|---|'.repeat(towers.length)}`,
    ...Object.keys(found.image).map(
      (name) => `| ${name} | ${towers.map((tower) => cells(found[tower][name])).join(' | ')} |`,
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
