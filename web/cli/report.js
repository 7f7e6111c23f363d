// What a checkpoint or a name stands for, from headers alone: tensors, types, towers, the architecture with its
// activation, and what each would cost. For the command line.

import { NOT_KEPT, hasValidators } from '../cache/tower-cache.js';
import { withContents } from '../checkpoint/contents.js';
import { readDirectory } from '../checkpoint/directory.js';
import { DETECT, detectFormat } from '../checkpoint/file-format.js';
import { readFileDirectory } from '../checkpoint/one-file.js';
import { architectures } from '../models/architectures.js';
import { rankArchitectures } from '../models/closest.js';
import { knownTags } from '../models/hub.js';
import { translateConfig } from '../models/hugging-face.js';
import { parameters } from '../models/parameters.js';
import { BUNDLED, resolveModel } from '../models/resolve.js';
import { findAssets } from '../network/assets.js';
import { completeLimits } from '../network/limits.js';
import { describeWeights, openWeights } from '../sources/open.js';
import { readText } from '../sources/source.js';
import { Wasm } from '../wasm/instance.js';

/**
 * @typedef {{ quickGelu: boolean | null, because: string }} Activation quickGelu: null where nothing says it; because:
 *   what says it, or that nothing does
 */

/**
 * @param {string | URL | Blob} place URL, path, Blob, `hf-hub:org/repo`, `local-dir:folder`, an architecture of
 *   OpenCLIP or `halfclip-emoji`
 * @param {{ hub?: string | URL, fetch?: typeof fetch, signal?: AbortSignal, retry?: object, limits?: object }}
 *   [options]
 * @returns {Promise<object>} of files: { file, format: 'safetensors' | 'pytorch' | 'index', files: string[], bytes:
 *   number | null (of all files, if that is known), fetchedBytes, architecture: { name, exact } | null, names: string[]
 *   (all that fit: with and without QuickGELU where nothing says which it is), activation: Activation, notKept: string
 *   | null (why towers of these files are not kept), metadata, towers and dtypes: { count, bytes } by name, tensors: {
 *   name, dtype, shape, bytes }[] in file order }; of an architecture: { architecture, activation, config, towers: {
 *   parameters, … } by name, tags: string[] }
 */
export async function inspect(place, options = {}) {
  const known = typeof place === 'string' ? place.replaceAll('/', '-') : '';
  if (Object.hasOwn(architectures, known)) return inspectArchitecture(known);
  if (place === BUNDLED) return inspectBundled(options);
  if (typeof place === 'string' && /^(hf-hub|local-dir):/.test(place)) {
    const { config, weights } = await resolveModel(place, undefined, 'text', options);
    const { quick_gelu } = JSON.parse(config).model_cfg;
    return inspectFiles(weights, options, { quickGelu: Boolean(quick_gelu), because: 'the config beside it' });
  }
  return inspectFiles(describeWeights(place), options, null);
}

/** What OpenCLIP's config says of an architecture, without any file. */
async function inspectArchitecture(name) {
  const config = architectures[name];
  const [image, text] = parameters[name];
  return {
    architecture: { name, exact: true },
    names: [name],
    activation: { quickGelu: Boolean(config.quick_gelu), because: "OpenCLIP's config" },
    config,
    towers: {
      image: { parameters: image, imageSize: config.vision_cfg.image_size ?? 224, dim: config.embed_dim },
      text: {
        parameters: text,
        contextLength: config.text_cfg.context_length ?? 77,
        vocabSize: config.text_cfg.vocab_size ?? 49408,
        dim: config.embed_dim,
      },
    },
    tags: await knownTags(name),
  };
}

/** Both shards of the bundled model, as one. */
async function inspectBundled(options) {
  const places = findAssets();
  const reports = [];
  for (const tower of ['image', 'text']) {
    const { weights } = await resolveModel(BUNDLED, undefined, tower, { ...options, places });
    reports.push(await inspectFiles(weights, options, null));
  }
  const [image, text] = reports;
  const sum = (key) => image[key] + text[key];
  return {
    ...image,
    file: BUNDLED,
    files: reports.flatMap(({ files }) => files),
    bytes: sum('bytes'),
    fetchedBytes: sum('fetchedBytes'),
    notKept: null,
    metadata: { ...text.metadata, tower: 'image and text' },
    towers: { ...image.towers, ...text.towers },
    dtypes: sums([...image.tensors, ...text.tensors], ({ dtype }) => dtype),
    tensors: [...image.tensors, ...text.tensors],
  };
}

