// Models by name: `hf-hub:org/repo` on a hub and `local-dir:folder`, as OpenCLIP names them, and OpenCLIP's pretrained
// tags.

import { HalfclipError, describe } from '../base/errors.js';
import { arriving, imported } from '../base/platform.js';
import { readTextIfThere } from '../sources/open.js';
import { preprocessings, pretrained } from './pretrained.js';
import { localFolder, repository } from './repository.js';

// In OpenCLIP's order of preference.
const OPEN_CLIP_FILES = [
  'open_clip_model.safetensors',
  'open_clip_pytorch_model.safetensors',
  'open_clip_pytorch_model.bin',
  'open_clip_pytorch_model.pth',
  'model.safetensors',
  'pytorch_model.bin',
  'pytorch_model.pth',
  'model.pth',
];

/**
 * The config and the weights of `hf-hub:org/repo`, `hf-hub:org/repo@revision` or `local-dir:folder`.
 * @param {string} model
 * @param {'image' | 'text' | 'video'} tower
 * @param {{ hub?: string | URL, fetch?: typeof fetch, cache?: RequestCache, retry?: object, limits?: object, signal?:
 *   AbortSignal }} options
 * @returns {Promise<{ config: object, weights: object }>} config: as an open_clip_config.json; weights: for openWeights
 */
export async function resolveNamed(model, tower, options) {
  const folder = model.startsWith('hf-hub:') ? repository(model, options.hub) : localFolder(model);
  const config = await readJson(folder, 'open_clip_config.json', options);
  if (config) {
    if (!config.model_cfg)
      throw new HalfclipError('model/unknown', `${folder.name}: its open_clip_config.json has no model_cfg`);
    return { config: withoutSize(config), weights: folder.weights(OPEN_CLIP_FILES) };
  }
  const translated = await readJson(folder, 'config.json', options);
  if (!translated)
    throw new HalfclipError('model/unknown', `${folder.name} has neither an open_clip_config.json nor a config.json`);
  if (!imported.readRepository)
    await arriving(
      import('./hugging-face-repository.js'),
      "a service worker has to import 'halfclip/hugging-face' first",
    );
  const read = (name) => readJson(folder, name, options);
  const { config: ours, files } = await imported.readRepository(translated, tower, folder.name, read);
  return { config: ours, weights: folder.weights(files) };
}

/** Pictures are resized to what the tower takes, whatever else a preprocess_cfg says: so does OpenCLIP. */
function withoutSize({ model_cfg, preprocess_cfg }) {
  if (!preprocess_cfg || typeof preprocess_cfg !== 'object') return { model_cfg, preprocess_cfg };
  const { size, ...others } = preprocess_cfg;
  return { model_cfg, preprocess_cfg: others };
}

/**
 * What an architecture's pretrained tag stands for, or null if it has no such tag.
 * @param {string} name of the architecture
 * @param {string} tag as OpenCLIP takes it: case does not count, and - is _
 * @param {string | URL} [hub]
 */
export async function resolveTag(name, tag, hub) {
  const tags = pretrained[name] ?? {};
  const clean = tag.toLowerCase().replaceAll('-', '_');
  if (!Object.hasOwn(tags, clean)) return null;
  const [place, preprocessing, quickGelu] = tags[clean];
  const [, repo, file] = /^(.*)\/([^/]*)$/.exec(place);
  const safer = file.replace(/\.(bin|pth)$/, '.safetensors');
  const weights = repository(`hf-hub:${repo}`, hub).weights(file ? [safer, file] : OPEN_CLIP_FILES);
  return { weights, preprocess_cfg: preprocessings[preprocessing], quickGelu: Boolean(quickGelu) };
}

/**
 * How pictures are prepared for weights of an architecture that say nothing of it: as for its pretrained tags, where
 * these agree, and it is not what is done anyway.
 */
export function defaultPreprocessing(name) {
  const ways = new Set(Object.values(pretrained[name] ?? {}).map(([, preprocessing]) => preprocessing));
  const [way] = ways;
  return ways.size === 1 && way ? preprocessings[way] : undefined;
}

/** The tags that an architecture has. */
export async function knownTags(name) {
  return Object.keys(pretrained[name] ?? {});
}

/** A small JSON file, or null if there is none. */
async function readJson(folder, name, options) {
  const found = await readTextIfThere(folder.file(name), 'model/unknown', options);
  if (!found) return null;
  try {
    const value = JSON.parse(found.text);
    if (value === null || typeof value !== 'object') throw new SyntaxError(`it is ${describe(value)}`);
    JSON.stringify(value); // fails for what is nested too deep
    return value;
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    throw new HalfclipError('model/unknown', `${found.name}: is not a JSON object: ${error.message}`, { cause: error });
  }
}
