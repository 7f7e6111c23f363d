// Pictures in Node.js: their files, and what sharp, an optional package, decodes: JPEG, WebP, AVIF, HEIF and TIFF.

import { readFile } from 'node:fs/promises';

import { HalfclipError, messageOf } from '../base/errors.js';

/** How far from the middle's edge a filter may reach, in pixels of the resized picture, and some more. */
const REACH = 6;

/** The bytes of a picture's file. */
export async function readPicture(path) {
  try {
    return await readFile(path.startsWith('file:') ? new URL(path) : path);
  } catch (error) {
    throw new HalfclipError(
      'input/decode',
      `${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
      { cause: error },
    );
  }
}

/**
 * @param {(name: string) => unknown} load an optional package
 * @returns {(bytes: Uint8Array, options: { name: string, format: string, width: number, height: number, config: string,
 *   side: number, decode?: 'exact' | 'fast' }) => Promise<{ width: number, height: number, channels: 3 | 4, readRows: Function }>} a picture as the file has
 *   it, not turned, no colour conversion; width and height: as the file's header says, or 0; readRows: as
 *   preprocessRows takes it
 */
export function decoderWith(load) {
  let sharp;
  return async (bytes, options) => {
    const { name, format } = options;
    try {
      sharp ??= load('sharp');
    } catch (error) {
      throw new HalfclipError(
        'input/decode',
        `${name}: decoding ${format} in Node.js needs the package sharp: npm install sharp`,
        { cause: error },
      );
    }
    // What decoders only warn of, Pillow and browsers read.
    const open = () => sharp(bytes, { ignoreIcc: true, limitInputPixels: false, failOn: 'truncated' });
    try {
      if (format === 'TIFF') checkTiff(await open().metadata(), name);
      const small = smallerSize(options);
      const part = small ? null : neededPart(options);
      const picture = small ? open().resize({ ...small, fit: 'fill' }) : part ? open().extract(part) : open();
      const { data, info } = await picture.toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
      const { channels } = info;
      const { width, height } = part ? options : info;
      return { width, height, channels, readRows: rowsOf(data, info, channels, part ?? { left: 0, top: 0 }, width) };
    } catch (error) {
      if (error instanceof HalfclipError) throw error;
      throw new HalfclipError('input/decode', `${name}: cannot be decoded as a picture: ${messageOf(error)}`, {
        cause: error,
      });
    }
  };
}

/**
 * With `decode: 'fast'`, twice the size to which C would resize the picture, so that it becomes the same one; null
 * where sharp would not get there by decoding less: it shrinks by 2 what is to become a third, by 4 what is to become a
 * fifth, and so on.
 */
function smallerSize({ decode, format, width, height, side }) {
  const shorter = Math.min(width, height);
  if (decode !== 'fast' || !['JPEG', 'WebP'].includes(format) || shorter < 3 * 2 * side) return null;
  const twice = (pixels) => 2 * Math.floor((side * pixels) / shorter);
  return { width: twice(width), height: twice(height) };
}

/**
 * What is needed of a long picture whose middle is cut out, and some more: a large one that is whole costs as much time
 * in memory as in the decoder. It reaches to the lower end, so that what is wrong there is seen; null: all of it.
 */
function neededPart({ format, width, height, config }) {
  const { model_cfg, preprocess_cfg, ...model } = JSON.parse(config);
  const vision = (model_cfg ?? model).vision_cfg;
  const [down, across = down] = [(vision ? vision.image_size : preprocess_cfg?.size) ?? 224].flat();
  const isCut = (preprocess_cfg?.resize_mode || 'shortest') === 'shortest' && across === down;
  if (!isCut || width === height || !['JPEG', 'WebP'].includes(format)) return null;
  const side = Math.min(width, height);
  const margin = Math.ceil(REACH * (side / across + 1));
  const left = Math.max(0, ((width - side) >> 1) - margin);
  const top = Math.max(0, ((height - side) >> 1) - margin);
  return left || top ? { left, top, width: width - 2 * left, height: height - top } : null;
}

/** What copies decoded rows to where they belong in rows of the whole width. */
function rowsOf(data, { width: columns }, channels, { left, top }, width) {
  return (y, rows, target) => {
    const whole = target();
    const length = columns * channels;
    if (columns === width) {
      const from = Math.max(y, top);
      if (from < y + rows)
        whole.set(data.subarray((from - top) * length, (y + rows - top) * length), (from - y) * length);
      return;
    }
    for (let row = y; row < y + rows; row++)
      whole.set(data.subarray((row - top) * length, (row - top + 1) * length), ((row - y) * width + left) * channels);
  };
}

/** Of TIFF's many kinds those that are resized as they look: Pillow resizes bits otherwise, and clips large numbers. */
function checkTiff({ space, depth, bitsPerSample = 8 }, name) {
  if (depth !== 'uchar' || bitsPerSample !== 8 || !['srgb', 'b-w'].includes(space)) {
    throw new HalfclipError(
      'input/decode',
      `${name}: TIFF with ${bitsPerSample} bits of ${space} is not read, expected 8 bits of RGB or grey: convert it to PNG`,
    );
  }
}
