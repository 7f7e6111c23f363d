// A web server for tests that does what servers and networks do to files: answers ranges, or not, in all the ways there
// are, fails, and breaks off.

import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';

/**
 * @typedef {object} Content what lies at a path: all of it in memory, or made when it is asked for
 * @property {number} size
 * @property {(begin: number, end: number) => Buffer} read
 *
 * @typedef {object} Fault what happens to one answer; nothing by default
 * @property {number} [status] in place of the file, for example 503
 * @property {Record<string, string | number>} [headers] added to the answer's
 * @property {string} [redirect] another URL, with status 302
 * @property {Buffer} [body] in place of the file's bytes, of any length
 * @property {number} [cut] the connection breaks after so many bytes of the body
 * @property {number} [stall] nothing more comes after so many bytes of the body
 * @property {number} [end] the body ends, as if it were whole, after so many bytes
 * @property {number} [extra] so many bytes too many
 * @property {number} [shift] other bytes than were asked for, with a Content-Range that says so
 * @property {number} [most] no more than so many of the bytes that were asked for, with a Content-Range that says so
 * @property {number} [early] so many bytes more at the beginning, with a Content-Range that says so
 * @property {boolean} [ranges] false: Range is ignored
 * @property {boolean} [length] false: no Content-Length
 * @property {boolean} [validators] false: neither ETag nor Last-Modified
 * @property {boolean} [rangeHeader] false: no Content-Range
 * @property {boolean} [gzip] the body is compressed, whatever was asked for
 * @property {number} [chunk] bytes written at once
 * @property {number} [pause] milliseconds after each of them
 */

export const inMemory = (bytes) => ({ size: bytes.length, read: (begin, end) => bytes.subarray(begin, end) });

/** A file that begins with a header and holds zeros behind it, see headerOf(). */
export const zerosBehind = ({ head, size }) => ({
  size,
  read: (begin, end) => Buffer.concat([head], end).subarray(begin),
});

export class FaultServer {
  /** What lies where: { '/path': Content }. Anything else is 404. */
  files;
  /**
   * Decides about each answer. @type {(request: { path: string, range: string | undefined, number: number, headers:
   * object, method: string }) => Fault | undefined}
   */
  fault = () => undefined;
  /** { path, range, headers, method, sent } of each request so far. */
  requests = [];
  /** Of the files' present version. */
  etag = '"1"';
  modified = 'Wed, 01 Jan 2025 00:00:00 GMT';

  #origin;
  #generation = 0;
  #server = createServer((request, response) => this.#answer(request, response).catch(() => response.destroy()));

  static async start(files) {
    const server = new FaultServer();
    server.files = files;
    await new Promise((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    server.#origin = `http://127.0.0.1:${server.#server.address().port}`;
    return server;
  }

  /** Where the files are until the next reset. */
  get base() {
    return `${this.#origin}/${this.#generation}`;
  }

  /** Forgets faults and requests; what still arrives from before is not answered. */
  reset() {
    this.#generation++;
    this.fault = () => undefined;
    this.requests = [];
    this.etag = '"1"';
    this.modified = 'Wed, 01 Jan 2025 00:00:00 GMT';
  }

  /** Connections that are open now. */
  connections() {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    );
  }

  closeConnections() {
    this.#server.closeAllConnections();
  }

  async close() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request, response) {
    const { url, method, headers } = request;
    const prefix = `/${this.#generation}/`;
    if (!url.startsWith(prefix)) return response.destroy();
    const path = url.slice(prefix.length - 1);
    const { pathname } = new URL(path, this.#origin);
    const record = { path, range: headers.range, headers, method, sent: 0 };
    this.requests.push(record);
    const fault = this.fault({ ...record, number: this.requests.length - 1 }) ?? {};
    const content = this.files[pathname];
    if (fault.redirect) return response.writeHead(302, { location: fault.redirect, ...fault.headers }).end();
    if (fault.status || !content)
      return response
        .writeHead(fault.status ?? 404, { 'content-type': 'text/plain', ...fault.headers })
        .end('this is not the file');

    const { size } = content;
    const fresh = !headers['if-range'] || headers['if-range'] === this.etag;
    const [, from, to] = (fault.ranges !== false && fresh && /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '')) || [];
    const out = fault.validators === false ? {} : { etag: this.etag, 'last-modified': this.modified };
    let begin = 0;
    let end = size;
    let status = 200;
    if (from !== undefined) {
      if (Number(from) >= size)
        return response.writeHead(416, { 'content-range': `bytes */${size}`, ...fault.headers }).end();
      begin = Math.max(0, Math.min(Number(from) + (fault.shift ?? 0) - (fault.early ?? 0), size - 1));
      end = Math.max(
        begin + 1,
        Math.min(to === '' ? size : Number(to) + 1 + (fault.shift ?? 0), begin + (fault.most ?? size), size),
      );
      status = 206;
      if (fault.rangeHeader !== false) out['content-range'] = `bytes ${begin}-${end - 1}/${size}`;
    }
    const length = fault.body?.length ?? end - begin;
    if (fault.gzip) out['content-encoding'] = 'gzip';
    if (fault.length !== false && !fault.gzip && fault.end === undefined && !fault.extra)
      out['content-length'] = length;
    response.writeHead(status, { ...out, ...fault.headers });
    if (method === 'HEAD') return response.end();
    if (fault.gzip) return response.end(gzipSync(content.read(begin, end), { level: 1 }));
    const read = fault.body ? (a, b) => fault.body.subarray(a, b) : (a, b) => content.read(begin + a, begin + b);
    return this.#send(response, record, read, length, fault);
  }

  async #send(
    response,
    record,
    read,
    length,
    { cut = Infinity, stall = Infinity, end = Infinity, extra = 0, chunk = 1 << 16, pause = 0 },
  ) {
    const last = Math.min(length, cut, stall, end);
    for (let at = 0; at < last && !response.destroyed;) {
      const piece = read(at, Math.min(last, at + chunk));
      at += piece.length;
      record.sent += piece.length;
      // Waiting for each piece keeps the order of things the same whatever the machine is doing.
      await new Promise((resolve) => {
        response.once('close', resolve);
        response.write(piece, () => {
          response.off('close', resolve);
          resolve();
        });
      });
      if (pause) await new Promise((resolve) => setTimeout(resolve, pause));
    }
    if (stall <= length) return response;
    if (cut <= length) return response.destroy();
    return response.end(extra ? Buffer.alloc(extra, 7) : undefined);
  }
}
