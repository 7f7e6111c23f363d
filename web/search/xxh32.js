// XXH32 (Collet), which tells whether an entry of an index is as it was written.

const [P1, P2, P3, P4, P5] = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1];

const rotate = (x, n) => (x << n) | (x >>> (32 - n));
const round = (sum, lane) => Math.imul(rotate((sum + Math.imul(lane, P2)) | 0, 13), P1);

/**
 * @param {DataView} view
 * @param {number} begin
 * @param {number} end of the bytes in it
 * @param {number} seed
 * @returns {number} of 32 bits, with a sign
 */
export function xxh32(view, begin, end, seed) {
  let at = begin;
  let hash = (seed + P5) | 0;
  if (end - at >= 16) {
    let a = (seed + P1 + P2) | 0;
    let b = (seed + P2) | 0;
    let c = seed | 0;
    let d = (seed - P1) | 0;
    for (; end - at >= 16; at += 16) {
      a = round(a, view.getInt32(at, true));
      b = round(b, view.getInt32(at + 4, true));
      c = round(c, view.getInt32(at + 8, true));
      d = round(d, view.getInt32(at + 12, true));
    }
    hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  }
  hash = (hash + (end - begin)) | 0;
  for (; end - at >= 4; at += 4) hash = Math.imul(rotate((hash + Math.imul(view.getInt32(at, true), P3)) | 0, 17), P4);
  for (; at < end; at++) hash = Math.imul(rotate((hash + Math.imul(view.getUint8(at), P5)) | 0, 11), P1);
  hash = Math.imul(hash ^ (hash >>> 15), P2);
  hash = Math.imul(hash ^ (hash >>> 13), P3);
  return hash ^ (hash >>> 16);
}

/** The same of all bytes of an array. */
export const hashBytes = (bytes, seed = 0) =>
  xxh32(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength, seed);