/** @param {Activation | null} said what is known beside the weights */
async function inspectFiles(weights, options, said) {
  const limits = completeLimits(options.limits);
  let source = await openWeights(weights, options);
  try {
    const { name } = source;
    const format = detectFormat(await source.peek(DETECT));
    let held;
    if (format === 'safetensors') {
      held = await readFileDirectory(undefined, source);
    } else {
      const directory = await readDirectory(undefined, source, format, (names) => names, limits);
      source = directory.source;
      held = { tensors: JSON.parse(directory.json), metadata: {}, files: directory.files };
    }
    const { tensors: entries, metadata, files = [name] } = held;
    const tensors = Object.entries(entries)
      .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [begin, end],
          },
        ]) => ({ name, dtype, shape, bytes: end - begin }),
      );
    const beside = weights.path === undefined ? null : await configBeside(source, limits);
    const wasm = await Wasm.create();
    return withContents(wasm, JSON.stringify(entries), name, (contents) => {
      const activation = activationOf(contents, metadata, said ?? beside);
      return {
        file: name,
        format,
        files,
        bytes: source.size ?? null,
        fetchedBytes: source.fetched,
        ...nameArchitecture(contents, activation, metadata),
        activation,
        notKept: hasValidators(source.versions ?? []) ? null : NOT_KEPT,
        metadata,
        towers: sums(tensors, ({ name }) => metadata.tower ?? contents.towerOf(name)),
        dtypes: sums(tensors, ({ dtype }) => dtype),
        tensors,
      };
    });
  } finally {
    await source.close();
  }
}

/** The file itself says it first: a shard in its config, OpenAI's and CLIP4Clip's by what else they hold. */
function activationOf({ quickGelu }, { model_cfg }, said) {
  const own = parseObject(model_cfg);
  if (own) return { quickGelu: Boolean(own.quick_gelu), because: 'its own config' };
  if (quickGelu) return { quickGelu: true, because: `the file is ${quickGelu}` };
  return said ?? { quickGelu: null, because: 'nothing in the file says it, and its shapes are the same with both' };
}

/** What a config.json of Hugging Face beside a local file says; null if there is none, or one of something else. */
async function configBeside(source, limits) {
  let beside;
  try {
    beside = await source.sibling('config.json');
    const config = JSON.parse(await readText(beside, 'model/unknown', limits));
    const [image, text] = ['image', 'text'].map(
      (tower) => translateConfig(config, null, tower, beside.name).model_cfg.quick_gelu,
    );
    return image === text ? { quickGelu: text, because: 'hidden_act of the config.json beside it' } : null;
  } catch {
    return null;
  } finally {
    await beside?.close();
  }
}

function parseObject(text) {
  try {
    const value = JSON.parse(text ?? 'null');
    return typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** Configs that differ in their activation alone are equal without it. */
const withoutActivation = ({ quick_gelu, ...config }) => JSON.stringify(config);

/** @returns {{ architecture: { name: string, exact: boolean } | null, names: string[] }} */
function nameArchitecture(contents, { quickGelu }, { model_cfg }) {
  const own = parseObject(model_cfg);
  const isSayable = (name) => quickGelu === null || Boolean(architectures[name].quick_gelu) === quickGelu;
  const isLike = (config) => (name) => withoutActivation(architectures[name]) === withoutActivation(config);
  if (own) {
    const names = Object.keys(architectures).filter(isLike(own)).filter(isSayable);
    if (names.length) return { architecture: { name: names[0], exact: true }, names };
  }
  const ranked = rankArchitectures(contents);
  const closest = ranked.length ? { name: ranked[0].name, exact: ranked[0].distance === 0 } : null;
  if (own || !closest?.exact) return { architecture: closest, names: [] };
  const fitting = ranked.filter(({ distance }) => distance === 0).map(({ name }) => name);
  const sayable = fitting.filter(isSayable);
  // One tower alone may be that of several architectures; of both, those that differ in more than the activation differ
  // in what no tensor shows.
  const names =
    Object.keys(ranked[0].distances).length === 2 ? sayable.filter(isLike(architectures[sayable[0]] ?? {})) : sayable;
  return { architecture: { name: names[0] ?? fitting[0], exact: names.length > 0 }, names };
}

function sums(tensors, key) {
  const groups = {};
  for (const tensor of tensors) {
    const group = (groups[key(tensor)] ??= { count: 0, bytes: 0 });
    group.count++;
    group.bytes += tensor.bytes;
  }
  return groups;
}

/** Which tower a local shard holds, if `weights` is one; whatever is wrong with it, the loader says it. */
export async function towerOfShard(weights) {
  if (weights === undefined || /^https?:/i.test(weights)) return undefined;
  const { metadata } = await inspect(weights).catch(() => ({ metadata: {} }));
  return ['image', 'text', 'video'].find((tower) => tower === metadata.tower);
}
