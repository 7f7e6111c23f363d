// Text and its bytes. The coders are made when they are used: where this module is loaded, they may not be there yet,
// or never needed.

export const encodeText = (text) => new TextEncoder().encode(text);

export const decodeText = (bytes) => new TextDecoder().decode(bytes);

/** One array of all the parts' bytes. */
export function concatenate(parts) {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
