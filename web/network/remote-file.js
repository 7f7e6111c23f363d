// A file behind a URL, read by byte ranges. Bytes arrive in order and whole, however often a connection breaks and
// whatever the server makes of Range, or an error says why not; bytes of two versions of the file are never mixed.
// After RFC 9110, sections 13 to 15.
//
// Every request asks the URL that was given, not the one it was redirected to: signed addresses expire, and credentials
// of the first host are none of the second one's business.

import { concatenate } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { isNode } from '../base/platform.js';
import { tooLarge } from './limits.js';
import { nameOfUrl } from './public-url.js';
import { bodyChunks, discard, request, statusError } from './request.js';
import { Transient, isTransient, limitTime, pauseAfter, retryAfter } from './retry.js';

// The first request asks for this much: the header of a checkpoint of a thousand tensors has 130 KB.
const HEAD = 1 << 18;

// A transfer that comes in pieces works as long as this many new bytes arrive by as many requests as may fail, and not
// too many old ones with them.
const PROGRESS = 1 << 16;
const WORTH = 1 / 16;

export class RemoteFile {
  /** In bytes; undefined where the server does not say. */
  size;
  /**
   * Where the file comes in one piece, as asked or because the server does not send ranges: the iterator over its
   * chunks, else null.
   */
  whole = null;
  /** Bytes that came, and requests made. */
  fetched = 0;
  requests = 0;

  #options;
  #time; // from limitTime
  #signal;
  #seen = null; // { etag, modified } of the first answer
  #plain = false; // the server does not understand Range, so that it is not sent
  #head = new Uint8Array(0);
  #part; // from the option, as long as it is of use

