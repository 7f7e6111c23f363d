// halfclip verify: what a dtype keeps of the vectors that the same weights give at fp32, and where it loses most.

import { loadEncoder } from '../encoder/load-encoder.js';
import { operationErrors } from '../encoder/operation-errors.js';
import { resolveModel } from '../models/resolve.js';
import { loadImageEncoder, loadTextEncoder, loadVideoEncoder } from '../node/index.js';
import { TEMPORALS } from '../wasm/temporals.js';
import { compare } from './agreement.js';
import { framesAsTaken } from './calibration-inputs.js';
import { readInputs } from './inputs.js';
import { LOAD_HELP, LOAD_OPTIONS, UsageError, isBetween, loadOptions, numberOf, oneOf, readTexts } from './options.js';
import { inspect, towerOfShard } from './report.js';
import { checkFailed, runOver } from './run.js';
import { columns } from './table.js';
import { Counter, complain, print } from './terminal.js';
import { VIDEO_HELP, VIDEO_OPTIONS, checkVideoOptions, rangeOptions, videoOptions } from './videos.js';

export const summary = 'how close vectors at int8, int4 or fp16 are to those at fp32';

export const help = `halfclip verify [inputs...]: embeds the inputs at fp32 and at other dtypes, one after the other, and shows for each of these the
mean and the least cosine to fp32, and neighbours kept: of the k nearest others that an input has at fp32, the share that is still
among its k nearest, for k = 1 and 10, as a mean over all inputs (where there are more than k others); and for the first inputs the
operations that lose most: how far the result of each is from fp32's when it is given what fp32 gives, relative to its size

  Inputs are pictures (files, URLs, folders), with --tower video videos, or with --tower text texts. Without inputs, one a line from standard input. Give the
  checkpoint as it was published: of a shard at int8, fp32 is what int8 left of the weights, and what that lost does not show.

  --tower text|image|video               default: the one that the shard holds, else image
  --texts FILE                           a text a line, for the text tower
  --at-least X                           exit status 1 if the mean cosine of one of the dtypes is below X
  --json                                 one JSON object
${LOAD_HELP}${VIDEO_HELP}
  Here --dtype may be several, with commas between them (default: int8,int4).
`;

const STRING = { type: 'string' };
export const options = {
  ...LOAD_OPTIONS,
  ...VIDEO_OPTIONS,
  tower: STRING,
  texts: STRING,
  'at-least': STRING,
  json: { type: 'boolean' },
};

/** Inputs whose operations are compared, and operations that are shown without --json. */
const COMPARED = 3;
const SHOWN = 6;

const DTYPES = ['fp16', 'int8', 'int4'];
const LOAD = {
  text: loadTextEncoder,
  image: loadImageEncoder,
  video: (options, values) => loadVideoEncoder({ ...options, ...videoOptions(values) }),
};

export async function run(values, args, signal) {
  const limit = numberOf('at-least', values['at-least'], 'a cosine from -1 to 1', isBetween(-1, 1)) ?? -Infinity;
  const dtypes = (values.dtype ?? 'int8,int4').split(',');
  for (const dtype of dtypes) oneOf('dtype', dtype, ...DTYPES);
  const wanted = oneOf('tower', values.tower, 'text', 'image', 'video');
  if (values.texts !== undefined && ((wanted ?? 'text') !== 'text' || args.length))
    throw new UsageError(`--texts is the text tower's whole input, got ${args[0] ?? `--tower ${wanted}`} too`);
  const tower = wanted ?? (values.texts === undefined ? ((await towerOfShard(values.weights)) ?? 'image') : 'text');
  checkVideoOptions(values, tower);
  const items = values.texts === undefined ? await listInputs(args, tower) : await listTexts(values.texts);
  if (items.length < 2)
    throw new UsageError(`verify compares inputs with each other, expected 2 or more, got ${items.length}`);

  const embed = (dtype, some, compared = 0) => vectorsAt(dtype, some, { tower, values, signal, compared });
  const { info, vectors, prepared, result } = await embed('fp32', items, COMPARED);
  if (vectors.size < 2) checkFailed(result);
  const kept = [...vectors.keys()]; // what failed was reported once
  const found = [];
  for (const dtype of dtypes) {
    const { vectors: others } = await embed(dtype, kept);
    found.push({
      dtype,
      ...compare(
        [...vectors.values()],
        kept.map((item) => others.get(item)),
      ),
    });
  }
  await addErrors(found, prepared, { tower, values, signal });
  const held = await heldBy(values);
  await show({ model: info.model, tower, held, inputs: kept.length, dtypes: found }, values.json);
  for (const { dtype, mean } of found) {
    // Written so that it is told of what is no number.
    if (mean >= limit) continue;
    await complain(`the mean cosine at ${dtype} is ${mean}, expected at least ${limit}`);
    process.exitCode = 1;
  }
  checkFailed(result);
}

