// From whatever holds a picture to its bytes: { data, width, height, channels } with RGB or RGBA bytes, exactly as the file has them: no colour
// conversion, no premultiplied alpha, EXIF orientation applied. Browsers decode with the platform; Node.js with sharp, and PNG files without it.

import { checkReadable, newCanvas } from './canvas.js';
import { HalfclipError, describe, messageOf } from './errors.js';
import { importNode, isNode, locate } from './platform.js';
import { decodePng, isPng } from './png.js';
import { arrayTypeOf, bytesOf, hasTag, isBuffer, isPlain } from './realm.js';
import { getBytes } from './remote-bytes.js';

const MAX_SIDE = 20000;
const AS_STORED = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' };

const isElement = (value) => hasTag(value, 'HTMLImageElement', 'HTMLCanvasElement', 'OffscreenCanvas', 'HTMLVideoElement');
const isFrame = (value) => hasTag(value, 'ImageBitmap', 'VideoFrame');
const isByteArray = (value) => ['Uint8Array', 'Uint8ClampedArray'].includes(arrayTypeOf(value));
const inPlainMemory = (bytes) => (isPlain(bytes.buffer) ? bytes : bytes.slice());
const canDecode = () => !isNode && typeof createImageBitmap === 'function'; // Deno has one that reads little

/**
 * Turns what only this thread can read (elements, relative URLs) into something that a worker can be sent, and rejects what is no picture.
 * @param {unknown} source as given to embed()
 * @param {string} name how messages call it
 */
export async function capturePicture(source, name) {
  if (source === '') throw new HalfclipError('input/type', `${name} is ${describe(source)}, expected a ${isNode ? 'path or URL' : 'URL'}`);
  if (typeof source === 'string' || hasTag(source, 'URL')) return locate(source, name);
  if (hasTag(source, 'Blob', 'File')) return source;
  if (isNode && (isFrame(source) || isElement(source))) {
    throw new HalfclipError('input/type', `${name} is ${describe(source)}, whose pixels only a browser can read: give its URL, its file or { data, width, height }`);
  }
  if (isFrame(source)) {
    checkReadable(source, name);
    return source;
  }
  const bytes = isBuffer(source) || isByteArray(source) ? bytesOf(source) : null;
  if (bytes) return inPlainMemory(bytes);
  if (isElement(source)) return captureElement(source, name);
  const raw = source && typeof source === 'object' ? readRaw(source, name) : null;
  if (raw) return checkRaw(raw, name);
  throw new HalfclipError('input/type', `${name} is ${describe(source)}, expected a picture: { data, width, height }, a Blob, a URL, encoded bytes, ` +
    'an ImageBitmap, an image, canvas or video element, a VideoFrame, or a path in Node.js');
}

async function captureElement(element, name) {
  if (hasTag(element, 'HTMLImageElement')) {
    try {
      await element.decode();
    } catch (error) {
      throw new HalfclipError('input/decode', `${name}: ${element.currentSrc || 'the image element'} cannot be decoded: ${error.message}`, { cause: error });
    }
  }
  if (hasTag(element, 'HTMLVideoElement') && element.readyState < 2) {
    throw new HalfclipError('input/decode', `${name}: the video element has no frame yet, expected readyState 2 or more`);
  }
  const width = element.naturalWidth ?? element.videoWidth ?? element.width;
  const height = element.naturalHeight ?? element.videoHeight ?? element.height;
  checkSize(width, height, name);
  checkReadable(element, name);
  return createImageBitmap(element, AS_STORED).catch((error) => {
    throw new HalfclipError('input/decode', `${name}: ${describe(element)} cannot be read: ${error.message}`, { cause: error });
  });
}

