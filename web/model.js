// What the option `model` stands for: the config of an architecture.

import { HalfclipError, describe } from './errors.js';

const BUNDLED = 'halfclip-emoji';
const SHARDS = {
  image: () => new URL('./models/halfclip-emoji-image.safetensors', import.meta.url),
  text: () => new URL('./models/halfclip-emoji-text.safetensors', import.meta.url),
};

/**
 * @param {string | object | undefined} model
 * @param {'image' | 'text'} tower
 * @returns {Promise<{ name: string | null, config: string | null, weights?: URL }>} config: JSON text as in an open_clip_config.json, or null: the shard has its
 *   own; weights: what the bundled model loads
 */
export async function resolveModel(model, tower) {
  if (model === undefined) return { name: null, config: null };
  if (model && typeof model === 'object' && !Array.isArray(model) && !(model instanceof URL)) return { name: null, config: JSON.stringify(model) };
  if (model instanceof URL) throw notAPath(model.href);
  if (typeof model !== 'string') {
    throw new HalfclipError('input/type', `option model is ${describe(model)}, expected an OpenCLIP architecture name or a parsed open_clip_config.json`);
  }
  if (model === BUNDLED) return { name: model, config: null, weights: SHARDS[tower]() };
  if (model.startsWith('hf-hub:')) {
    throw new HalfclipError('model/unsupported', `model ${JSON.stringify(model)}: names of a hub are not supported yet: give the parsed open_clip_config.json as model`);
  }
  const { models } = await import('./models.js');
  const name = model.replaceAll('/', '-'); // OpenAI writes ViT-B/32, and OpenCLIP reads it
  if (Object.hasOwn(models, name)) return { name, config: JSON.stringify(models[name]) };
  if (/[\\/]|^local-dir:|\.(json|safetensors|pt|pth|bin|onnx)$/i.test(model)) throw notAPath(model);
  const nearest = nearestNames(model, [...Object.keys(models), BUNDLED]);
  throw new HalfclipError('model/unknown', `model ${JSON.stringify(model)} is no architecture of OpenCLIP; the nearest names are ${nearest.join(', ')}`);
}

function notAPath(model) {
  return new HalfclipError('model/not-a-path', `model ${JSON.stringify(model)} is a path or URL, expected an architecture name such as "ViT-B-32" or ` +
    'a parsed open_clip_config.json; files go into the option weights');
}

function nearestNames(name, names) {
  const lower = name.toLowerCase();
  return names
    .map((known) => ({ known, distance: editDistance(lower, known.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ known }) => known);
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
