// Tokens of single bytes, for what a vocabulary has no other token for: <0x00> to <0xFF>, as sentencepiece calls them.

import { encodeText } from '../base/bytes.js';

/**
 * Their ids, -1 where one is missing.
 * @param {import('./token-table.js').TokenTable} tokens
 */
export function byteTokens(tokens) {
  const nameOf = (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
  return Array.from({ length: 256 }, (_, byte) => tokens.find(nameOf(byte)));
}

/** The ids of a text's bytes; null where not all of them have a token, or there are none. */
export function idsOfBytes(bytes, text) {
  const ids = bytes && Array.from(encodeText(text), (byte) => bytes[byte]);
  return ids?.every((id) => id >= 0) ? ids : null;
}
