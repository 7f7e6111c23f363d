// When a request that failed is made again: a few times, after growing pauses, and within the caller's limits of time.

import { HalfclipError } from '../base/errors.js';
import { RETRY_OPTIONS, readOptions } from '../base/options.js';
import { nameOfUrl } from './public-url.js';

const LONGEST_PAUSE = 10_000;
const LONGEST_RETRY_AFTER = 60_000;
const LONGEST_TIMER = 0x7fffffff;
const TRANSIENT = new Set([408, 425, 429, 500, 502, 503, 504]);
const DEFAULTS = { attempts: 5, pause: 300, stall: 30_000, timeout: Infinity };

/**
 * What stopped an attempt, where another one may fare better; `after`: milliseconds that the server wants to be left
 * alone.
 */
export class Transient {
  constructor(error, after = 0) {
    this.error = error;
    this.after = after;
  }
}

/**
 * The option `retry`, completed; see index.d.ts.
 * @param {{ attempts?: number, pause?: number, stall?: number, timeout?: number }} [retry]
 */
export const completeRetry = (retry = {}) => ({ ...DEFAULTS, ...readOptions(retry, RETRY_OPTIONS, 'retry') });

/** Whether a status says that the same request may fare better later. */
export const isTransient = (status) => TRANSIENT.has(status);

/**
 * A signal for all the requests for one file: it is aborted with the caller's, and when the file has taken too long.
 * @param {string} url
 * @param {{ signal?: AbortSignal, retry: { timeout: number }, deadline?: number }} options deadline: by
 *   performance.now()
 * @returns {{ signal: AbortSignal, abort(reason: unknown): void, release(): void }} release: lets go of the caller's
 *   signal and of the clock
 */
export function limitTime(url, { signal, retry: { timeout }, deadline = performance.now() + timeout }) {
  const limit = new AbortController();
  const stop = () => limit.abort(signal.reason);
  const expire = () =>
    limit.abort(
      new HalfclipError(
        'http/network',
        `${nameOfUrl(url)}: was not read within ${timeout} ms, the limit of option retry`,
      ),
    );
  const left = deadline - performance.now();
  const timer = left < LONGEST_TIMER ? setTimeout(expire, Math.max(0, left)) : undefined;
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop);
  return {
    signal: limit.signal,
    abort: (reason) => limit.abort(reason),
    release() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    },
  };
}

/**
 * Waits before the next attempt; throws the failure when there should be none.
 * @param {Transient} failure
 * @param {number} failures how many there were in a row
 * @param {{ attempts: number, pause: number }} retry
 * @param {AbortSignal} signal
 */
export async function pauseAfter({ error, after }, failures, { attempts, pause }, signal) {
  if (failures >= attempts) throw error;
  if (after > LONGEST_RETRY_AFTER) throw error;
  // Clients that failed together come back apart.
  const growing = Math.min(LONGEST_PAUSE, pause * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
  await sleep(Math.max(after, growing), signal);
}

/** Milliseconds of a Retry-After header, which holds seconds or a date. */
export function retryAfter(headers) {
  const value = headers.get('retry-after');
  if (!value) return 0;
  const time = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return time > 0 ? time : 0;
}

function sleep(time, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const wake = () => {
      signal.removeEventListener('abort', stop);
      resolve();
    };
    const timer = setTimeout(wake, time);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener('abort', stop, { once: true });
  });
}
