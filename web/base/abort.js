// How a caller's AbortSignal ends what runs here.

import { breathe } from './platform.js';

/** The same promise, but rejected with the signal's reason as soon as it is aborted. */
export function untilAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Waits until a promise has settled either way, but not for longer than so many milliseconds. */
export function untilSettled(promise, milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    promise
      .catch(() => {})
      .then(() => {
        clearTimeout(timer);
        resolve();
      });
  });
}

const AWHILE = 20; // milliseconds of work between looks at the signal

/**
 * A function to call in long loops: every now and then it lets other work of this thread happen, and throws once the
 * signal is aborted.
 * @param {AbortSignal | undefined} signal
 * @returns {() => Promise<void>}
 */
export function pausing(signal) {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < AWHILE) return;
    await breathe();
    last = performance.now();
    signal?.throwIfAborted();
  };
}

/**
 * Does `work` under a signal of its own, which is aborted with the caller's: that one may be of another realm, whose
 * signals fetch() and others do not take, and its reason may be anything, also null. Rejects with the caller's reason,
 * as fetch() does.
 * @template T
 * @param {AbortSignal | null | undefined} signal the caller's
 * @param {(signal: AbortSignal, stop: (error: unknown) => void) => Promise<T>} work stop: aborts with an error of the
 *   caller's, such as one that a callback throws
 * @returns {Promise<T>}
 */
export async function underSignal(signal, work) {
  const own = new AbortController();
  let failure = null;
  const stop = (error) => {
    failure ??= { error };
    own.abort();
  };
  const abort = () =>
    stop(signal.reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : signal.reason);
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  try {
    own.signal.throwIfAborted();
    return await work(own.signal, stop);
  } catch (error) {
    throw failure ? failure.error : error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