  /**
   * @param {string} url
   * @param {{ fetch?: typeof fetch, cache?: RequestCache, signal?: AbortSignal, retry: object, limits: object,
   *   deadline?: number, whole?: boolean, part?: (url: string) => Promise<object> }} options retry: from completeRetry;
   *   limits: from completeLimits; deadline: when to give up, by performance.now(); whole: everything is going to be
   *   read; part: what came of it before, see cache/part.js
   * @returns {Promise<RemoteFile>} of which the first bytes have come
   */
  static async open(url, options) {
    const part = await options.part?.(url);
    const file = new RemoteFile(url, part?.hasBegun ? { ...options, whole: false } : options);
    file.#part = part;
    try {
      await file.#begin();
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  constructor(url, options) {
    this.url = url;
    this.name = nameOfUrl(url);
    this.#plain = isNode && /^blob:/i.test(url); // of which Node.js 20 leaves out the last byte of a range
    this.#options = options;
    this.#time = limitTime(url, options);
    this.#signal = this.#time.signal;
  }

  /** What tells this version of the file from others. */
  get validator() {
    return { ...this.#seen, size: this.size };
  }

  /** Ends everything that is under way. */
  close() {
    this.#time.release();
    this.#time.abort(new HalfclipError('http/network', `${this.name}: was closed`));
  }

  /**
   * The chunks of bytes [begin, end), which end early where the file does; each is valid until the next one is asked
   * for.
   */
  read(begin, end) {
    return begin < this.#head.length ? this.#readHead(begin, end) : this.#readRest(begin, end);
  }

  async *#readHead(begin, end) {
    const known = this.#head.length;
    yield this.#head.subarray(begin, Math.min(end, known));
    yield* this.#readRest(known, end);
  }

  #readRest(begin, end) {
    const last = Math.min(end, this.size ?? Infinity);
    const receive = (from, to) => this.#stream(from, to);
    return this.#part ? this.#part.read(begin, last, receive) : receive(begin, last);
  }

  /** Asks once more, to see that the file is still the same. */
  async recheck() {
    for await (const _ of this.#stream(0, 1)) break;
  }

  /** Asks for the size where no answer has told it. */
  async measure() {
    if (this.size === undefined) {
      const { fetch, cache, retry } = this.#options;
      this.requests++;
      // Means nothing here, but keeps the length that of the file and not of a compressed form.
      const headers = { range: 'bytes=0-' };
      const response = await request(this.url, {
        method: 'HEAD',
        headers,
        fetch,
        cache,
        signal: this.#signal,
        stall: retry.stall,
      });
      discard(response);
      if (response.ok) this.size = contentLength(response);
    }
    return this.size;
  }

  async #begin() {
    const chunks = this.#stream(0, this.#options.whole ? Infinity : HEAD);
    const { value } = await chunks.next();
    const parts = value ? [value.slice()] : [];
    const { etag, modified } = this.#seen ?? {};
    const validator = etag || modified;
    if (!validator) this.#part = null;
    await this.#part?.match(validator, this.size);
    if (!this.whole) {
      for await (const chunk of chunks) parts.push(chunk.slice());
      this.#head = concatenate(parts);
      return;
    }
    const all = (async function* () {
      yield* parts;
      yield* chunks;
    })();
    this.whole = this.#part ? this.#part.keep(0, all) : all;
  }

  /** Bytes [begin, end), with all the requests that they take; all of the file from a server that sends no less. */
  async *#stream(begin, end) {
    const { retry, limits } = this.#options;
    let at = begin;
    let failures = 0; // in a row
    let reached = begin; // when the row began
    let came = 0; // since then
    while (at < end) {
      let failure;
      let broken = true;
      try {
        const answer = await this.#ask(at, end);
        if (this.whole) end = Infinity;
        let position = answer.begin;
        for await (const chunk of answer.chunks) {
          const from = Math.max(0, at - position);
          const to = Math.min(chunk.length, Math.min(end, answer.end) - position);
          position += chunk.length;
          came += chunk.length;
          this.fetched += chunk.length;
          if (this.fetched > limits.weights) throw tooLarge('weights/format', this.name, 'weights', limits.weights);
          if (to > from) {
            at = position - chunk.length + to;
            yield chunk.subarray(from, to);
          }
          if (position >= Math.min(end, answer.end)) break; // what is sent beyond is not asked for
        }
        const promised = Math.min(answer.end, this.size ?? Infinity);
        if (at < Math.min(end, promised) && promised < Infinity)
          throw new Transient(this.#broken(`the transfer ended at byte ${position} of ${promised}`));
        if (answer.end === Infinity && at < end) this.size = at; // nothing but the end of the body has told
        if (at >= Math.min(end, this.size ?? Infinity)) return;
        broken = false;
        failure = new Transient(
          this.#broken(
            `the server sent no more than ${position - answer.begin} bytes at a time, ${retry.attempts} times in a row`,
          ),
        );
      } catch (error) {
        if (!(error instanceof Transient)) throw error;
        failure = error;
      }
      if (at - reached >= Math.max(PROGRESS, came * WORTH)) {
        failures = 0;
        reached = at;
        came = 0;
        if (!broken) continue;
      }
      await pauseAfter(failure, ++failures, retry, this.#signal);
      // A page may be refused only because of Range: by a host that compresses nevertheless, or by one that older
      // browsers ask for consent first.
      if (!this.#seen && failures === retry.attempts - 1 && failure.error.code === 'http/network') this.#plain = true;
    }
  }

  /** One request for bytes [begin, end). The answer may begin before and end anywhere: { begin, end, chunks }. */
  async #ask(begin, end) {
    const { fetch, cache, retry } = this.#options;
    const range = end === Infinity ? `bytes=${begin}-` : `bytes=${begin}-${end - 1}`;
    const headers = this.#plain ? undefined : { range, ...this.#condition() };
    let response;
    try {
      this.requests++;
      response = await request(this.url, { fetch, cache, headers, signal: this.#signal, stall: retry.stall });
    } catch (error) {
      throw this.#asTransient(error);
    }
    let answer;
    try {
      answer = this.#judge(response, begin, end);
    } finally {
      if (!answer) discard(response);
    }
    if (answer !== WITHOUT_RANGE) {
      const wrap = (error) => this.#asTransient(error);
      return { ...answer, chunks: bodyChunks(response, this.url, { signal: this.#signal, stall: retry.stall, wrap }) };
    }
    discard(response);
    this.#plain = true;
    return this.#ask(0, Infinity);
  }

  /** What an answer holds: { begin, end } in the file, WITHOUT_RANGE to ask for all of it, or an error. */
  #judge(response, begin, end) {
    const { status, headers } = response;
    const first = !this.#seen;
    const { from, to, size } = contentRange(headers);
    if (status === 200) {
      // Without Range the body may be compressed, and a page may not see that.
      const length = this.#plain && response.type === 'cors' ? undefined : contentLength(response);
      this.#check(headers, length);
      this.#plain ||= isEncoded(headers);
      if (first) {
        this.whole = true;
        this.#part = null; // it could not be asked for the rest
      }
      return { begin: 0, end: length ?? Infinity };
    }
    if (status === 206) {
      // A page may not see the headers of another host's answer unless that host allows it.
      const hidden = from === undefined && response.type === 'cors';
      const usable =
        !isEncoded(headers) && !headers.get('content-type')?.startsWith('multipart/') && (hidden || from !== undefined);
      if (!usable || this.#plain) {
        if (first && !this.#plain) return WITHOUT_RANGE;
        throw new Transient(this.#broken('the server sent part of the file in a form that was not asked for'));
      }
      const answer = hidden
        ? { begin, end: begin + (contentLength(response) ?? Infinity) }
        : { begin: from, end: to + 1 };
      if (answer.begin > begin || answer.end <= begin) {
        throw new Transient(this.#broken(`the server sent bytes ${from} to ${to}, asked for ${begin} to ${end - 1}`));
      }
      this.#check(headers, size ?? (hidden && answer.end < end && answer.end < Infinity ? answer.end : undefined));
      if (first && this.#options.whole) this.whole = true;
      return answer;
    }
    if (status === 416 && !this.#plain) {
      if (first && size !== 0) return WITHOUT_RANGE;
      this.#check(headers, size ?? begin);
      if (begin >= this.size) return { begin, end: begin };
    }
    const error = statusError(this.url, response);
    // A redirection that was answered from a cache leads to an address that has expired.
    const expired = (status === 401 || status === 403) && response.redirected;
    throw isTransient(status) || expired ? new Transient(error, retryAfter(headers)) : error;
  }

  #asTransient(error) {
    return this.#signal.aborted || error.code !== 'http/network' ? error : new Transient(error);
  }

  /** Compares an answer with the first one. */
  #check(headers, size) {
    const etag = headers.get('etag');
    const modified = headers.get('last-modified');
    const seen = (this.#seen ??= { etag, modified });
    const differs = (what, before, now) => {
      if (before !== now)
        throw new HalfclipError(
          'weights/changed',
          `${this.name}: the file changed while it was read: its ${what} was ${before} and is ${now}`,
        );
    };
    if (etag && seen.etag) differs('ETag', seen.etag, etag);
    else if (modified && seen.modified) differs('date', seen.modified, modified);
    if (size !== undefined && this.size !== undefined) differs('size', this.size, size);
    this.size ??= size;
  }

  /**
   * If-Range, where it is free: in a page it would need the other host's consent first, and the validators are compared
   * anyway.
   */
  #condition() {
    const { etag, modified } = this.#seen ?? {};
    const validator = etag && !etag.startsWith('W/') ? etag : etag ? null : modified;
    return isNode && validator ? { 'if-range': validator } : {};
  }

  #broken(what) {
    return new HalfclipError('http/network', `${this.name}: ${what}`);
  }
}

const WITHOUT_RANGE = Symbol('without Range');

/** What a Content-Range says, { from, to, size }, each undefined where it does not say it or makes no sense. */
function contentRange(headers) {
  const [, ...fields] = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? [];
  const [from, to, size] = fields.map((field) => (field > -1 ? Number(field) : undefined));
  const sound =
    from === undefined ? size <= Number.MAX_SAFE_INTEGER : from <= to && to < (size ?? Number.MAX_SAFE_INTEGER);
  return sound ? { from, to, size } : {};
}

const isEncoded = (headers) => !['', 'identity'].includes(headers.get('content-encoding') ?? '');

/** Content-Length counts compressed bytes. */
function contentLength({ headers }) {
  const length = Number(headers.get('content-length') ?? NaN);
  return Number.isSafeInteger(length) && !isEncoded(headers) ? length : undefined;
}
