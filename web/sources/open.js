// Where weights come from: a URL, a path, a Blob or bytes, each as a source (source.js).

import { concatenate } from '../base/bytes.js';
import { HalfclipError, describe } from '../base/errors.js';
import { getHost, locate } from '../base/platform.js';
import { bytesOf, hasTag } from '../base/realm.js';
import { notThere } from '../network/assets.js';
import { completeLimits } from '../network/limits.js';
import { RemoteFile } from '../network/remote-file.js';
import { completeRetry } from '../network/retry.js';
import { CHUNK, Source } from './source.js';

const REQUESTS_AT_ONCE = 4;

/**
 * What an option `weights` stands for, as plain data that can be sent to a worker.
 * @returns {{ url: string } | { path: string } | { blob: Blob, name: string } | { bytes: Uint8Array }}
 */
export function describeWeights(weights) {
  if ((typeof weights === 'string' && weights) || hasTag(weights, 'URL')) return locate(weights, 'option weights');
  if (hasTag(weights, 'Blob', 'File')) return { blob: weights, name: weights.name ?? 'the Blob of weights' };
  const bytes = bytesOf(weights);
  if (bytes) return { bytes };
  if (weights === undefined || weights === '')
    throw new HalfclipError('weights/not-found', 'option weights is missing: expected a URL, a path, a Blob or bytes');
  throw new HalfclipError(
    'input/type',
    `option weights is ${describe(weights)}, expected a URL, a path, a Blob, an ArrayBuffer or a Uint8Array`,
  );
}

/**
 * Opens what describeWeights described, or the first of several such descriptions that there is.
 * @param {{ url?: string, path?: string, blob?: Blob, name?: string, bytes?: Uint8Array, any?: object[], hint?: string,
 *   bundled?: string }} weights hint: ends the message when nothing is found; bundled: the name of one of ASSETS
 * @param {{ fetch?: typeof fetch, cache?: RequestCache, signal?: AbortSignal, retry?: object, limits?: object,
 *   deadline?: number, whole?: boolean }} options retry, limits: see index.d.ts; deadline: by performance.now(); whole:
 *   everything is going to be read, from front to back
 */
export async function openWeights(weights, options) {
  const retry = completeRetry(options.retry);
  const once = {
    ...options,
    retry,
    limits: completeLimits(options.limits),
    deadline: options.deadline ?? performance.now() + retry.timeout,
  };
  const missing = [];
  for (const place of weights.any ?? [weights]) {
    try {
      return await openPlace(place, once);
    } catch (error) {
      const isMissing =
        error.code === 'weights/not-found' ||
        error.status === 404 ||
        (weights.bundled && error.code?.startsWith('http/'));
      if (!isMissing) throw error;
      missing.push({ place, error });
    }
  }
  if (weights.bundled)
    throw notThere(
      weights.bundled,
      missing.map(({ error }) => error),
    );
  const [{ error: cause }] = missing;
  if (weights.any) {
    const names = missing.map(({ place }) => place.url ?? place.path).join(', ');
    throw new HalfclipError('weights/not-found', `there is none of ${names}`, { cause });
  }
  throw weights.hint ? new HalfclipError('weights/not-found', `${cause.message}; ${weights.hint}`, { cause }) : cause;
}

async function openPlace({ url, path, blob, name, bytes }, options) {
  if (path !== undefined) return getHost().openFile(path);
  if (url !== undefined) return openUrl(url, options);
  return blob ? new BlobSource(blob, name) : new BytesSource(bytes);
}

class BytesSource extends Source {
  #bytes;

  constructor(bytes) {
    super('the bytes of weights', bytes.length);
    this.#bytes = bytes;
  }

  async *read(begin, end) {
    const last = Math.min(end, this.size);
    for (let at = begin; at < last; at += CHUNK) {
      if (this.#bytes.length !== this.size)
        throw new HalfclipError(
          'weights/changed',
          `${this.name}: their memory was transferred or resized while they were read`,
        );
      const chunk = this.#bytes.subarray(at, Math.min(last, at + CHUNK));
      this.received += chunk.length;
      yield chunk;
    }
  }
}

export class BlobSource extends Source {
  #blob;

  constructor(blob, name) {
    super(name, blob.size);
    this.#blob = blob;
  }

