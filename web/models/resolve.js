// What the options `model` and `weights` stand for: the config of an architecture, and where its tensors are.

import { HalfclipError, describe, messageOf } from '../base/errors.js';
import { nearestNames } from '../base/nearest-names.js';
import { hasTag, isArray } from '../base/realm.js';
import { resolveKept } from '../cache/tower-cache.js';
import { findAssets } from '../network/assets.js';
import { describeWeights } from '../sources/open.js';
import { architectures } from './architectures.js';
import { defaultPreprocessing, knownTags, resolveNamed, resolveTag } from './hub.js';

export const BUNDLED = 'halfclip-emoji';

/**
 * What the options `model` and `weights` stand for together.
 * @param {string | object | undefined} model
 * @param {unknown} weights
 * @param {'image' | 'text' | 'video'} tower
 * @param {{ hub?: string | URL, fetch?: typeof fetch, cache?: RequestCache, keep?: object, retry?: object, limits?:
 *   object, signal?: AbortSignal, places?: Record<string, string[]> }} options for names that are looked up on a hub;
 *   keep: from completeCache; places: from findAssets
 * @returns {Promise<{ name: string | null, config: string | null, weights: object }>} config: JSON text as in an
 *   open_clip_config.json, or null: the shard has its own; weights: for openWeights
 */
export async function resolveModel(model, weights, tower, options = {}) {
  if (model === undefined) return { name: null, config: null, weights: describeWeights(weights) };
  if (hasTag(model, 'URL')) throw notAPath(String(model));
  if (model && typeof model === 'object' && !isArray(model))
    return { name: null, config: writeConfig(model), weights: describeWeights(weights) };
  if (typeof model !== 'string') {
    throw new HalfclipError(
      'input/type',
      `option model is ${describe(model)}, expected an OpenCLIP architecture name or a parsed open_clip_config.json`,
    );
  }
  if (model === BUNDLED)
    return {
      name: model,
      config: null,
      weights: weights === undefined ? bundledWeights(tower, options.places ?? findAssets()) : describeWeights(weights),
    };
  if (/^(hf-hub|local-dir):/.test(model)) {
    const { keep, retry, hub = '' } = options;
    const ask = (patience) => resolveNamed(model, tower, { ...options, retry: patience });
    const found = await (model.startsWith('hf-hub:')
      ? resolveKept(keep, { model, tower, hub: String(hub) }, retry, ask)
      : ask(retry));
    return {
      name: model,
      config: JSON.stringify(found.config),
      weights: weights === undefined ? found.weights : describeWeights(weights),
    };
  }
  // OpenAI writes ViT-B/32, and OpenCLIP reads it; Towhee clip_vit_b32.
  const name = model.replaceAll('/', '-').replace(/^clip_vit_b(16|32)$/, 'ViT-B-$1-quickgelu');
  if (Object.hasOwn(architectures, name)) return resolveKnown(name, architectures[name], weights, tower, options.hub);
  if (/[\\/]|\.(json|safetensors|pt|pth|bin|onnx)$/i.test(model)) throw notAPath(model);
  const nearest = nearestNames(model, [...Object.keys(architectures), BUNDLED]);
  throw new HalfclipError(
    'model/unknown',
    `model ${JSON.stringify(model)} is no architecture of OpenCLIP; the nearest names are ${nearest.join(', ')}`,
  );
}

/** A config that a caller gave, as JSON text. */
function writeConfig(model) {
  try {
    return JSON.stringify(model) ?? 'null';
  } catch (error) {
    throw new HalfclipError(
      'input/type',
      `option model is ${describe(model)} that cannot be written as JSON, expected a parsed open_clip_config.json: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** They lie beside the module: the cache leaves them alone. */
function bundledWeights(tower, places) {
  const name = `models/${BUNDLED}-${tower === 'text' ? tower : 'image'}.safetensors`; // frames are pictures
  return { any: places[name].map((place) => describeWeights(place)), bundled: name };
}

/** An architecture of OpenCLIP, with weights of one's own or a pretrained tag. */
async function resolveKnown(name, model_cfg, weights, tower, hub) {
  const preprocess_default = tower !== 'text' ? defaultPreprocessing(name) : undefined;
  const config = JSON.stringify(preprocess_default ? { model_cfg, preprocess_default } : model_cfg);
  const mayBeTag = weights === undefined || (typeof weights === 'string' && /^[\w-]+$/.test(weights));
  if (!mayBeTag) return { name, config, weights: describeWeights(weights) };
  const tag = weights && (await resolveTag(name, weights, hub));
  if (tag) {
    if (tag.quickGelu !== Boolean(model_cfg.quick_gelu)) {
      const other = tag.quickGelu ? `${name}-quickgelu` : name.replace('-quickgelu', '');
      console.warn(
        `halfclip: ${name} computes ${tag.quickGelu ? 'GELU' : 'QuickGELU'}, but "${weights}" was trained with ` +
          `${tag.quickGelu ? 'QuickGELU' : 'GELU'}: as in OpenCLIP, model ${other} fits`,
      );
    }
    return { name, config: JSON.stringify({ model_cfg, preprocess_cfg: tag.preprocess_cfg }), weights: tag.weights };
  }
  const tags = await knownTags(name);
  const hint = tags.length ? `the pretrained tags of ${name} are ${tags.join(', ')}` : `${name} has no pretrained tags`;
  if (weights === undefined)
    throw new HalfclipError(
      'weights/not-found',
      `option weights is missing: expected a URL, a path, a Blob, bytes or a pretrained tag; ${hint}`,
    );
  return { name, config, weights: { ...describeWeights(weights), hint } };
}

function notAPath(model) {
  return new HalfclipError(
    'model/not-a-path',
    `model ${JSON.stringify(model)} is a path or URL, expected an architecture name such as "ViT-B-32" or ` +
      'a parsed open_clip_config.json; files go into the option weights',
  );
}
