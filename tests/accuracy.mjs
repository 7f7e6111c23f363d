// How much each dtype keeps of the bundled model's vectors, which OpenCLIP computed in fp32: cosines, and recall of
// emoji by name and of names by picture. `node tests/accuracy.mjs` prints the table of src/README.md, with --write puts
// it there.

import { readFileSync } from 'node:fs';

import { loadImageEncoder, loadTextEncoder } from '../dist/index.js';
import { GOLDEN, parseSafetensors, rows } from './node/support.mjs';
import { readmePart } from './readme.mjs';

export const DTYPES = ['fp32', 'fp16', 'int8', 'int4'];
export const README = readmePart('src/README.md', 'accuracy', 'tests/accuracy.mjs', async () => table(await measure()));

const FOLDER = new URL('emoji/', GOLDEN);
const { metadata, tensors } = parseSafetensors(readFileSync(new URL('expected.safetensors', FOLDER)));
const names = JSON.parse(metadata.names);
// Of each picture, its name's index.
const right = Array.from(new Int32Array(Uint8Array.from(tensors.pixel_emoji.bytes).buffer));
export const pictures = Array.from({ length: tensors.pixels.shape[0] }, (_, i) => {
  const size = 64 * 64 * 3;
  return { data: Uint8Array.from(tensors.pixels.bytes.subarray(i * size, (i + 1) * size)), width: 64, height: 64 };
});
export const checkpoint = {
  model: JSON.parse(readFileSync(new URL('open_clip_config.json', FOLDER))),
  weights: new URL('open_clip_model.safetensors', FOLDER),
};

const unit = (vectors) =>
  vectors.map((vector) => {
    const length = Math.hypot(...vector);
    return vector.map((x) => x / length);
  });

/** OpenCLIP's vectors, of length 1. */
export const expected = {
  image: unit(rows(tensors.image_features)),
  text: unit(rows(tensors.text_features)),
  gallery: unit(rows(tensors.all_image_features)),
};

/** What onnxruntime's dynamic quantisation to int8 keeps: weights-tools/onnxruntime_emoji.py. */
export const onnxruntime = JSON.parse(readFileSync(new URL('onnxruntime.json', FOLDER)));

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The share of queries whose own entry is among the first k of the gallery; ties count against it. */
function recall(queries, gallery, own) {
  const ranks = queries.map((query, i) => {
    const score = dot(query, gallery[own(i)]);
    return gallery.filter((entry, j) => j !== own(i) && dot(query, entry) >= score).length;
  });
  return Object.fromEntries([1, 10].map((k) => [k, ranks.filter((rank) => rank < k).length / queries.length]));
}

/** Cosines and recall of the vectors of both towers. */
function judge({ image, text }) {
  const cosines = {
    image: image.map((vector, i) => dot(vector, expected.image[i])),
    text: text.map((vector, i) => dot(vector, expected.text[i])),
  };
  const mean = (all) => all.reduce((a, b) => a + b) / all.length;
  return {
    cosine: { image: mean(cosines.image), text: mean(cosines.text) },
    lowest: { image: Math.min(...cosines.image), text: Math.min(...cosines.text) },
    recall: {
      'emoji by name': recall(text, expected.gallery, (i) => i),
      'names by picture': recall(image, text, (i) => right[i]),
    },
  };
}

/** The checkpoint has no vocabulary of its own; the bundled shard carries the one that it was trained with. */
async function tokenize() {
  const shard = await loadTextEncoder({ model: 'halfclip-emoji' });
  const tokens = await shard.tokenize(names);
  shard.dispose();
  return tokens;
}

/** Vectors of both towers, loaded from the fp16 checkpoint at a dtype. */
export async function embed(dtype) {
  const image = await loadImageEncoder({ ...checkpoint, dtype });
  const text = await loadTextEncoder({ ...checkpoint, dtype });
  const vectors = { image: await image.embed(pictures), text: await text.embedTokens(await tokenize()) };
  image.dispose();
  text.dispose();
  return vectors;
}

export async function measure() {
  const found = {};
  for (const dtype of DTYPES) found[dtype] = judge(await embed(dtype));
  return found;
}

/** Markdown. */
export function table(found) {
  const line = (name, { cosine, recall: of }) => {
    const cell = (what) => [1, 10].map((k) => of[what][k].toFixed(3)).join(' / ');
    return `| ${name} | ${cosine.image.toFixed(5)} / ${cosine.text.toFixed(5)} | ${cell('emoji by name')} | ${cell('names by picture')} |`;
  };
  return [
    '| | mean cosine to OpenCLIP, pictures / names | emoji by name, recall at 1 / 10 | names by picture, recall at 1 / 10 |',
    '|---|---|---|---|',
    ...DTYPES.map((dtype) => line(dtype, found[dtype])),
    line(`onnxruntime ${onnxruntime.onnxruntime}, dynamic int8`, onnxruntime),
  ].join('\n');
}

await README.command();
