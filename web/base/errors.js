// The one class of error that halfclip raises itself, how it crosses between a worker and its page, and words for its
// messages.

import { hasTag, isBuffer, isDetached } from './realm.js';

const BRAND = Symbol.for('halfclip.HalfclipError');

/**
 * A failure with a stable code, for example `weights/mismatch`. The message names the file, the tensor or the option,
 * what was found and what was expected.
 */
export class HalfclipError extends Error {
  static {
    Object.defineProperty(this, 'name', { value: 'HalfclipError' }); // whatever a minifier calls it
  }

  /**
   * Of whichever copy of this module an error comes: the package has one for `import`, one for `require`, and programs
   * may hold several versions.
   */
  static [Symbol.hasInstance](value) {
    if (this !== HalfclipError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === 'object' && value !== null && BRAND in value;
  }

  /**
   * @param {string} code
   * @param {string} message
   * @param {{ cause?: unknown, status?: number }} [details] `status`: the HTTP status of `http/status`
   */
  constructor(code, message, { cause, status } = {}) {
    super(printable(String(message ?? '')), cause === undefined ? undefined : { cause });
    this.name = 'HalfclipError';
    this.code = code;
    if (status !== undefined) this.status = status;
  }

  get [BRAND]() {
    return true;
  }
}

/**
 * A text without what would be a command to a terminal, or turn what stands around it: strangers' names and headers are
 * in it.
 */
export const printable = (text) =>
  text.replace(
    /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** An error as plain data that every structured clone keeps. */
export function packError(error) {
  const halfclip = error instanceof HalfclipError;
  const { name, stack } = isError(error) ? error : new Error();
  const { code, status, directory } = halfclip ? error : {};
  return {
    name: String(name),
    message: messageOf(error),
    stack: String(stack),
    ...(halfclip && { code, status, directory }),
  };
}

/** The error that packError packed. */
export function unpackError({ name, message, stack, code, status, directory }) {
  if (code) return Object.assign(new HalfclipError(code, message, { status }), directory && { directory });
  return Object.assign(new Error(message), { name, stack });
}

const isError = (value) => hasTag(value, 'Error', 'DOMException');

/** What whatever was thrown has to say. */
export function messageOf(thrown) {
  try {
    return String(isError(thrown) ? thrown.message : thrown);
  } catch {
    return 'no reason given';
  }
}

/** Whether, after this error of one input, whatever comes next would fail as well. */
export const isFatal = (error) =>
  !(error instanceof HalfclipError) || error.code === 'state/disposed' || error.code.startsWith('model/');

/** Names what was given in place of something else, for messages. */
export function describe(value) {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string')
    return `the string ${JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}…` : value)}`;
  if (typeof value === 'number' || typeof value === 'boolean') return `the ${typeof value} ${value}`;
  if (typeof value !== 'object') return `a ${typeof value}`;
  try {
    return describeObject(value);
  } catch {
    return 'an object'; // a revoked proxy, for example
  }
}

function describeObject(value) {
  const { name } = value.constructor ?? {};
  if (typeof name !== 'string' || !name || name === 'Object') return 'an object';
  const isView = ArrayBuffer.isView(value);
  if (isView || isBuffer(value)) {
    if (isDetached(isView ? value.buffer : value)) return `a detached ${name} (its memory was transferred elsewhere)`;
  }
  const length = isView || Array.isArray(value) ? ` of length ${value.length ?? value.byteLength}` : '';
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}${length}`;
}
