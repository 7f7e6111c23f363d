// A video in a file: behind a URL, in a Blob or in bytes, in Node.js also at a path. In pages the library mediabunny
// reads it, which the caller gives; in Node.js ffmpeg.

import { HalfclipError, describe } from '../base/errors.js';
import { getHost, isNode, locate } from '../base/platform.js';
import { bytesOf, hasTag } from '../base/realm.js';
import { openWeights } from '../sources/open.js';
import { openWithMediabunny } from './mediabunny.js';

/**
 * @param {unknown} source
 * @param {{ name: string, mediabunny?: object, fetch?: typeof fetch, retry?: object, limits?: object }} options
 * @param {AbortSignal} signal
 * @returns {Promise<import('./frames.js').Video>}
 */
export async function openFile(source, { name, mediabunny, ...network }, signal) {
  const place = placeOf(source, name);
  if (isNode && place.blob) place.blob = await getHost().ownBlob(place.blob);
  const openPlace = () => openByRanges(place, { ...network, signal });
  if (isNode) return getHost().openVideo(place, openPlace, signal);
  if (mediabunny) return openWithMediabunny(mediabunny, await openPlace(), signal);
  throw new HalfclipError(
    'input/decode',
    `${place.name ?? name}: decoding video files in a page needs the package mediabunny: npm install mediabunny, ` +
      "import * as mediabunny from 'mediabunny', and option mediabunny of loadVideoEncoder()",
  );
}

/** What a source is, as openWeights takes it; `name`: for messages. */
function placeOf(source, name) {
  if ((typeof source === 'string' && source) || hasTag(source, 'URL')) {
    const place = locate(source, name);
    return { ...place, name: place.path };
  }
  if (hasTag(source, 'Blob', 'File')) return { blob: source, name: source.name ?? name };
  const bytes = bytesOf(source);
  if (bytes) return { bytes, name };
  throw new HalfclipError(
    'input/type',
    `${name} is ${describe(source)}, expected a video: { frames }, a URL, a Blob, encoded bytes, a video element, or a ` +
      'path in Node.js',
  );
}

/** A source of web/sources that reads any range, under the video's own name. */
async function openByRanges(place, options) {
  let source;
  try {
    source = await openWeights(place, options);
  } catch (error) {
    if (error.code !== 'weights/not-found') throw error;
    throw new HalfclipError('input/decode', error.message, { cause: error });
  }
  if (source.forward) {
    await source.close();
    throw new HalfclipError(
      'input/decode',
      `${source.name}: its server sends no ranges, which a video is read by: give its bytes or a Blob`,
    );
  }
  if (place.name !== undefined) source.name = place.name;
  return source;
}
