// Where weights come from: a URL, a path, a Blob or bytes, each as a source (source.js).

import { HalfclipError, describe } from '../base/errors.js';
import { getHost, locate } from '../base/platform.js';
import { bytesOf, hasTag } from '../base/realm.js';
import { notThere } from '../network/assets.js';
import { completeLimits } from '../network/limits.js';
import { completeRetry } from '../network/retry.js';
import { BlobSource, BytesSource } from './in-memory.js';
import { readText } from './source.js';
import { openUrl } from './url-source.js';

/**
 * What an option `weights` stands for, as plain data that can be sent to a worker.
 * @returns {{ url: string } | { path: string } | { blob: Blob, name: string } | { bytes: Uint8Array }}
 */
export function describeWeights(weights) {
  if ((typeof weights === 'string' && weights) || hasTag(weights, 'URL')) return locate(weights, 'option weights');
  if (hasTag(weights, 'Blob', 'File')) return { blob: weights, name: weights.name ?? 'the Blob of weights' };
  const bytes = bytesOf(weights);
  if (bytes) return { bytes };
  if (weights === undefined || weights === '')
    throw new HalfclipError('weights/not-found', 'option weights is missing: expected a URL, a path, a Blob or bytes');
  throw new HalfclipError(
    'input/type',
    `option weights is ${describe(weights)}, expected a URL, a path, a Blob, an ArrayBuffer or a Uint8Array`,
  );
}

/**
 * Opens what describeWeights described, or the first of several such descriptions that there is.
 * @param {{ url?: string, path?: string, blob?: Blob, name?: string, bytes?: Uint8Array, any?: object[], hint?: string,
 *   bundled?: string }} weights hint: ends the message when nothing is found; bundled: the name of one of ASSETS
 * @param {{ fetch?: typeof fetch, cache?: RequestCache, signal?: AbortSignal, retry?: object, limits?: object,
 *   deadline?: number, whole?: boolean }} options retry, limits: see index.d.ts; deadline: by performance.now(); whole:
 *   everything is going to be read, from front to back
 */
export async function openWeights(weights, options) {
  const retry = completeRetry(options.retry);
  const once = {
    ...options,
    retry,
    limits: completeLimits(options.limits),
    deadline: options.deadline ?? performance.now() + retry.timeout,
  };
  const missing = [];
  for (const place of weights.any ?? [weights]) {
    try {
      return await openPlace(place, once);
    } catch (error) {
      const isMissing =
        error.code === 'weights/not-found' ||
        error.status === 404 ||
        (weights.bundled && error.code?.startsWith('http/'));
      if (!isMissing) throw error;
      missing.push({ place, error });
    }
  }
  if (weights.bundled)
    throw notThere(
      weights.bundled,
      missing.map(({ error }) => error),
    );
  const [{ error: cause }] = missing;
  if (weights.any) {
    const names = missing.map(({ place }) => place.url ?? place.path).join(', ');
    throw new HalfclipError('weights/not-found', `there is none of ${names}`, { cause });
  }
  throw weights.hint ? new HalfclipError('weights/not-found', `${cause.message}; ${weights.hint}`, { cause }) : cause;
}

async function openPlace({ url, path, blob, name, bytes }, options) {
  if (path !== undefined) return getHost().openFile(path);
  if (url !== undefined) return openUrl(url, options);
  return blob ? new BlobSource(blob, name) : new BytesSource(bytes);
}

/**
 * The text of a file that is to be small, and how messages call the file; null if there is none.
 * @param {object} place as for openWeights
 * @param {string} code of the error where it is not small
 * @param {object} options of openWeights
 * @param {'json' | 'tokenizer'} [kind] which of the limits
 * @returns {Promise<{ text: string, name: string } | null>}
 */
export async function readTextIfThere(place, code, options, kind) {
  let source;
  try {
    source = await openWeights(place, options);
  } catch (error) {
    if (error.code === 'weights/not-found' || error.status === 404) return null;
    throw error;
  }
  try {
    return { text: await readText(source, code, completeLimits(options.limits), kind), name: source.name };
  } finally {
    await source.close();
  }
}
