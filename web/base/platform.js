// The differences between browsers, workers, Node.js, Deno and Bun, in one place.
//
// What differs most is a host: page/host.js, node/host.js, or the few lines of page/worker.js. The entry of each bundle
// says which one it is, and so no page downloads what only Node.js can do. A host has
//   neighbours()        { name: [URL, …] } for each file that lies beside the module: the places to look for it, the
//                       likeliest first
//   workers(assets)     [{ place, make() }]: the ways to start a worker
// and that of Node.js also what its file says.

import { HalfclipError, describe, messageOf } from './errors.js';

/**
 * A Node-compatible runtime: Node.js, Deno, Bun; not an Electron renderer, nor Cloudflare's workers with their copy of
 * `process`.
 */
export const isNode =
  typeof process === 'object' &&
  Boolean(process.versions?.node) &&
  process.type !== 'renderer' &&
  globalThis.navigator?.userAgent !== 'Cloudflare-Workers';

/** A thread with a document. */
export const isPage = !isNode && typeof document === 'object' && typeof window === 'object';

/** What is in modules that are imported when they are needed, once they were: there, or beforehand by the caller. */
export const imported = {};

/**
 * Such a module, while it is imported.
 * @param {Promise<T>} module
 * @param {string} advice what to do where it cannot be
 * @returns {Promise<T>}
 * @template T
 */
export const arriving = (module, advice) =>
  module.catch((error) => {
    throw new HalfclipError('http/network', `a module cannot be imported: ${messageOf(error)}; ${advice}`, {
      cause: error,
    });
  });

let host;

/** Says what this runs in: a host, or a function that gives it when it is first needed. */
export function useHost(given) {
  host = given;
}

export function getHost() {
  if (typeof host === 'function') host = host();
  return host;
}

/** What a relative URL is relative to. */
const base = () => (isPage ? document.baseURI : globalThis.location?.href);

/**
 * What a string or URL stands for: a URL (relative to the document in a page), or a path in Node.js.
 * @param {string | URL} place
 * @param {string} name how messages call it
 * @returns {{ url: string } | { path: string }}
 */
export function locate(place, name) {
  const text = String(place);
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(text)?.[1].toLowerCase();
  const known = !isNode || !scheme || ['http', 'https', 'data', 'blob', 'file'].includes(scheme);
  if (!known || (/^https?$/.test(scheme) && !isUrl(text))) {
    throw new HalfclipError(
      'input/type',
      `${name} is ${describe(text)}, expected ${isNode ? 'a path, or ' : ''}a URL with http:, https:, data:, blob: or file:`,
    );
  }
  if (isNode) return /^(https?|data|blob):/i.test(text) ? { url: text } : { path: text };
  try {
    return { url: new URL(text, base()).href };
  } catch {
    return { url: text }; // fetch says what is wrong with it
  }
}

/** URL.canParse(), which older browsers lack. */
function isUrl(text) {
  try {
    return Boolean(new URL(text));
  } catch {
    return false;
  }
}

/** Lets other work of this thread happen: messages, signals, painting. */
export function breathe() {
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve));
  if (typeof MessageChannel !== 'function') return new Promise((resolve) => setTimeout(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel(); // unlike setTimeout, never delayed
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
