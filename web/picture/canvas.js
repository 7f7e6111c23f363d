// Canvases, in pages and in workers.

import { HalfclipError, describe, messageOf } from '../base/errors.js';

export function newCanvas(width, height) {
  if (typeof OffscreenCanvas === 'function') return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement('canvas'), { width, height });
}

/**
 * Rejects what can be shown but not read: pictures of other hosts, canvases that they were drawn on, and bitmaps of
 * either; also what is closed.
 */
export function checkReadable(picture, name) {
  const context = newCanvas(1, 1).getContext('2d');
  try {
    context.drawImage(picture, 0, 0);
    context.getImageData(0, 0, 1, 1);
  } catch (error) {
    const problem =
      error.name === 'SecurityError'
        ? "holds a picture of another host, whose pixels a page may only read with that host's consent: " +
          'load it with crossorigin="anonymous" from a host that sends Access-Control-Allow-Origin, and serve a page that was opened as a file'
        : `cannot be read: ${messageOf(error)}`;
    throw new HalfclipError('input/decode', `${name}: ${describe(picture)} ${problem}`, { cause: error });
  }
}
