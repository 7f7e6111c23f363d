// What the platform decodes, read tile by tile: canvases have limits, and beyond them are black without a word.

import { HalfclipError, messageOf } from '../base/errors.js';
import { newCanvas } from './canvas.js';
import { preprocessRows } from './rows.js';
import { checkSize } from './size.js';

/** As the file has it: no colour conversion, no premultiplied alpha. */
const AS_STORED = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' };

const TILE_WIDTH = 4096;

/** @param {ImageBitmapSource} source */
export function toBitmap(source, ...box) {
  return createImageBitmap(source, ...box, AS_STORED);
}

/** A canvas that is known to work, or an error. */
function workingCanvas(width, height, name) {
  const context = newCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context?.fillRect(width - 1, height - 1, 1, 1);
  if (context?.getImageData(width - 1, height - 1, 1, 1).data[3] !== 255) {
    throw new HalfclipError(
      'memory/exhausted',
      `${name}: this browser has no canvas of ${width} x ${height} pixels for it`,
    );
  }
  return context;
}

function isOpaque(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

/**
 * What a bitmap becomes for the tower.
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {ImageBitmap} bitmap
 * @param {object} options as those of preprocessRows
 * @param {string} options.name how messages call it
 * @param {number} options.maxPixels
 * @param {boolean} [options.opaque] it cannot have transparent pixels
 * @returns {Promise<Float32Array>}
 */
export async function preprocessBitmap(wasm, bitmap, options) {
  const { name, maxPixels, opaque } = options;
  const { width, height } = bitmap;
  checkSize(width, height, name, maxPixels);
  let context;
  let colours; // reads what a canvas cannot
  try {
    return await preprocessRows(wasm, { width, height, channels: 4 }, options, async (y, rows, target) => {
      context ??= workingCanvas(Math.min(width, TILE_WIDTH), rows, name);
      for (let x = 0; x < width; x += TILE_WIDTH) {
        const columns = Math.min(TILE_WIDTH, width - x);
        context.clearRect(0, 0, columns, rows);
        context.drawImage(bitmap, x, y, columns, rows, 0, 0, columns, rows);
        let { data } = context.getImageData(0, 0, columns, rows);
        if (!isOpaque(data)) {
          if (opaque)
            throw new HalfclipError(
              'memory/exhausted',
              `${name}: this browser cannot draw the picture of ${width} x ${height} pixels`,
            );
          colours ??= new Texture();
          data = (await colours.read(bitmap, x, y, columns, rows)) ?? data;
        }
        copyTile(data, columns, target(), x, width);
      }
    });
  } finally {
    colours?.close();
    if (context) context.canvas.width = 0; // gives its memory back now, not when it is collected
  }
}

/** Puts a tile into rows of the whole width. */
function copyTile(tile, columns, target, x, width) {
  for (let at = 0, to = 4 * x; at < tile.length; at += 4 * columns, to += 4 * width)
    target.set(tile.subarray(at, at + 4 * columns), to);
}

/**
 * A 2D canvas multiplies colour by alpha and so loses what lies under transparent pixels, which PIL keeps; a WebGL
 * texture does not. Reads nothing where there is no WebGL, or not at a tile's size.
 */
class Texture {
  #gl = newCanvas(1, 1).getContext('webgl');

  async read(bitmap, x, y, width, height) {
    const gl = this.#gl;
    if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
    const tile = await toBitmap(bitmap, x, y, width, height);
    const texture = gl.createTexture();
    const framebuffer = gl.createFramebuffer();
    try {
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, tile);
      gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
      const data = new Uint8Array(width * height * 4);
      gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
      return gl.getError() === gl.NO_ERROR ? data : null;
    } finally {
      gl.deleteFramebuffer(framebuffer);
      gl.deleteTexture(texture);
      tile.close();
    }
  }

  close() {
    this.#gl?.getExtension('WEBGL_lose_context')?.loseContext();
  }
}

/** What frames of a JPEG file are that C makes pixels of: HC_HALVES_NONE, HC_HALVES_WIDTH and HC_HALVES_BOTH. */
const LAYOUTS = ['I444', 'I422', 'I420'];

/** Of these the one that a frame is of, or -1. Narrow ones are left to the platform: see src/picture/planes.h. */
function layoutOf({ format, colorSpace, visibleRect }) {
  const isOfJpeg = colorSpace?.matrix === 'smpte170m' && colorSpace.fullRange;
  return isOfJpeg && visibleRect.width > 4 ? LAYOUTS.indexOf(format) : -1;
}

/**
 * A JPEG file as a frame, with `decode: 'fast'` by eighths that leave its shorter side twice what is needed; null where
 * the platform makes no frames of it.
 */
async function decodeFrame(bytes, { format, width, height, side, decode }) {
  if (format !== 'JPEG' || !globalThis.ImageDecoder) return null;
  const part = decode === 'fast' ? Math.min(1, Math.ceil((16 * side) / Math.min(width, height)) / 8) : 1;
  const decoder = new ImageDecoder({
    ...AS_STORED,
    data: bytes,
    type: 'image/jpeg',
    desiredWidth: width * part + 1, // what it makes may be smaller, and never larger
    desiredHeight: height * part + 1,
  });
  try {
    return (await decoder.decode()).image;
  } catch {
    return null;
  } finally {
    decoder.close();
  }
}

/** The same as preprocessBitmap of a frame that is of one of LAYOUTS. */
async function preprocessPlanes(wasm, frame, layout, options) {
  const { width, height } = frame.visibleRect;
  checkSize(width, height, options.name, options.maxPixels);
  const size = frame.allocationSize();
  const sums = wasm.alloc(4 * width + 64 + size + 16, 'a picture'); // as planes.h says
  const planes = sums + 4 * width + 64;
  try {
    const copy = new Uint8Array(size); // WebAssembly's memory may grow, and so go, before it is filled
    await frame.copyTo(copy);
    wasm.bytes(planes, size).set(copy);
    return await preprocessRows(wasm, { width, height, channels: 4 }, options, (y, rows, target) =>
      wasm.exports.hc_planes_rows(planes, width, height, layout, y, rows, sums, target().byteOffset),
    );
  } finally {
    wasm.free(sums);
  }
}

/** The same of a file that the platform decodes. */
export async function preprocessDecoded(wasm, bytes, options) {
  const frame = await decodeFrame(bytes, options);
  let bitmap;
  try {
    const layout = frame ? layoutOf(frame) : -1;
    if (layout >= 0) return await preprocessPlanes(wasm, frame, layout, options);
    // Other frames than of red, green and blue have pixels that are not libjpeg's.
    const isGood = frame && (options.decode === 'fast' || /^(RGB|BGR)/.test(frame.format));
    bitmap = await toBitmap(isGood ? frame : new Blob([bytes])).catch((error) => {
      throw new HalfclipError('input/decode', `${options.name}: cannot be decoded as a picture: ${messageOf(error)}`, {
        cause: error,
      });
    });
    return await preprocessBitmap(wasm, bitmap, options);
  } finally {
    frame?.close();
    bitmap?.close();
  }
}
