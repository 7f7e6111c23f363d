// A small file behind a URL, such as a picture, in memory: all of it, from its first byte, in each attempt.

import { concatenate } from '../base/bytes.js';
import { tooLarge } from './limits.js';
import { nameOfUrl } from './public-url.js';
import { bodyChunks, discard, request, statusError } from './request.js';
import { Transient, isTransient, limitTime, pauseAfter, retryAfter } from './retry.js';

/**
 * @param {string} url
 * @param {{ fetch?: typeof fetch, signal?: AbortSignal, retry: object, limits: object }} options retry: from
 *   completeRetry; limits: from completeLimits
 * @param {string} code of the error where the file is too large
 * @param {'picture' | 'json'} kind
 * @returns {Promise<{ bytes: Uint8Array, type: string }>} type: what its server calls it
 */
export async function getBytes(url, options, code, kind) {
  const { fetch, retry, limits } = options;
  const time = limitTime(url, options);
  const { signal } = time;
  const attempt = async () => {
    const response = await request(url, { fetch, signal, stall: retry.stall }).catch((error) => {
      throw new Transient(error);
    });
    if (!response.ok) {
      discard(response);
      const error = statusError(url, response);
      throw isTransient(response.status) ? new Transient(error, retryAfter(response.headers)) : error;
    }
    const parts = [];
    let length = 0;
    for await (const chunk of bodyChunks(response, url, {
      signal,
      stall: retry.stall,
      wrap: (error) => new Transient(error),
    })) {
      length += chunk.length;
      if (length > limits[kind]) throw tooLarge(code, nameOfUrl(url), kind, limits[kind]);
      parts.push(chunk.slice());
    }
    return { bytes: concatenate(parts), type: response.headers.get('content-type') ?? '' };
  };
  try {
    for (let failures = 1; ; failures++) {
      try {
        return await attempt();
      } catch (failure) {
        signal.throwIfAborted();
        if (!(failure instanceof Transient)) throw failure;
        await pauseAfter(failure, failures, retry, signal);
      }
    }
  } finally {
    time.release();
  }
}
