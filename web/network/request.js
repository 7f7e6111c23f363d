// One request, with failures as HalfclipErrors.

import { HalfclipError, describe, messageOf } from '../base/errors.js';
import { getHost, isNode } from '../base/platform.js';
import { arrayTypeOf, attempt } from '../base/realm.js';
import { nameOfUrl } from './public-url.js';

const LONGEST_TIMER = 0x7fffffff;
const BLOCK = 1 << 20; // bytes of a body at once
// Bytes; a body that takes longer than `stall` for them counts as silent, or it could go on for ever.
const TRICKLE = 1 << 12;

/** What is to be done when a response is done with. */
const releases = new WeakMap();

/**
 * @param {string} url
 * @param {{ method?: string, headers?: Record<string, string>, fetch?: typeof fetch, cache?: RequestCache, signal?:
 *   AbortSignal, stall?: number }} options stall: milliseconds to wait for the first byte
 * @returns {Promise<Response>} with any status
 */
export async function request(
  url,
  { method = 'GET', headers, fetch: given, cache = 'default', signal, stall = Infinity },
) {
  signal?.throwIfAborted();
  const fetch = given ?? ((isNode && getHost().fetchOver?.(url)) || globalThis.fetch);
  if (typeof fetch !== 'function')
    throw new HalfclipError(
      'http/network',
      `${url}: there is no fetch() here: give one with option fetch, or bytes in place of a URL`,
    );
  const limit = new AbortController();
  const stop = () => limit.abort(signal.reason);
  signal?.addEventListener('abort', stop);
  const init = { signal: limit.signal };
  if (method !== 'GET') init.method = method;
  if (headers) init.headers = headers;
  if (cache !== 'default') init.cache = cache;
  const release = () => signal?.removeEventListener('abort', stop);
  let pending = true;
  const answer = (async () => fetch(url, init))().finally(() => (pending = false));
  try {
    const response = checkResponse(await patiently(answer, url, { signal, stall }), url);
    if (/^https:/i.test(url) && /^http:/i.test(response.url)) {
      throw new HalfclipError(
        'http/network',
        `${nameOfUrl(url)}: was redirected to ${nameOfUrl(response.url)}, expected a redirection to an encrypted connection`,
      );
    }
    releases.set(response, release);
    return response;
  } catch (error) {
    release();
    if (pending) limit.abort(error); // of one that has failed, Node.js would throw this where nobody can catch it
    answer.then((late) => late.body?.cancel()).catch(() => {});
    throw error;
  }
}

const pick = ({ status, headers, body, bodyUsed }) => ({ status, headers, body, bodyUsed });

/** A fetch of the caller's own may give anything. */
export function checkResponse(response, url) {
  const wrong = (what) =>
    new HalfclipError('input/type', `${nameOfUrl(url)}: option fetch gave ${what}, expected a Response`);
  const { status, headers, body, bodyUsed } = attempt(() => response && pick(response)) ?? {};
  if (typeof status !== 'number' || typeof headers?.get !== 'function') throw wrong(describe(response));
  if (body && typeof body.getReader !== 'function')
    throw wrong(`a Response whose body is ${describe(body)} and no ReadableStream`);
  if (bodyUsed || body?.locked) throw wrong('a Response whose body is read already');
  return response;
}

/** The same for a piece of its body. */
export function checkChunk(chunk, url) {
  if (arrayTypeOf(chunk) === 'Uint8Array') return chunk;
  throw new HalfclipError('input/type', `${nameOfUrl(url)}: its body gives ${describe(chunk)}, expected a Uint8Array`);
}

/** Ends a response whose body nobody reads. */
export function discard(response) {
  response.body?.cancel().catch(() => {});
  releases.get(response)?.();
}

export function statusError(url, { status, statusText }) {
  const hint = status === 401 || status === 403 ? '; where it needs a token, give one with option fetch' : '';
  return new HalfclipError(
    'http/status',
    `${nameOfUrl(url)}: HTTP status ${status}${statusText && ` ${statusText}`}, expected 200 or 206${hint}`,
    { status },
  );
}

