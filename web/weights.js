// Where weights come from: a URL, a path, a Blob or bytes, each as a source that is read by ranges.
//
// A source has
//   name, size      for messages; in bytes, or undefined
//   peek(n)         its first bytes
//   read(begin, end)
//                   an async iterator over the chunks of bytes [begin, end), which ends early where the file does and may reuse a chunk's memory for the next one
//   fetched         bytes read so far
//   parallel        how many ranges may be read at once
//   forward         whether it is a stream, whose ranges must go forward and whose gaps are read too
//   reopen()        of a stream: the same file by ranges, or null
//   sibling(name)   a file beside it
//   verify()        throws if the file was changed meanwhile; recheck() asks a server once more for that
//   versions        what tells this version of it and of its siblings from others: { url, etag, modified, size } of each, none where nothing does
//   close()

import { HalfclipError, describe } from './errors.js';
import { completeLimits, tooLarge } from './limits.js';
import { importNode, locate } from './platform.js';
import { bytesOf, hasTag } from './realm.js';
import { RemoteFile, concatenate } from './remote-file.js';
import { completeRetry } from './retry.js';

const CHUNK = 1 << 19;
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
  if (weights === undefined || weights === '') throw new HalfclipError('weights/not-found', 'option weights is missing: expected a URL, a path, a Blob or bytes');
  throw new HalfclipError('input/type', `option weights is ${describe(weights)}, expected a URL, a path, a Blob, an ArrayBuffer or a Uint8Array`);
}

/**
 * Opens what describeWeights described, or the first of several such descriptions that there is.
 * @param {{ url?: string, path?: string, blob?: Blob, name?: string, bytes?: Uint8Array, any?: object[], hint?: string }} weights hint: ends the message when
 *   nothing is found
 * @param {{ fetch?: typeof fetch, cache?: RequestCache, signal?: AbortSignal, retry?: object, limits?: object, deadline?: number, whole?: boolean }} options retry,
 *   limits: see index.d.ts; deadline: by performance.now(); whole: everything is going to be read, from front to back
 */
export async function openWeights(weights, options) {
  const retry = completeRetry(options.retry);
  const once = { ...options, retry, limits: completeLimits(options.limits), deadline: options.deadline ?? performance.now() + retry.timeout };
  const missing = [];
  for (const place of weights.any ?? [weights]) {
    try {
      return await openPlace(place, once);
    } catch (error) {
      if (error.code !== 'weights/not-found' && error.status !== 404) throw error;
      missing.push({ place, error });
    }
  }
  const [{ error: cause }] = missing;
  if (weights.any) {
    const names = missing.map(({ place }) => place.url ?? place.path).join(', ');
    throw new HalfclipError('weights/not-found', `there is none of ${names}`, { cause });
  }
  throw weights.hint ? new HalfclipError('weights/not-found', `${cause.message}; ${weights.hint}`, { cause }) : cause;
}

async function openPlace({ url, path, blob, name, bytes }, options) {
  if (path !== undefined) return openFile(path);
  if (url !== undefined) return openUrl(url, options);
  return blob ? new BlobSource(blob, name) : new BytesSource(bytes);
}

/** The bytes of a source's range, in one piece. */
export async function readBytes(source, begin, end) {
  const parts = [];
  for await (const chunk of source.read(begin, end)) parts.push(chunk.slice());
  return concatenate(parts);
}

/**
 * The text of a source that is to be small.
 * @param {object} source
 * @param {string} code of the error where it is not
 * @param {{ json: number }} limits
 */
export async function readText(source, code, { json }) {
  const bytes = await readBytes(source, 0, json + 1);
  if (bytes.length > json) throw tooLarge(code, source.name, 'json', json);
  return new TextDecoder().decode(bytes);
}

class Source {
  parallel = 1;
  forward = false;
  received = 0;

  constructor(name, size) {
    this.name = name;
    this.size = size;
  }

  get fetched() {
    return this.received;
  }

  async peek(n) {
    const before = this.received;
    const head = await readBytes(this, 0, n);
    this.received = before; // they are read again
    return head;
  }

  async sibling(name) {
    throw new HalfclipError('weights/not-found', `${this.name} names the file ${name} beside it, which cannot be found from ${this.name}: give a URL or a path`);
  }

  async verify() {}

  recheck() {
    return this.verify();
  }

  get versions() {
    return [];
  }

  async close() {}
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
      if (this.#bytes.length !== this.size) throw new HalfclipError('weights/changed', `${this.name}: their memory was transferred or resized while they were read`);
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
        throw new HalfclipError('weights/changed', `${this.name}: cannot be read any more, it was changed or removed: ${error.message}`, { cause: error });
      }
      this.received += bytes.byteLength;
      yield new Uint8Array(bytes);
    }
  }
}

class FileSource extends Source {
  #file;
  #path;
  #stat;

  constructor(path, file, stat) {
    super(path, stat.size);
    this.#path = path;
    this.#file = file;
    this.#stat = stat;
  }

  async *read(begin, end) {
    const buffer = new Uint8Array(CHUNK);
    for (let at = begin; at < end; ) {
      const { bytesRead } = await this.#file.read(buffer, 0, Math.min(CHUNK, end - at), at);
      if (!bytesRead) return;
      at += bytesRead;
      this.received += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async sibling(name) {
    const path = await importNode('path');
    const { fileURLToPath } = await importNode('url');
    return openFile(path.join(path.dirname(this.#path.startsWith('file:') ? fileURLToPath(this.#path) : this.#path), name));
  }

  async verify() {
    const { size, mtimeMs } = await this.#file.stat();
    if (size === this.#stat.size && mtimeMs === this.#stat.mtimeMs) return;
    throw new HalfclipError('weights/changed', `${this.#path}: the file changed while it was read`);
  }

  close() {
    return this.#file.close();
  }
}

async function openFile(path) {
  const { open } = await importNode('fs/promises');
  let file;
  try {
    file = await open(path.startsWith('file:') ? new URL(path) : path);
    const stat = await file.stat();
    if (!stat.isFile()) throw new HalfclipError('weights/not-found', `${path}: is not a file`);
    return new FileSource(path, file, stat);
  } catch (error) {
    await file?.close();
    if (error instanceof HalfclipError) throw error;
    throw new HalfclipError('weights/not-found', `${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`, { cause: error });
  }
}

/** A URL whose server sends ranges. */
class UrlSource extends Source {
  parallel = REQUESTS_AT_ONCE;
  #siblings = [];
  #remote;
  #options;

  constructor(remote, options) {
    super(remote.url, remote.size);
    this.#remote = remote;
    this.#options = options;
  }

  get fetched() {
    return this.#remote.fetched;
  }

  get versions() {
    return [{ url: this.#remote.url, ...this.#remote.validator }, ...this.#siblings.flatMap(({ versions }) => versions)];
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

  /** Every answer is compared with the first one: this is for files that belong together, of which one may have changed after it was read. */
  recheck() {
    return this.#remote.recheck();
  }

  /** The same file by ranges, where it came whole only because that was asked for; null where the server sends no less. */
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
