// A caller's own `fetch`, used from inside the worker: a function cannot be sent there, so requests and bodies go
// through a MessagePort, chunk by chunk and only as fast as the worker takes them.
//
//   worker → caller   { id, url, init } | { id, pull: true } | { id, cancel: true }
//   caller → worker   { id, status, statusText, headers, url, type } | { id, chunk } | { id, end: true } | { id,
//                     failure }

import { packError, unpackError } from '../base/errors.js';
import { checkChunk, checkResponse, networkError } from '../network/request.js';

/**
 * Answers the requests that arrive at `port` with `fetch`.
 * @returns {() => void} ends that, and what is under way
 */
export function serveFetch(port, fetch) {
  const open = new Map();

  async function start({ id, url, init }) {
    const abort = new AbortController();
    const request = { url, cancel: () => abort.abort() };
    open.set(id, request);
    const response = checkResponse(await fetch(url, { ...init, signal: abort.signal }), url);
    request.reader = response.body?.getReader();
    request.cancel = () => {
      abort.abort();
      request.reader?.cancel().catch(() => {}); // a fetch of the caller's own may not heed the signal
    };
    const { status, statusText, type } = response;
    port.postMessage({ id, status, statusText, type, headers: [...response.headers] });
  }

  async function pull({ id }) {
    const { url, reader } = open.get(id) ?? {};
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) open.delete(id);
    port.postMessage(done ? { id, end: true } : { id, chunk: checkChunk(value, url) });
  }

  port.onmessage = async ({ data }) => {
    try {
      if (data.cancel) {
        open.get(data.id)?.cancel();
        open.delete(data.id);
      } else if (data.pull) await pull(data);
      else await start(data);
    } catch (error) {
      const { url } = open.get(data.id) ?? data;
      open.delete(data.id);
      port.postMessage({ id: data.id, failure: packError(networkError(url, error)) });
    }
  };
  port.unref?.();
  return () => {
    port.close();
    for (const { cancel } of open.values()) cancel();
  };
}

/** A `fetch` whose requests are answered at the other end of `port`. */
export function remoteFetch(port) {
  let lastId = 0;
  const waiting = new Map();
  port.onmessage = ({ data }) => {
    const { resolve, reject } = waiting.get(data.id) ?? {};
    waiting.delete(data.id);
    if (data.failure) reject?.(unpackError(data.failure));
    else resolve?.(data);
  };
  const ask = (message) =>
    new Promise((resolve, reject) => {
      waiting.set(message.id, { resolve, reject });
      port.postMessage(message);
    });

  return async (url, { signal, ...init } = {}) => {
    signal?.throwIfAborted();
    const id = ++lastId;
    const cancel = () => {
      port.postMessage({ id, cancel: true });
      waiting.get(id)?.reject(signal.reason);
      waiting.delete(id);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    const { status, statusText, headers, type } = await ask({ id, url: String(url), init });
    const body = new ReadableStream(
      {
        async pull(controller) {
          const { chunk } = await ask({ id, pull: true });
          if (chunk) controller.enqueue(chunk);
          else controller.close();
        },
        cancel,
      },
      { highWaterMark: 0 },
    );
    const empty = [101, 204, 205, 304].includes(status);
    const response = new Response(empty ? null : body, { status, statusText, headers });
    Object.defineProperty(response, 'type', { value: type });
    return response;
  };
}
