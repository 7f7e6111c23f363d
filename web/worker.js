// The worker of a page, in one piece: a module or a classic script, as the bundler that moved it liked it. Where files lie is told by the page.

import { useHost } from './platform.js';
import { serve } from './serve-worker.js';

/** How this worker was started, and so further ones have to be: in a module, importScripts() throws. */
function typeOfThis() {
  try {
    globalThis.importScripts();
    return 'classic';
  } catch {
    return 'module';
  }
}

const place = globalThis.location.href;
useHost({ workers: () => [{ place, make: () => new Worker(place, { type: typeOfThis(), name: 'halfclip-thread' }) }] });

serve({
  listen: (receive) => globalThis.addEventListener('message', ({ data }) => receive(data)),
  postMessage: (message, transfer) => globalThis.postMessage(message, transfer),
  close: () => globalThis.close(),
});
