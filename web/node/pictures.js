// Pictures in Node.js: their files, and what sharp, an optional package, decodes: JPEG, WebP, AVIF, HEIF and TIFF.

import { readFile } from 'node:fs/promises';

import { HalfclipError, messageOf } from '../base/errors.js';

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
 * @returns {(bytes: Uint8Array, options: { name: string, format: string }) => Promise<{ data: Uint8Array, width:
 *   number, height: number, channels: 3 | 4 }>} a picture as the file has it: not turned, no colour conversion
 */
export function decoderWith(load) {
  let sharp;
  return async (bytes, { name, format }) => {
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
      const { data, info } = await open().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
      return { data, width: info.width, height: info.height, channels: info.channels };
    } catch (error) {
      if (error instanceof HalfclipError) throw error;
      throw new HalfclipError('input/decode', `${name}: cannot be decoded as a picture: ${messageOf(error)}`, {
        cause: error,
      });
    }
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
