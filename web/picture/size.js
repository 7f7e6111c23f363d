// How large a picture may be.

import { HalfclipError } from '../base/errors.js';

const MAX_SIDE = 20000;

/** As many pixels as the canvases of browsers hold. */
export const MAX_PIXELS = 2 ** 28;

/**
 * @param {number} width
 * @param {number} height
 * @param {string} name how messages call the picture
 * @param {number} [maxPixels]
 */
export function checkSize(width, height, name, maxPixels = Infinity) {
  const fits = (side) => Number.isInteger(side) && side >= 1 && side <= MAX_SIDE;
  if (!fits(width) || !fits(height)) {
    throw new HalfclipError(
      'input/size',
      `${name}: ${String(width)} x ${String(height)} pixels, expected 1 to ${MAX_SIDE} a side`,
    );
  }
  if (width * height > maxPixels) {
    throw new HalfclipError(
      'input/size',
      `${name}: ${width} x ${height} pixels are ${width * height}, expected at most ${maxPixels}: option maxPixels can raise that limit`,
    );
  }
}
