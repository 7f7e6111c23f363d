// Pictures that are in a URL themselves, such as those that travel inside JSON.

import { HalfclipError } from '../base/errors.js';

const BASE64_URL = /^data:[^,]{0,200};base64,/i;

export const isDataUrl = (text) => /^data:/i.test(text);

/**
 * The bytes of a data: URL in plain base64; null for any other, which fetch() takes. (Node.js's takes 200 ms for a
 * megabyte of base64.)
 * @param {string} url
 * @returns {Uint8Array | null}
 */
export function bytesOfDataUrl(url) {
  const [head] = BASE64_URL.exec(url) ?? [];
  if (!head || url.includes('%')) return null;
  const text = url.slice(head.length);
  const bytes = Buffer.from(text, 'base64'); // takes what it can read
  const written = text.replace(/[\s=]+/g, '').length;
  if (bytes.length !== Math.floor((written * 3) / 4) || written % 4 === 1)
    throw new HalfclipError(
      'input/decode',
      `a data: URL whose base64 holds ${bytes.length} bytes, expected ${Math.floor((written * 3) / 4)}: it is damaged`,
    );
  return bytes;
}
