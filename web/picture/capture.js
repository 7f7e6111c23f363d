// Whatever holds a picture, checked, and made into something that a worker can be sent; picture/read.js reads it there.

import { HalfclipError, describe, messageOf } from '../base/errors.js';
import { getHost, isNode, locate } from '../base/platform.js';
import { arrayTypeOf, bytesOf, hasTag, isBuffer, isPlain } from '../base/realm.js';
import { toBitmap } from './bitmap.js';
import { checkReadable } from './canvas.js';
import { MAX_PIXELS, checkSize } from './size.js';

const isElement = (value) =>
  hasTag(value, 'HTMLImageElement', 'HTMLCanvasElement', 'OffscreenCanvas', 'HTMLVideoElement');
const isFrame = (value) => hasTag(value, 'ImageBitmap', 'VideoFrame');
const isByteArray = (value) => ['Uint8Array', 'Uint8ClampedArray'].includes(arrayTypeOf(value));
const inPlainMemory = (bytes) => (isPlain(bytes.buffer) ? bytes : bytes.slice());

/**
 * Turns what only this thread can read (elements, relative URLs) into something that a worker can be sent, and rejects
 * what is no picture.
 * @param {unknown} source as given to embed()
 * @param {string} name how messages call it
 * @param {{ maxPixels?: number }} [options]
 */
export async function capturePicture(source, name, { maxPixels = MAX_PIXELS } = {}) {
  if (source === '')
    throw new HalfclipError(
      'input/type',
      `${name} is ${describe(source)}, expected a ${isNode ? 'path or URL' : 'URL'}`,
    );
  if (typeof source === 'string' || hasTag(source, 'URL')) return locate(source, name);
  if (hasTag(source, 'Blob', 'File')) return isNode ? getHost().pictureBlob(source) : source;
  if (isNode && (isFrame(source) || isElement(source))) {
    throw new HalfclipError(
      'input/type',
      `${name} is ${describe(source)}, whose pixels only a browser can read: give its URL, its file or { data, width, height }`,
    );
  }
  if (isFrame(source)) {
    checkReadable(source, name);
    return source;
  }
  const bytes = isBuffer(source) || isByteArray(source) ? bytesOf(source) : null;
  if (bytes) return inPlainMemory(bytes);
  if (isElement(source)) return captureElement(source, name, maxPixels);
  const raw = source && typeof source === 'object' ? readRaw(source, name) : null;
  if (raw) return checkRaw(raw, name);
  throw new HalfclipError(
    'input/type',
    `${name} is ${describe(source)}, expected a picture: { data, width, height }, a Blob, a URL, encoded bytes, ` +
      'an ImageBitmap, an image, canvas or video element, a VideoFrame, or a path in Node.js',
  );
}

async function captureElement(element, name, maxPixels) {
  if (hasTag(element, 'HTMLImageElement')) {
    try {
      await element.decode();
    } catch (error) {
      throw new HalfclipError(
        'input/decode',
        `${name}: ${element.currentSrc || 'the image element'} cannot be decoded: ${error.message}`,
        { cause: error },
      );
    }
  }
  if (hasTag(element, 'HTMLVideoElement') && element.readyState < 2) {
    throw new HalfclipError(
      'input/decode',
      `${name}: the video element has no frame yet, expected readyState 2 or more`,
    );
  }
  const width = element.naturalWidth ?? element.videoWidth ?? element.width;
  const height = element.naturalHeight ?? element.videoHeight ?? element.height;
  checkSize(width, height, name, maxPixels);
  checkReadable(element, name);
  return toBitmap(element).catch((error) => {
    throw new HalfclipError('input/decode', `${name}: ${describe(element)} cannot be read: ${error.message}`, {
      cause: error,
    });
  });
}

/** The parts of an ImageData or the like, each read once; null where there are none. */
function readRaw(source, name) {
  try {
    const { data, width, height } = source;
    return data === undefined ? null : { data, width, height };
  } catch (error) {
    throw new HalfclipError('input/type', `${name} is ${describe(source)} that cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** A plain copy of an ImageData or the like, or an error that says what is wrong with it. */
function checkRaw({ data, width, height }, name) {
  const bytes = isByteArray(data) ? bytesOf(data) : null;
  if (!bytes) {
    throw new HalfclipError(
      'input/type',
      `${name}: data is ${describe(data)}, expected a Uint8Array or Uint8ClampedArray of RGB or RGBA bytes`,
    );
  }
  checkSize(width, height, name);
  const channels = data.length / (width * height);
  if (channels !== 3 && channels !== 4) {
    throw new HalfclipError(
      'input/type',
      `${name}: data has ${data.length} bytes, expected ${width} x ${height} x 3 or x 4`,
    );
  }
  return { data: inPlainMemory(bytes), width, height, channels };
}
