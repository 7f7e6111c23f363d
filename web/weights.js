// Where weights come from: a URL, a path, a Blob or bytes, each as a source that is read once, from front to back.
//
// A source has: `name`, for messages; `size` in bytes, or undefined; `exact`, whether the size can be relied on; `forward`, whether gaps are read too;
// `fetched`, the bytes read so far; `read(begin, end)`, an async iterator over the chunks of bytes [begin, end), which ends early where the file does, may
// reuse a chunk's memory for the next one, and is called with ranges that go forward; `close()`.

import { HalfclipError, describe } from './errors.js';
import { bodyChunks, get } from './http.js';
import { importNode, locate } from './platform.js';

const CHUNK = 1 << 19;

/**
 * What an option `weights` stands for, as plain data that can be sent to a worker.
 * @returns {{ url: string } | { path: string } | { blob: Blob, name: string } | { bytes: Uint8Array }}
 */
export function describeWeights(weights) {
  if (typeof weights === 'string' && weights) return locate(weights);
  if (weights instanceof URL) return locate(weights);
  if (typeof Blob === 'function' && weights instanceof Blob) return { blob: weights, name: weights.name ?? 'the Blob of weights' };
  if (weights instanceof ArrayBuffer) return { bytes: new Uint8Array(weights) };
  if (ArrayBuffer.isView(weights)) return { bytes: new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength) };
  if (weights === undefined || weights === '') throw new HalfclipError('weights/not-found', 'option weights is missing: expected a URL, a path, a Blob or bytes');
  throw new HalfclipError('input/type', `option weights is ${describe(weights)}, expected a URL, a path, a Blob, an ArrayBuffer or a Uint8Array`);
}

/**
 * Opens what describeWeights described.
 * @param {{ fetch?: typeof fetch, cache?: RequestCache, signal?: AbortSignal }} options
 */
export async function openWeights(weights, options) {
  if (weights.path !== undefined) return openFile(weights.path);
  if (weights.url !== undefined) return openUrl(weights.url, options);
  if (weights.blob) return blobSource(weights.blob, weights.name);
  return bytesSource(weights.bytes);
}

function bytesSource(bytes) {
  return {
    name: 'the bytes of weights',
    size: bytes.length,
    exact: true,
    fetched: 0,
    async *read(begin, end) {
      for (let at = begin; at < Math.min(end, bytes.length); at += CHUNK) {
        const chunk = bytes.subarray(at, Math.min(end, at + CHUNK));
        this.fetched += chunk.length;
        yield chunk;
      }
    },
    async close() {},
  };
}

async function openFile(path) {
  const { open } = await importNode('fs/promises');
  let file;
  let size;
  try {
    file = await open(path.startsWith('file:') ? new URL(path) : path);
    const stat = await file.stat();
    if (!stat.isFile()) throw new HalfclipError('weights/not-found', `${path}: is not a file`);
    size = stat.size;
  } catch (error) {
    await file?.close();
    if (error instanceof HalfclipError) throw error;
    throw new HalfclipError('weights/not-found', `${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`, { cause: error });
  }
  return {
    name: path,
    size,
    exact: true,
    fetched: 0,
    async *read(begin, end) {
      const buffer = new Uint8Array(CHUNK);
      for (let at = begin; at < end; ) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, end - at), at);
        if (!bytesRead) return;
        at += bytesRead;
        this.fetched += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    },
    close: () => file.close(),
  };
}

function blobSource(blob, name) {
  return {
    name,
    size: blob.size,
    exact: true,
    fetched: 0,
    async *read(begin, end) {
      const last = Math.min(end, blob.size);
      for (let at = begin; at < last; at += CHUNK) {
        let bytes;
        try {
          bytes = await blob.slice(at, Math.min(last, at + CHUNK)).arrayBuffer();
        } catch (error) {
          throw new HalfclipError('weights/not-found', `${name}: cannot be read: ${error.message}`, { cause: error });
        }
        this.fetched += bytes.byteLength;
        yield new Uint8Array(bytes);
      }
    },
    async close() {},
  };
}

async function openUrl(url, options) {
  const response = await get(url, options);
  const length = Number(response.headers.get('content-length') ?? NaN);
  // Content-Length counts compressed bytes, and across origins Content-Encoding cannot be seen.
  const encoded = response.headers.get('content-encoding');
  const size = Number.isSafeInteger(length) && (!encoded || encoded === 'identity') ? length : undefined;
  return forwardSource(bodyChunks(response, url, options.signal), { name: url, size, exact: size !== undefined && response.type !== 'cors' });
}

/**
 * A source over a stream of the whole file: what lies before a range is read and dropped.
 * @param {AsyncGenerator<Uint8Array>} chunks
 * @param {(chunk: Uint8Array) => void} [tap] sees every chunk once
 */
function forwardSource(chunks, { name, size, exact }, tap) {
  let rest = new Uint8Array(0);
  let at = 0; // of `rest` in the file
  return {
    name,
    size,
    exact,
    forward: true,
    fetched: 0,
    async *read(begin, end) {
      for (;;) {
        if (at + rest.length > begin && rest.length) {
          const from = Math.max(0, begin - at);
          const to = Math.min(rest.length, end - at);
          const part = rest.subarray(from, to);
          rest = rest.subarray(to);
          at += to;
          yield part;
        } else {
          at += rest.length;
          rest = rest.subarray(rest.length);
        }
        if (at >= end) return;
        if (rest.length) continue;
        const { done, value } = await chunks.next();
        if (done) return;
        this.fetched += value.length;
        tap?.(value);
        rest = value;
      }
    },
    async close() {
      await chunks.return();
    },
  };
}

/** The same source, which its owner still closes, read whole: `tap` sees every byte in order once the reader has read on to `Infinity`. */
export function tapSource(source, tap) {
  return forwardSource(source.read(0, Infinity), source, tap);
}
