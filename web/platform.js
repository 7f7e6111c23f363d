// The differences between browsers, workers, Node.js, Deno and Bun, in one place.

/** A Node-compatible runtime: Node.js, Deno, Bun. */
export const isNode = typeof process === 'object' && Boolean(process.versions?.node) && process.type !== 'renderer';

/** A thread with a document. */
export const isPage = typeof document === 'object' && typeof window === 'object';

/** Loads a module of Node's own. Bundlers leave it alone: no page ever gets here. */
export function importNode(name) {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ `node:${name}`);
}

/**
 * What a string or URL stands for: a URL (relative to the document in a page), or a path in Node.js.
 * @param {string | URL} place
 * @returns {{ url: string } | { path: string }}
 */
export function locate(place) {
  const text = String(place);
  if (isNode) return /^(https?|data|blob):/i.test(text) ? { url: text } : { path: text };
  try {
    return { url: new URL(text, isPage ? document.baseURI : globalThis.location?.href).href };
  } catch {
    return { url: text }; // fetch says what is wrong with it
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
