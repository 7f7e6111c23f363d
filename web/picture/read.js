// From whatever capturePicture captured to what the tower gets: the pixels that OpenCLIP's own transform makes over
// Pillow. PNG, GIF and BMP files are read in C, the same everywhere; other files by the browser, or by sharp in
// Node.js, as they are stored: no colour conversion, no premultiplied alpha, and turned by no one but C.

import { HalfclipError, messageOf } from '../base/errors.js';
import { getHost, isNode } from '../base/platform.js';
import { hasTag } from '../base/realm.js';
import { tooLarge } from '../network/limits.js';
import { nameOfUrl } from '../network/public-url.js';
import { getBytes } from '../network/small-file.js';
import { readPictureInfo } from '../wasm/interface.js';
import { preprocessBitmap, preprocessDecoded, toBitmap } from './bitmap.js';
import { preprocessFile, preprocessRows } from './rows.js';
import { MAX_PIXELS, checkSize } from './size.js';

/** More bytes than this are large. */
const LARGE = 1 << 20;

/**
 * @param {unknown} source from capturePicture
 * @param {string} name how messages call it, if it has no name of its own
 * @param {object} options
 * @param {import('../wasm/instance.js').Wasm} options.wasm the encoder's
 * @param {() => import('../wasm/instance.js').Wasm} options.apart gives one for what is large: memory never shrinks,
 *   and the encoder's should stay small
 * @param {string} options.config its config as JSON
 * @param {'exif' | 'none'} [options.orientation]
 * @param {number} [options.maxPixels]
 * @param {'exact' | 'fast'} [options.decode]
 * @param {number} options.side of what the tower gets, the longer one
 * @param {AbortSignal} [options.signal]
 * @param {typeof fetch} [options.fetch] with options.retry from completeRetry and options.limits from completeLimits
 * @returns {Promise<Float32Array>} [3, H, W]
 */
export async function readPicture(source, name, options) {
  options = { maxPixels: MAX_PIXELS, ...options, name };
  const asItIs = { ...options, orientation: 1 };
  if (source.data) return preprocessRaw(source, asItIs);
  if (hasTag(source, 'ImageBitmap')) return preprocessBitmap(options.apart(), source, asItIs);
  if (hasTag(source, 'VideoFrame')) {
    const bitmap = await toBitmap(source);
    return preprocessBitmap(options.apart(), bitmap, asItIs).finally(() => bitmap.close());
  }
  const { bytes, name: itsName = name } = await readBytes(source, options);
  return readFile(bytes, { ...options, name: itsName });
}

/** The bytes of a picture's file, and its name. */
export async function fetchPicture(url, options) {
  const name = nameOfUrl(url);
  const bytes = isNode && !options.fetch && getHost().bytesOfDataUrl(url);
  if (!bytes) return { ...(await getBytes(url, options, 'input/size', 'picture')), name };
  if (bytes.length > options.limits.picture) throw tooLarge('input/size', name, 'picture', options.limits.picture);
  return { bytes, name };
}

/** The bytes of a file, and its name where it has one. */
async function readBytes(source, options) {
  if (source.url !== undefined) return fetchPicture(source.url, options);
  if (source.path !== undefined) return { bytes: await getHost().readPicture(source.path), name: source.path };
  if (!hasTag(source, 'Blob', 'File')) return { bytes: source };
  try {
    return { bytes: new Uint8Array(await source.arrayBuffer()), name: source.name };
  } catch (error) {
    throw new HalfclipError(
      'input/decode',
      `${source.name ?? options.name}: the file cannot be read: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

function preprocessRaw(picture, options) {
  const { data, width, height, channels } = picture;
  const row = width * channels;
  const wasm = data.length > LARGE ? options.apart() : options.wasm;
  return preprocessRows(wasm, picture, options, (y, rows, target) => {
    if (data.length !== row * height)
      throw new HalfclipError(
        'input/type',
        `${options.name}: its memory was transferred or resized before it was read`,
      );
    target().set(data.subarray(y * row, (y + rows) * row));
  });
}

async function readFile(bytes, options) {
  const { name, maxPixels } = options;
  const wasm = bytes.length > LARGE ? options.apart() : options.wasm;
  const file = wasm.put(bytes, 'a picture');
  let info;
  try {
    info = readPictureInfo(wasm, file);
    const { format } = info;
    // Pillow always turns TIFF.
    const orientation = options.orientation === 'none' && format !== 'TIFF' ? 1 : info.orientation;
    options = { ...options, format, orientation };
    if (['PNG', 'GIF', 'BMP'].includes(format)) {
      return await preprocessFile(wasm, file, options, (width, height) => checkSize(width, height, name, maxPixels));
    }
  } finally {
    wasm.free(file.pointer);
  }
  checkFile(bytes, info, options);
  options = { ...info, ...options };
  if (!isNode) return preprocessDecoded(options.apart(), unturned(bytes, info), { ...options, opaque: isOpaque(info) });
  const picture = await getHost().decodePicture(bytes, options);
  const { width, height, readRows } = picture;
  checkSize(width, height, name, maxPixels);
  return preprocessRows(width * height > LARGE ? options.apart() : wasm, picture, options, readRows);
}

/** Refuses what the decoders at hand would not take, or take each in its own way. */
function checkFile(bytes, { width, height, channels, ends }, { name, format, maxPixels }) {
  const refuse = (why) => {
    throw new HalfclipError('input/decode', `${name}: ${why}`);
  };
  if (!format)
    refuse(
      `is no picture in a known format: PNG, JPEG, WebP, GIF, BMP, AVIF${isNode ? ', HEIF or TIFF' : ''}${lookalike(bytes)}`,
    );
  if (format === 'SVG')
    refuse(
      'SVG has no pixels of its own, and every program draws it in another size: draw it on a canvas, or save it as PNG',
    );
  if (!isNode && format === 'TIFF') refuse('browsers do not decode TIFF: convert it to PNG or JPEG');
  if (format === 'TIFF' && channels === 1)
    refuse('TIFF with a palette is not read, expected 8 bits of RGB or grey: convert it to PNG');
  if (format === 'JPEG' && width && !ends)
    refuse('cannot be decoded as a picture: the JPEG file is cut off: it has no end marker');
  if (format === 'JPEG' && channels === 4)
    refuse('the JPEG file is in CMYK, from which every decoder makes other colours: convert it to RGB');
  if (width || height) checkSize(width, height, name, maxPixels);
}

const isOpaque = ({ format, channels }) => format === 'JPEG' || (format === 'WebP' && channels === 3);

/** The file without its orientation, which browsers would follow, each in other formats. */
function unturned(bytes, { orientation, orientationAt }) {
  if (orientation === 1 || !orientationAt) return bytes;
  const copy = bytes.slice();
  copy[orientationAt] = 1;
  return copy;
}

/** What a file that is no picture looks like, to end a message with. */
function lookalike(bytes) {
  if (!bytes.length) return '; it is empty';
  const head = String.fromCharCode(...bytes.subarray(0, 100));
  if (/^\s*<(!doctype|html)/i.test(head)) return '; it looks like an HTML page';
  return /^[^]{8}\{"/.test(head) ? '; it looks like a safetensors file' : '';
}
