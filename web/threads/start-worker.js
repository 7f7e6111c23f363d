// Starting a worker: a page's, or a thread of Node.js. Its file may have to be looked for in more than one place.

import { HalfclipError } from '../base/errors.js';
import { getHost, isNode } from '../base/platform.js';

/**
 * What a worker says, and how it breaks; a page's console is not told.
 * @param {Worker | import('node:worker_threads').Worker} worker
 * @param {(data: unknown) => void} onMessage
 * @param {(error: { message?: string }) => void} onError
 */
export function listenTo(worker, onMessage, onError) {
  if (isNode) {
    worker.on('message', onMessage);
    worker.on('error', onError);
    return;
  }
  worker.addEventListener('message', ({ data }) => onMessage(data));
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    onError(event);
  });
}

/**
 * A worker (page/worker.js, node/worker.js) that runs, from the first place where there is one.
 * @param {string} [assets] from assetsFolder
 * @param {AbortSignal} [signal]
 */
export async function startWorker(assets, signal) {
  const failures = [];
  for (const { place, make } of getHost().workers(assets)) {
    let worker;
    let stop;
    try {
      worker = make();
      await new Promise((resolve, reject) => {
        stop = () => reject(signal.reason);
        signal?.addEventListener('abort', stop);
        listenTo(worker, resolve, reject);
      });
      return worker;
    } catch (error) {
      worker?.terminate();
      signal?.throwIfAborted();
      failures.push(`${place}${error?.message ? ` (${error.message})` : ''}`);
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }
  if (!failures.length)
    throw new HalfclipError('input/type', 'there are no workers here: option worker has to be false');
  throw new HalfclipError(
    'http/network',
    `the worker could not be started from ${failures.join(', nor from ')}: the file has to be there, of the page's own origin, and ` +
      "allowed by worker-src in its Content-Security-Policy; the option assets says where the package's files are",
  );
}