/** The dtype of a shard on this machine; null for a checkpoint, and for what is elsewhere. */
async function heldBy({ model = 'halfclip-emoji', weights }) {
  if (weights === undefined ? model !== 'halfclip-emoji' : /^https?:/i.test(weights)) return null;
  const { metadata } = await inspect(weights ?? model).catch(() => ({ metadata: {} }));
  return (metadata.halfclip && metadata.dtype) ?? null;
}

async function listInputs(args, tower) {
  const { items } = await readInputs(args, { tower, certain: true });
  const all = [];
  for await (const item of items) all.push(item);
  return all;
}

async function listTexts(path) {
  const lines = await readTexts('texts', path);
  return lines.map((source) => ({ record: { input: source }, id: source, source }));
}

/** What encoders of the package make of an input for their tower; a film is made frames of later. */
const PREPARE = {
  text: (encoder, source) => encoder.tokenize(source),
  image: (encoder, source) => encoder.preprocess(source),
  video: (encoder, source) => source,
};

/** The vectors of the items that can be embedded, at a dtype; and of `compared` of them what the tower computes with. */
async function vectorsAt(dtype, items, { tower, values, signal, compared }) {
  const encoder = await LOAD[tower](await loadOptions({ ...values, dtype }, signal), values);
  try {
    const vectors = new Map();
    const counter = new Counter(values.quiet, async () => items.length);
    const result = await runOver(encoder, items, { embedding: rangeOptions(values), signal, counter }, (item, vector) =>
      vectors.set(item, vector),
    );
    const prepared = [];
    for (const { source } of [...vectors.keys()].slice(0, compared))
      prepared.push(await PREPARE[tower](encoder, source));
    return { info: encoder.info, vectors, prepared, result };
  } finally {
    encoder.dispose();
  }
}

/** Adds to what was found at each dtype the operations with their errors, the largest first. */
async function addErrors(found, prepared, { tower, values, signal }) {
  const load = async (dtype) => {
    const { model, weights, hub, integrity, imageSize } = await loadOptions({ ...values, dtype }, signal);
    const { name, ...resolved } = await resolveModel(model, weights, tower, { hub, signal });
    const temporal = TEMPORALS[videoOptions(values).temporal ?? 'auto'];
    const options = { tower, dtype, threads: 1, integrity, imageSize, temporal, families: 'all', model: name };
    return loadEncoder({ ...options, ...resolved }, { signal });
  };
  const exact = await load('fp32');
  try {
    const inputs = tower === 'video' ? await framesOfEach(prepared, exact, values, signal) : prepared;
    for (const one of found) {
      const other = await load(one.dtype);
      try {
        const errors = await operationErrors(exact.tower, other.tower, inputs, { signal });
        one.operations = errors.filter(({ error }) => error > 0).sort((a, b) => b.error - a.error);
      } finally {
        other.dispose();
      }
    }
  } finally {
    exact.dispose();
  }
}

/** The frames of some films, as the tower takes them. */
async function framesOfEach(films, encoder, values, signal) {
  const { temporal: _, ...sampling } = videoOptions(values);
  const prepared = [];
  for (const film of films)
    prepared.push(
      await framesAsTaken(film, encoder, { name: String(film), ...sampling, ...rangeOptions(values), signal }),
    );
  return prepared;
}

async function show(report, json) {
  if (json) {
    await print(JSON.stringify(report));
    return;
  }
  const share = (value) => (value === null ? '' : value.toFixed(3));
  const rows = report.dtypes.map(({ dtype, mean, least, recall }) => [
    dtype,
    mean.toFixed(5),
    least.toFixed(5),
    share(recall[1]),
    share(recall[10]),
  ]);
  await print(
    `${report.model ?? 'its own config'}, ${report.tower} tower, ${report.inputs} inputs, compared with fp32`,
  );
  if (report.held && report.held !== 'fp32')
    await print(`The shard holds its weights at ${report.held}: what that lost of them does not show here.`);
  await print('');
  const head = ['dtype', 'mean cosine', 'least', 'nearest kept', 'of 10 nearest'];
  for (const line of columns([head, ...rows], 1)) await print(line);
  for (const { dtype, operations } of report.dtypes) {
    if (!operations.length) continue;
    await print(`\nOperations that lose most at ${dtype}: their own error, relative to the size of the result`);
    const lines = operations.slice(0, SHOWN).map(({ kind, name, error }) => [kind, name, error.toFixed(4)]);
    for (const line of columns(lines, 2)) await print(line);
  }
}
