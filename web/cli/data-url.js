// Pictures that travel inside JSON, as data: URLs.

import { HalfclipError } from '../node/index.js';

const BASE64_URL = /^data:[^,]{0,200};base64,/i;

export const isDataUrl = (text) => /^data:/i.test(text);

/**
 * The bytes of a data: URL in plain base64; anything else is given back as it is. (Node.js's own fetch() takes 200 ms for a
 * megabyte of it.)
 * @param {string} source
 * @returns {string | Uint8Array}
 */
export function bytesOfDataUrl(source) {
  const head = BASE64_URL.exec(source);
  if (!head || source.includes('%')) return source;
  const text = source.slice(head[0].length);
  const bytes = Buffer.from(text, 'base64'); // takes what it can read
  const written = text.replace(/[\s=]+/g, '').length;
  if (bytes.length !== Math.floor((written * 3) / 4) || written % 4 === 1)
    throw new HalfclipError(
      'input/decode',
      `a data: URL whose base64 holds ${bytes.length} bytes, expected ${Math.floor((written * 3) / 4)}: it is damaged`,
    );
  return bytes;
}
