// The worker of a page: a module, or a classic script where a bundler has made one of it. Where files lie is told by
// the page. The page imports this file too, for what both need (bundle.mjs): then nothing happens here.

import { useHost } from '../base/platform.js';
import { serve } from '../worker/serve-encoder.js';

const WORKER_NAME = 'halfclip-worker'; // as in host.js

/** How this worker was started, and so further ones have to be: in a module, importScripts() throws. */
function typeOfThis() {
  try {
    globalThis.importScripts();
    return 'classic';
  } catch {
    return 'module';
  }
}

if (
  typeof DedicatedWorkerGlobalScope === 'function' &&
  globalThis instanceof DedicatedWorkerGlobalScope &&
  globalThis.name === WORKER_NAME
) {
  const place = globalThis.location.href;
  useHost({ workers: () => [{ place, make: () => new Worker(place, { type: typeOfThis(), name: WORKER_NAME }) }] });
  serve({
    listen: (receive) => globalThis.addEventListener('message', ({ data }) => receive(data)),
    postMessage: (message, transfer) => globalThis.postMessage(message, transfer),
    close: () => globalThis.close(),
  });
}