/**
 * Reads a body into one buffer again and again, where that is possible: in Chromium, making a new one for each chunk
 * takes a quarter of the time. Node.js makes them in any case, and would copy.
 */
function openReader(body) {
  try {
    if (isNode) return body.getReader();
    const reader = body.getReader({ mode: 'byob' });
    let buffer = new ArrayBuffer(BLOCK);
    return {
      cancel: (reason) => reader.cancel(reason),
      async read() {
        const { done, value } = await reader.read(new Uint8Array(buffer));
        if (value) buffer = value.buffer;
        return { done, value };
      },
    };
  } catch {
    return body.getReader(); // of a fetch of the caller's own, or an older browser's
  }
}

/**
 * The chunks of a response's body, each valid until the next one is asked for. Leaving the loop early cancels the rest.
 * @param {{ signal?: AbortSignal, stall?: number, wrap?: (error: unknown) => unknown }} options stall: milliseconds to
 *   wait for each 4 KiB; wrap: makes what is thrown of what went wrong
 */
export async function* bodyChunks(response, url, { signal, stall = Infinity, wrap = (error) => error }) {
  if (!response.body) {
    discard(response);
    return;
  }
  const reader = openReader(response.body);
  let failure = null;
  // Cancelling ends a read that waits, even where a fetch of the caller's own does not heed the signal.
  const fail = (error) => {
    failure ??= { error };
    clearTimeout(timer);
    reader.cancel(error).catch(() => {});
  };
  const abort = () => fail(signal.reason);
  // One timer for many chunks: there are thousands.
  let timer;
  let asked = Infinity; // when the chunk that is waited for was asked for
  let waited = 0; // milliseconds, for `came` bytes
  let came = 0;
  const watch = () => {
    const left = asked + stall - waited - performance.now();
    timer = undefined;
    if (left <= 0)
      fail(
        new HalfclipError(
          'http/network',
          `${nameOfUrl(url)}: ${came ? `only ${came}` : 'no'} byte${came > 1 ? 's' : ''} came for ${stall} ms`,
        ),
      );
    else if (left < Infinity) timer = setTimeout(watch, left);
  };
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  let done = false;
  try {
    for (;;) {
      asked = performance.now();
      if (stall < LONGEST_TIMER) timer ??= setTimeout(watch, stall - waited);
      const chunk = await reader.read();
      if (failure) break;
      done = chunk.done;
      if (done) return;
      checkChunk(chunk.value, url);
      waited += performance.now() - asked;
      came += chunk.value.length;
      if (came >= TRICKLE) waited = came = 0;
      asked = Infinity;
      yield chunk.value;
    }
  } catch (error) {
    failure ??= { error: networkError(url, error, signal) };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    if (!done) reader.cancel().catch(() => {});
    releases.get(response)?.();
  }
  throw wrap(failure.error);
}

/**
 * The same promise, but rejected as soon as `signal` is aborted or `stall` milliseconds have passed: a fetch of the
 * caller's own may not heed a signal.
 */
function patiently(promise, url, { signal, stall = Infinity }) {
  return new Promise((resolve, reject) => {
    const settle = (how, value) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      how(value);
    };
    const abort = () => settle(reject, signal.reason);
    const expire = () =>
      settle(reject, new HalfclipError('http/network', `${nameOfUrl(url)}: no byte came for ${stall} ms`));
    const timer = stall < LONGEST_TIMER ? setTimeout(expire, stall) : undefined;
    promise.then(
      (value) => settle(resolve, value),
      (error) => settle(reject, networkError(url, error, signal)),
    );
    signal?.addEventListener('abort', abort);
    if (signal?.aborted) abort();
  });
}

export function networkError(url, error, signal) {
  if (signal?.aborted) return signal.reason;
  if (error instanceof HalfclipError) return error;
  const detail = messageOf(error?.cause?.message ? error.cause : error);
  const mend =
    /^file:/i.test(url) && !isNode
      ? '; a page cannot fetch files: serve the folder over HTTP, or give bytes (in the options weights and wasm, or as the picture)'
      : '';
  return new HalfclipError('http/network', `${nameOfUrl(url)}: ${detail}${mend}`, { cause: error });
}
