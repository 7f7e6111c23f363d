// Arrays of numbers, and text as its bytes. The coders are made when they are used: where this module is loaded, they may not be there yet,
// or never needed.

export const encodeText = (text) => new TextEncoder().encode(text);

export const decodeText = (bytes) => new TextDecoder().decode(bytes);

/**
 * One array of all the parts' numbers.
 * @template {Uint8Array | Int32Array | Float32Array} T
 * @param {T[]} parts
 * @param {new (length: number) => T} [Type]
 */
export function concatenate(parts, Type = Uint8Array) {
  const all = new Type(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
