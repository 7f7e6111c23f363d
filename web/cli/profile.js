// halfclip profile: where the time of a tower goes.

import { loadEncoder } from '../encoder/load-encoder.js';
import { LoadedTower } from '../encoder/loaded-tower.js';
import { profileTower } from '../encoder/profile.js';
import { loadTower } from '../load/load-tower.js';
import { architectures } from '../models/architectures.js';
import { resolveModel } from '../models/resolve.js';
import { Wasm } from '../wasm/instance.js';
import { makeUpWeights } from './made-up-weights.js';
import { foldLayers, summarize, tableOf } from './operations.js';
import { SOURCE_HELP, SOURCE_OPTIONS, UsageError, isWhole, loadOptions, numberOf, oneOf } from './options.js';
import { towerOfShard } from './report.js';
import { columns } from './table.js';
import { print } from './terminal.js';

export const summary = "where a tower's time goes, operation by operation";

export const help = `halfclip profile --model NAME [--weights FILE|URL|TAG]: embeds an input of full length a few times, and shows for each operation
of the tower its shape, multiplications, time, speed and share. Without weights an architecture of OpenCLIP gets made-up ones, of
which nothing is fetched: speed does not depend on them

  --tower text|image|video               default: the one that the shard holds, else image; of a video tower a frame, and what is made of the
                                         vectors of as many as there are positions for, or of a dozen
  --runs N                               how many are timed (default: as many as take two seconds); each time is the median
  --all                                  every operation; else those of all layers that are alike are one line
  --json                                 one JSON object, with every operation
  --threads auto|N                       how many compute (default: auto, the number of cores, at most 8)
${SOURCE_HELP}`;

export const options = {
  ...SOURCE_OPTIONS,
  threads: { type: 'string' },
  tower: { type: 'string' },
  runs: { type: 'string' },
  all: { type: 'boolean' },
  json: { type: 'boolean' },
};

export async function run(values, inputs, signal) {
  if (inputs.length) throw new UsageError(`profile takes no inputs, got ${inputs[0]}`);
  const { json, all } = values;
  const runs = numberOf('runs', values.runs, 'a number from 1 to 999999', isWhole(1, 999999));
  const tower =
    oneOf('tower', values.tower, 'text', 'image', 'video') ?? (await towerOfShard(values.weights)) ?? 'image';
  const loaded = await loadTo(tower, await loadOptions(values, signal));
  try {
    const profile = summarize(loaded.info, await profileTower(loaded, { runs, signal }));
    if (json) await print(JSON.stringify(profile));
    else for (const line of linesOf(profile, all)) await print(line);
  } finally {
    loaded.release();
  }
}

/** The tower of a model, with made-up weights where it is an architecture without any. */
async function loadTo(
  tower,
  { model, weights, dtype = 'auto', imageSize, threads = 'auto', integrity, hub, signal, onProgress },
) {
  const common = { tower, dtype, imageSize, threads, integrity };
  const config = weights === undefined && configOf(model);
  if (!config) {
    const { name, ...resolved } = await resolveModel(model, weights, tower, { hub, signal });
    const encoder = await loadEncoder({ ...common, families: 'all', model: name, ...resolved }, { signal, onProgress });
    return encoder.tower;
  }
  const options = { ...common, model: typeof model === 'string' ? model : null, config: JSON.stringify(config) };
  const wasm = await Wasm.create({ ...options, families: 'all' });
  try {
    const weights = makeUpWeights(wasm, tower, options.config);
    const { encoder } = await loadTower(wasm, options, weights, { signal, onProgress });
    return LoadedTower.of(wasm, encoder, options, { fetchedBytes: 0, fileBytes: null, cached: false });
  } catch (error) {
    wasm.release();
    throw error;
  }
}

/** The config of an architecture of OpenCLIP, or a parsed one; undefined where the model's name says where weights are. */
function configOf(model) {
  if (typeof model !== 'string') return model;
  const name = model.replaceAll('/', '-');
  return Object.hasOwn(architectures, name) ? architectures[name] : undefined;
}

function linesOf(profile, all) {
  const { model, tower, dtype, simd, threads, runs, frames, milliseconds, multiplications, gops, operations } = profile;
  const what = frames ? `a frame, and what is made of ${frames} vectors of frames` : 'one input of full length';
  const kernels = simd === 'relaxed' ? 'relaxed SIMD' : 'SIMD (simd128)';
  return [
    `${model ?? 'its own config'}, ${tower} tower at ${dtype}, ${kernels}, ${threads} thread${threads === 1 ? '' : 's'}`,
    `${milliseconds.toFixed(2)} ms for ${what} (median of ${runs} runs), ` +
      `${(multiplications / 1e9).toFixed(2)} · 10⁹ multiplications, ${gops.toFixed(1)} GOP/s`,
    '',
    ...columns(tableOf(all ? operations : foldLayers(operations)), 4),
  ];
}
