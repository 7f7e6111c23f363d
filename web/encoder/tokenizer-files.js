// Where the tokenizer of a Hugging Face model is, and from its files to the form that a shard carries.

import { HalfclipError, describe, messageOf } from '../base/errors.js';
import { locate } from '../base/platform.js';
import { hasTag, isArray } from '../base/realm.js';
import { repository } from '../models/repository.js';
import { readTextIfThere } from '../sources/open.js';
import { compactTokenizer } from '../text/tokenizer-json.js';

const [FILE, CONFIG] = ['tokenizer.json', 'tokenizer_config.json'];

/**
 * What an option `tokenizer` stands for, as plain data that can be sent to a worker; undefined without the option.
 * @param {unknown} tokenizer
 * @param {'image' | 'text' | 'video'} tower
 * @returns {{ url: string } | { path: string } | { blob: Blob, name: string } | { json: object } | undefined}
 */
export function describeTokenizer(tokenizer, tower) {
  if (tokenizer === undefined) return undefined;
  if (tower !== 'text')
    throw new HalfclipError('input/type', `option tokenizer is of a text tower, but this is the ${tower} tower`);
  if ((typeof tokenizer === 'string' && tokenizer) || hasTag(tokenizer, 'URL'))
    return locate(tokenizer, 'option tokenizer');
  if (hasTag(tokenizer, 'Blob', 'File')) return { blob: tokenizer, name: tokenizer.name ?? 'the Blob of tokenizer' };
  if (tokenizer?.model && typeof tokenizer === 'object' && !isArray(tokenizer)) return { json: tokenizer };
  throw new HalfclipError(
    'input/type',
    `option tokenizer is ${describe(tokenizer)}, expected a URL, a path, a Blob or a parsed ${FILE}`,
  );
}

/**
 * Where to look for a tokenizer that nobody gave: beside the weights, and in the repository that the config names.
 * @param {object} weights from describeWeights
 * @param {string} name `hf_tokenizer_name` of the config
 * @param {string} [hub]
 * @returns {object[]} places as describeTokenizer gives them
 */
export function usualPlaces(weights, name, hub) {
  const [first] = weights.any ?? [weights];
  const own = first.url || first.path ? [beside(first, FILE)] : [];
  return [...own.filter(Boolean), repository(`hf-hub:${name}`, hub).file(FILE)];
}

/** A file beside another one; null where nothing is. */
function beside({ url, path }, name) {
  if (path !== undefined) return { path: path.replace(/[^\\/]*$/, name) };
  if (!/^https?:/i.test(url)) return null;
  const place = new URL(name, url);
  place.search = new URL(url).search; // where that holds a token, it is for the folder
  return { url: place.href };
}

/**
 * The tokenizer at the first of some places where there is one, in the form of ../text/compact.js.
 * @param {object[]} places as describeTokenizer gives them
 * @param {{ fetch?: typeof fetch, retry?: object, limits?: object, signal?: AbortSignal }} network
 * @returns {Promise<Uint8Array>}
 */
export async function readTokenizer(places, network) {
  const missing = [];
  for (const place of places) {
    const json = place.json ?? (await readJson(place, network));
    if (json) return compact(json, (await readConfig(place, network)) ?? json.tokenizer_config ?? {}, nameOf(place));
    missing.push(nameOf(place));
  }
  throw new HalfclipError(
    'weights/not-found',
    `there is no tokenizer: none of ${missing.join(', ')}; give one as the option tokenizer, or token ids to embedTokens()`,
  );
}

const nameOf = ({ url, path, name }) => url ?? path ?? name ?? 'option tokenizer';

async function readConfig(place, network) {
  const file = place.blob || place.json ? null : beside(place, CONFIG);
  return file && readJson(file, network);
}

/** A JSON file, or null if there is none. */
async function readJson(place, network) {
  const found = await readTextIfThere(place, 'weights/format', { ...network, whole: true }, 'tokenizer');
  if (!found) return null;
  try {
    return JSON.parse(found.text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new HalfclipError('weights/format', `${found.name}: is not JSON: ${error.message}`, { cause: error });
  }
}

function compact(json, config, name) {
  try {
    return compactTokenizer(json, config);
  } catch (error) {
    if (error instanceof HalfclipError)
      throw new HalfclipError(error.code, `${name}: ${error.message}`, { cause: error });
    throw new HalfclipError('weights/format', `${name}: is no ${FILE} of Hugging Face's: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
