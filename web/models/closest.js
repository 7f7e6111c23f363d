// Which architecture a checkpoint is of, guessed from the shapes of a few tensors: to say what is wrong with a model's
// name, and for reports.

import { HalfclipError } from '../base/errors.js';
import { architectures } from './architectures.js';

const UNITS = {
  width: (n) => `width ${n}`,
  layers: (n) => `${n} layers`,
  patch: (n) => `patches of ${n} pixels`,
  tokens: (n) => `${n} positions`,
  context: (n) => `${n} positions`,
  vocabulary: (n) => `${n} tokens`,
  dim: (n) => `embeddings of ${n}`,
};

/** The sizes that an OpenCLIP config asks for, with OpenCLIP's defaults; null for a tower of another family. */
function sizesOf({ embed_dim: dim, vision_cfg = {}, text_cfg = {} }, tower) {
  if (tower === 'image') {
    const { width = 768, layers = 12, patch_size: patch = 16, image_size = 224, timm_model_name } = vision_cfg;
    if (timm_model_name || !Number.isInteger(layers)) return null;
    const [height, across] = [image_size, image_size].flat();
    return { width, layers, patch, tokens: Math.floor(height / patch) * Math.floor(across / patch) + 1, dim };
  }
  const {
    width = 512,
    layers = 12,
    context_length = 77,
    vocab_size: vocabulary = 49408,
    embed_cls,
    hf_model_name,
  } = text_cfg;
  return hf_model_name ? null : { width, layers, context: context_length + (embed_cls ? 1 : 0), vocabulary, dim };
}

/**
 * The architecture of OpenCLIP that is closest to what was measured.
 * @returns {{ name: string, exact: boolean } | null} exact: all sizes of all towers are equal
 */
export function closestArchitecture(measured) {
  const [best] = rankArchitectures(measured);
  return best ? { name: best.name, exact: best.different === 0 } : null;
}

/**
 * All of them, the closest first, and of several that are alike (…-quickgelu) the one with the shortest name: { name,
 * different }.
 */
export function rankArchitectures(measured) {
  const towers = Object.keys(measured).filter((tower) => measured[tower]);
  const ranked = Object.entries(towers.length ? architectures : {}).map(([name, config]) => {
    let different = 0;
    for (const tower of towers) {
      const sizes = sizesOf(config, tower);
      for (const [key, size] of Object.entries(measured[tower])) different += difference(sizes?.[key] ?? 1, size);
    }
    return { name, different };
  });
  return ranked.sort((a, b) => a.different - b.different || a.name.length - b.name.length);
}

/** 0 for equal sizes, at most 1.1: one that is far off counts no more than a few that are. */
const difference = (a, b) => (a === b ? 0 : 0.1 + Math.min(1, Math.abs(Math.log(a / b))));

const describeSizes = (sizes) =>
  Object.keys(UNITS)
    .filter((key) => sizes[key])
    .map((key) => UNITS[key](sizes[key]))
    .join(', ');

/**
 * Does `work`, and says what a file holds instead where it does not fit the model's name or config.
 * @template T
 * @param {{ tower: 'image' | 'text', model: string | null, config: string | null }} context
 * @param {() => Promise<T>} work whose error may have what load/load-tower.js found in the file
 * @returns {Promise<T>}
 */
export async function explaining(context, work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof HalfclipError && error.measured ? explainMismatch(error, context) : error;
  }
}

function explainMismatch(error, { tower, model, config }) {
  const parsed = JSON.parse(config);
  const asked = sizesOf(parsed.model_cfg ?? parsed, tower);
  const found = error.measured[tower];
  if (!asked || !found || Object.keys(found).every((key) => found[key] === asked[key])) return error;
  const { name, exact } = closestArchitecture(error.measured);
  const message =
    `${error.message}; the ${tower} tower of ${model ?? 'the config'} has ${describeSizes(asked)}, that of the file ${describeSizes(found)}: ` +
    (exact ? `it is the size of ${name}` : `of OpenCLIP's architectures ${name} is the closest`);
  return new HalfclipError(error.code, message, { cause: error });
}