  async *read(begin, end) {
    const last = Math.min(end, this.size);
    for (let at = begin; at < last; at += CHUNK) {
      let bytes;
      try {
        bytes = await this.#blob.slice(at, Math.min(last, at + CHUNK)).arrayBuffer();
      } catch (error) {
        throw new HalfclipError(
          'weights/changed',
          `${this.name}: cannot be read any more, it was changed or removed: ${error.message}`,
          { cause: error },
        );
      }
      this.received += bytes.byteLength;
      yield new Uint8Array(bytes);
    }
  }
}

/** A URL whose server sends ranges. */
class UrlSource extends Source {
  parallel = REQUESTS_AT_ONCE;
  #siblings = [];
  #remote;
  #options;

  constructor(remote, options) {
    super(remote.name, remote.size);
    this.#remote = remote;
    this.#options = options;
  }

  get fetched() {
    return this.#remote.fetched;
  }

  get versions() {
    return [
      { url: this.#remote.url, ...this.#remote.validator },
      ...this.#siblings.flatMap(({ versions }) => versions),
    ];
  }

  read(begin, end) {
    return this.#remote.read(begin, end);
  }

  async measure() {
    this.size = await this.#remote.measure();
  }

  async sibling(name) {
    const { url } = this.#remote;
    let place;
    try {
      place = new URL(name, url);
    } catch {
      return super.sibling(name); // data: and blob: have nothing beside them
    }
    place.search = new URL(url).search; // where that holds a token, it is for the folder
    const source = await openUrl(place.href, this.#options);
    this.#siblings.push(source);
    return source;
  }

  /**
   * Every answer is compared with the first one: this is for files that belong together, of which one may have changed
   * after it was read.
   */
  recheck() {
    return this.#remote.recheck();
  }

  /**
   * The same file by ranges, where it came whole only because that was asked for; null where the server sends no less.
   */
  async reopen() {
    if (!this.#options.whole) return null;
    this.#remote.close();
    return openUrl(this.#remote.url, { ...this.#options, whole: false });
  }

  async close() {
    this.#remote.close();
  }
}

/** A stream of the whole file: what lies before a range is read and dropped. */
class ForwardSource extends Source {
  forward = true;
  #chunks;
  #source;
  #tap;
  #rest = new Uint8Array(0);
  #at = 0; // of #rest in the file

  /**
   * @param {AsyncGenerator<Uint8Array>} chunks
   * @param {object} source what the stream is of
   * @param {(chunk: Uint8Array) => void} [tap] sees every chunk once
   */
  constructor(chunks, source, tap) {
    super(source.name, source.size);
    this.#chunks = chunks;
    this.#source = source;
    this.#tap = tap;
  }

  get versions() {
    return this.#source.versions;
  }

  sibling(name) {
    return this.#source.sibling(name);
  }

  verify() {
    return this.#source.verify();
  }

  recheck() {
    return this.#source.recheck();
  }

  async reopen() {
    return this.#source.reopen?.() ?? null;
  }

  async #next() {
    const { done, value } = await this.#chunks.next();
    if (done) return null;
    this.received += value.length;
    this.#tap?.(value);
    return value;
  }

  async peek(n) {
    const parts = [this.#rest];
    let length = this.#rest.length;
    for (let chunk; length < n && (chunk = await this.#next()); length += chunk.length) parts.push(chunk.slice());
    this.#rest = concatenate(parts);
    return this.#rest.subarray(0, n);
  }

  async *read(begin, end) {
    for (;;) {
      const skip = Math.min(this.#rest.length, Math.max(0, begin - this.#at));
      this.#rest = this.#rest.subarray(skip);
      this.#at += skip;
      if (this.#rest.length) {
        const part = this.#rest.subarray(0, Math.max(0, end - this.#at));
        this.#rest = this.#rest.subarray(part.length);
        this.#at += part.length;
        if (part.length) yield part;
      }
      if (this.#at >= end) return;
      if (this.#rest.length) continue;
      const chunk = await this.#next();
      if (!chunk) return;
      this.#rest = chunk;
    }
  }

  async close() {
    await this.#source.close(); // first, so that nothing waits for the network any more
    await this.#chunks.return();
  }
}

/** The same source, read whole: `tap` sees every byte in order once the reader has read on to `Infinity`. */
export const tapSource = (source, tap) => new ForwardSource(source.read(0, Infinity), source, tap);

async function openUrl(url, options) {
  const remote = await RemoteFile.open(url, options);
  const source = new UrlSource(remote, options);
  return remote.whole ? new ForwardSource(remote.whole, source) : source;
}