/** The parts of an ImageData or the like, each read once; null where there are none. */
function readRaw(source, name) {
  try {
    const { data, width, height } = source;
    return data === undefined ? null : { data, width, height };
  } catch (error) {
    throw new HalfclipError('input/type', `${name} is ${describe(source)} that cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** A plain copy of an ImageData or the like, or an error that says what is wrong with it. */
function checkRaw({ data, width, height }, name) {
  const bytes = isByteArray(data) ? bytesOf(data) : null;
  if (!bytes) {
    throw new HalfclipError('input/type', `${name}: data is ${describe(data)}, expected a Uint8Array or Uint8ClampedArray of RGB or RGBA bytes`);
  }
  checkSize(width, height, name);
  const channels = data.length / (width * height);
  if (channels !== 3 && channels !== 4) {
    throw new HalfclipError('input/type', `${name}: data has ${data.length} bytes, expected ${width} x ${height} x 3 or x 4`);
  }
  return { data: inPlainMemory(bytes), width, height, channels };
}

function checkSize(width, height, name) {
  const fits = (side) => Number.isInteger(side) && side >= 1 && side <= MAX_SIDE;
  if (!fits(width) || !fits(height)) {
    throw new HalfclipError('input/size', `${name}: ${String(width)} x ${String(height)} pixels, expected 1 to ${MAX_SIDE} a side`);
  }
}

/**
 * Decodes what capturePicture captured.
 * @param {unknown} source
 * @param {string} name how messages call it, if it has no name of its own
 * @param {{ fetch?: typeof fetch, signal?: AbortSignal, retry: object, limits: object }} options retry: from completeRetry; limits: from completeLimits
 * @returns {Promise<{ data: Uint8Array, width: number, height: number, channels: 3 | 4 }>}
 */
export async function decodePicture(source, name, options) {
  if (source.data) return source;
  if (hasTag(source, 'ImageBitmap') || hasTag(source, 'VideoFrame')) return readFrame(source, name);
  if (source.url !== undefined) {
    const { bytes, type } = await getBytes(source.url, options, 'input/size', 'picture');
    return canDecode() ? decodeBlob(new Blob([bytes], { type }), source.url) : decodeBytes(bytes, source.url);
  }
  if (source.path !== undefined) return decodeBytes(await readFile(source.path), source.path);
  if (hasTag(source, 'Blob', 'File')) return decodeBlob(source, source.name ?? name);
  return canDecode() ? decodeBlob(new Blob([source]), name) : decodeBytes(source, name);
}

async function readFile(path) {
  const { readFile } = await importNode('fs/promises');
  try {
    return await readFile(path.startsWith('file:') ? new URL(path) : path);
  } catch (error) {
    throw new HalfclipError('input/decode', `${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`, { cause: error });
  }
}

async function decodeBlob(blob, name) {
  if (!canDecode()) return decodeBytes(new Uint8Array(await blob.arrayBuffer()), name);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, AS_STORED);
  } catch (error) {
    throw undecodable(name, error);
  }
  try {
    return readBitmap(bitmap, name);
  } finally {
    bitmap.close();
  }
}

const undecodable = (name, error) =>
  new HalfclipError('input/decode', `${name}: cannot be decoded as a picture: ${error.message}`, { cause: error });

async function readFrame(frame, name) {
  if (hasTag(frame, 'ImageBitmap')) return readBitmap(frame, name);
  return decodeBlob(frame, name); // createImageBitmap takes a VideoFrame as well
}

function readBitmap(bitmap, name) {
  const { width, height } = bitmap;
  checkSize(width, height, name);
  const context = newCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new HalfclipError('input/decode', `${name}: this browser has no canvas of ${width} x ${height} pixels`);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  context.canvas.width = 0; // gives its memory back now, not when it is collected
  const exact = isOpaque(data) ? data : readUnpremultiplied(bitmap) ?? data;
  return { data: new Uint8Array(exact.buffer, exact.byteOffset, exact.length), width, height, channels: 4 };
}

function isOpaque(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

/**
 * A 2D canvas multiplies colour by alpha and so loses what lies under transparent pixels, which PIL keeps; a WebGL texture does not. Null where there is no
 * WebGL, or not at this size.
 */
function readUnpremultiplied(bitmap) {
  const { width, height } = bitmap;
  const gl = newCanvas(1, 1).getContext('webgl');
  if (!gl) return null;
  try {
    if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
    if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) return null;
    const data = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    return gl.getError() === gl.NO_ERROR ? data : null;
  } finally {
    gl.getExtension('WEBGL_lose_context')?.loseContext();
  }
}

let sharp;

async function decodeBytes(bytes, name) {
  try {
    sharp ??= await importNode('sharp');
  } catch (error) {
    return decodeWithoutSharp(bytes, name, error);
  }
  try {
    const picture = sharp(bytes, { ignoreIcc: true, limitInputPixels: MAX_SIDE * MAX_SIDE }).rotate();
    const { data, info } = await picture.toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
    checkSize(info.width, info.height, name);
    return { data, width: info.width, height: info.height, channels: info.channels };
  } catch (error) {
    throw error instanceof HalfclipError ? error : undecodable(name, error);
  }
}

async function decodeWithoutSharp(bytes, name, cause) {
  if (!isPng(bytes)) {
    const problem = needsSharp(bytes)
      ? 'decoding pictures other than PNG in Node.js needs the package sharp: npm install sharp'
      : `is no picture in a known format: PNG, JPEG, WebP, GIF, AVIF, HEIF, TIFF or SVG${lookalike(bytes)}`;
    throw new HalfclipError('input/decode', `${name}: ${problem}`, { cause });
  }
  try {
    const { data, width, height } = await decodePng(bytes);
    checkSize(width, height, name);
    return { data, width, height, channels: 4 };
  } catch (error) {
    throw error instanceof HalfclipError ? error : undecodable(name, error);
  }
}

const latin1 = (bytes, n) => String.fromCharCode(...bytes.subarray(0, n));

/** Whether a file starts like those that sharp reads. */
const needsSharp = (bytes) =>
  /^(\xff\xd8\xff|RIFF[^]{4}WEBP|GIF8|[^]{4}ftyp(avi|hei|hev|mif|msf)|II\*\0|MM\0\*|(\xef\xbb\xbf)?\s*<(svg|!DOCTYPE svg|(\?xml|!--)[^]*<svg))/.test(latin1(bytes, 1000));

/** What a file that is no picture looks like, to end a message with. */
function lookalike(bytes) {
  const head = latin1(bytes, 100);
  if (/^\s*<(!doctype|html)/i.test(head)) return '; it looks like an HTML page';
  return /^[^]{8}\{"/.test(head) ? '; it looks like a safetensors file' : '';
}
