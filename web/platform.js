// The differences between browsers, workers, Node.js, Deno and Bun, in one place.

import { HalfclipError, describe } from './errors.js';

/** A Node-compatible runtime: Node.js, Deno, Bun. */
export const isNode = typeof process === 'object' && Boolean(process.versions?.node) && process.type !== 'renderer';

/** A thread with a document. */
export const isPage = typeof document === 'object' && typeof window === 'object';

/** Loads a module of Node's own. Bundlers leave it alone: no page ever gets here. */
export function importNode(name) {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ `node:${name}`);
}

/**
 * Starts a thread of Node.js.
 * @param {URL} url of its module
 * @param {{ name: string, workerData?: unknown }} options
 */
export async function startNodeThread(url, options) {
  const { Worker: Thread } = await importNode('worker_threads'); // another name, so that bundlers do not take it for a page's
  return new Thread(url, { execArgv: [], ...options }); // flags of the program's own, such as --input-type, are not for a file
}

/** Calls `fail` with whatever has a message when a worker, a page's or a thread of Node.js, breaks; a page's console is not told. */
export function onWorkerError(worker, fail) {
  if (isNode) worker.on('error', fail);
  else {
    worker.onerror = (event) => {
      event.preventDefault();
      fail(event);
    };
  }
}

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
    throw new HalfclipError('input/type', `${name} is ${describe(text)}, expected ${isNode ? 'a path, or ' : ''}a URL with http:, https:, data:, blob: or file:`);
  }
  if (isNode) return /^(https?|data|blob):/i.test(text) ? { url: text } : { path: text };
  try {
    return { url: new URL(text, isPage ? document.baseURI : globalThis.location?.href).href };
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
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel(); // unlike setTimeout, never delayed
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
