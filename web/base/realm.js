// What a value is, whichever realm made it: objects of an iframe, of Node's `vm` or of jsdom are no instances of this
// realm's classes.

/** What `look` finds out, or undefined where looking throws, as at a revoked proxy. */
export function attempt(look) {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/** The name that a class of the platform gives its objects, such as "Blob". */
const tagOf = (value) => attempt(() => Object.prototype.toString.call(value).slice(8, -1));

/** As Array.isArray(). */
export const isArray = (value) => attempt(() => Array.isArray(value)) === true;

/** Whether a value is an object of a class of the platform, by the class's name. */
export const hasTag = (value, ...tags) => value !== null && typeof value === 'object' && tags.includes(tagOf(value));

const { get: typedArrayName } = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
);

/** "Uint8Array", "Float32Array", …; undefined for whatever is no typed array. A Buffer of Node's is a "Uint8Array". */
export const arrayTypeOf = (value) => typedArrayName.call(value);

/** Whether a value is an ArrayBuffer or a SharedArrayBuffer. */
export const isBuffer = (value) => hasTag(value, 'ArrayBuffer', 'SharedArrayBuffer');

/** Whether the memory of a buffer is gone, because it was transferred elsewhere. */
export const isDetached = (buffer) => !attempt(() => new Uint8Array(buffer));

/** Whether the memory of a buffer is its own and stays as large as it is, which much of the platform insists on. */
export const isPlain = (buffer) => hasTag(buffer, 'ArrayBuffer') && !buffer.resizable;

/** The bytes that a buffer or a view holds, in place; null for whatever is neither, and where the memory is gone. */
export function bytesOf(value) {
  const isView = ArrayBuffer.isView(value);
  if ((!isView && !isBuffer(value)) || isDetached(isView ? value.buffer : value)) return null;
  return isView ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);
}

/**
 * The same data, arrays and all, of this realm's classes: what a thread of Node.js sends to a `vm` context, as test
 * runners make them, is of another.
 */
export function inThisRealm(data) {
  if (Array.isArray(data)) return Array.from(data, inThisRealm);
  const Type = { Float32Array, Int32Array }[arrayTypeOf(data)];
  if (!Type) return data && typeof data === 'object' ? { ...data } : data;
  return data instanceof Type ? data : new Type(data.buffer, data.byteOffset, data.length);
}
