// One GET, with failures as HalfclipErrors.

import { HalfclipError } from './errors.js';

/**
 * @param {string} url
 * @param {{ fetch?: typeof fetch, cache?: RequestCache, signal?: AbortSignal }} options
 * @returns {Promise<Response>} with a status of success
 */
export async function get(url, { fetch = globalThis.fetch, cache = 'default', signal } = {}) {
  const init = cache === 'default' ? { signal } : { cache, signal };
  let response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    throw networkError(url, error, signal);
  }
  if (!response.ok) {
    response.body?.cancel().catch(() => {});
    throw new HalfclipError('http/status', `${url}: HTTP status ${response.status}${response.statusText && ` ${response.statusText}`}, expected 200`,
      { status: response.status });
  }
  return response;
}

/** The chunks of a response's body. Leaving the loop early cancels the rest. */
export async function* bodyChunks(response, url, signal) {
  if (!response.body) return;
  const reader = response.body.getReader();
  const cancel = () => reader.cancel().catch(() => {});
  let done = false;
  signal?.addEventListener('abort', cancel); // a fetch of the caller's own may not heed the signal
  try {
    for (;;) {
      let chunk;
      try {
        chunk = await reader.read();
      } catch (error) {
        done = true;
        throw networkError(url, error, signal);
      }
      done = chunk.done;
      if (done) return;
      yield chunk.value;
    }
  } finally {
    signal?.removeEventListener('abort', cancel);
    if (!done) cancel();
  }
}

function networkError(url, error, signal) {
  if (signal?.aborted) return signal.reason;
  if (error instanceof HalfclipError) return error;
  const detail = error?.cause?.message || error?.message || String(error);
  return new HalfclipError('http/network', `${url}: ${detail}`, { cause: error });
}
