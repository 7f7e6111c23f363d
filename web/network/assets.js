// The files that lie beside the module: the WebAssembly modules, CLIP's vocabulary, the bundled model. Bundlers and
// hosts put them elsewhere, so that each has a list of places to look for it.

import { HalfclipError } from '../base/errors.js';
import { getHost, isNode, locate } from '../base/platform.js';
import { discard, request } from './request.js';

export const ASSETS = [
  'halfclip-vit-relaxed.wasm',
  'halfclip-vit-simd128.wasm',
  'halfclip-vit-relaxed-threads.wasm',
  'halfclip-vit-simd128-threads.wasm',
  'halfclip-relaxed.wasm',
  'halfclip-simd128.wasm',
  'halfclip-relaxed-threads.wasm',
  'halfclip-simd128-threads.wasm',
  'halfclip-files.wasm',
  'clip-merges.bin',
  'models/halfclip-emoji-image.safetensors',
  'models/halfclip-emoji-text.safetensors',
];

/**
 * The folder that an option `assets` stands for, as a URL that ends with a slash; undefined without the option.
 * @param {string | URL} [assets]
 */
export function assetsFolder(assets) {
  if (assets === undefined) return undefined;
  const { url, path } = locate(assets, 'option assets');
  const href = url ?? getHost().fileUrl(path);
  return href.endsWith('/') ? href : `${href}/`;
}

/**
 * Where to look for each of ASSETS.
 * @param {string} [folder] from assetsFolder
 * @returns {Record<string, string[]>}
 */
export function findAssets(folder) {
  return folder === undefined
    ? getHost().neighbours()
    : Object.fromEntries(ASSETS.map((name) => [name, [folder + name]]));
}

/**
 * What `use` makes of the first place that works.
 * @template T
 * @param {string} name one of ASSETS
 * @param {string[]} places
 * @param {(place: string) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function firstPlace(name, places, use) {
  const failures = [];
  for (const place of places) {
    try {
      return await use(place);
    } catch (error) {
      if (!(error instanceof HalfclipError) || !error.code.startsWith('http/')) throw error;
      failures.push(error);
    }
  }
  throw notThere(name, failures);
}

/**
 * The error for a file of the package that could not be had from any place.
 * @param {string} name
 * @param {HalfclipError[]} failures of the places
 */
export function notThere(name, failures) {
  const mend = isNode
    ? "where a bundler has moved the package's code, the option assets names the folder dist/ of the package, or leave the package out of the bundle"
    : 'copy the folder dist/ of the package to where the page can fetch it over HTTP, and name that place in the option assets';
  if (!failures.length) return new HalfclipError('http/network', `${name}: nothing says where this file is: ${mend}`);
  const [{ code, status }] = failures;
  return new HalfclipError(code, `${failures.map(({ message }) => message).join('; ')}; ${mend}`, {
    status,
    cause: failures[0],
  });
}

/** The answer with the file at a place that can be fetched. */
export async function fetchAsset(place) {
  const response = await request(place, { fetch: globalThis.fetch }); // whose answers compile while they come
  // What servers of single-page applications send in place of anything.
  const isHtml = /^text\/html/i.test(response.headers.get('content-type') ?? '');
  if (response.ok && !isHtml) return response;
  discard(response);
  const { status } = response;
  throw new HalfclipError(
    'http/status',
    `${place}: ${response.ok ? 'an HTML page came' : `HTTP status ${status}`}, expected the file`,
    { status },
  );
}

/** The bytes of the file at a place. */
export async function readPlace(place) {
  return isNode && place.startsWith('file:') ? getHost().readAsset(place) : readBody(await fetchAsset(place), place);
}

/** The bytes of an answer of fetchAsset. */
export async function readBody(response, place) {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new HalfclipError('http/network', `${place}: ${error.message}`, { cause: error });
  }
}

/** Bytes of one of ASSETS. */
export const readAsset = (name, places) => firstPlace(name, places, readPlace);
