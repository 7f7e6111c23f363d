// What the package uses of the web's classes, from Node.js's own modules: test environments such as jsdom put others
// into their place, or none, and fake timers that nobody turns on. esbuild puts these in for the global names
// (build.mk).

import util from 'node:util';

export { Blob, File, atob, btoa } from 'node:buffer';
export { webcrypto as crypto } from 'node:crypto';
export { performance } from 'node:perf_hooks';
export { ReadableStream } from 'node:stream/web';
export { clearTimeout, setImmediate, setTimeout } from 'node:timers';
export { URL } from 'node:url';
export { TextDecoder, TextEncoder } from 'node:util';
export { MessageChannel } from 'node:worker_threads';

/** No module gives the class itself, whose signals alone Node.js's fetch() takes. */
export const AbortController = util.transferableAbortController?.().constructor ?? globalThis.AbortController;
