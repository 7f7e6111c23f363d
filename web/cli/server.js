// A small static file server for the demo page, `halfclip serve` and the tests: Node's own http, read-only, local by
// default.
//
// It serves files of its folders and nothing else: no links that lead out of them, no hidden files, no devices. Pages
// of other sites cannot read them either: a request must name this server in its Host header, which one that was sent
// here by another site's DNS does not.
//
// It answers as a careful production server would, so that what works here works elsewhere: correct media types
// (WebAssembly compiles while it streams only as application/wasm), validators, byte ranges, and the headers under
// which halfclip promises to work: a strict Content-Security-Policy and cross-origin isolation.

import { constants } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

import { getHttp } from '../node/http.js';

const MEDIA_TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.gif': 'image/gif',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ts': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
};

const READ = 1 << 20; // bytes of a file at once: weights are large

// How much of the server clients can hold on to: milliseconds that a request may take to arrive and that a client may
// leave an answer unread, and connections.
const PATIENCE = { request: 10_000, answer: 120_000 };
const CONNECTIONS = 256;

/** The policy of a page that runs its own scripts, its own workers and WebAssembly, and talks to nobody else. */
export const contentSecurityPolicy = policyFor([]);

/** The same of a page that may also ask these origins for data, such as the hub whose models it is told to load. */
function policyFor(origins) {
  return [
    "default-src 'self'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "style-src 'self'",
    ["connect-src 'self'", ...origins].join(' '),
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'self'",
  ].join('; ');
}

const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
};

/**
 * Tells whether a Host header names a server.
 * @param {string} host that it listens on
 * @param {string[]} others by which it may be asked too
 * @returns {(header: string | undefined, port: number) => boolean}
 */
function hostChecker(host, others) {
  const given = new Set(others.map((name) => name.toLowerCase()));
  const names = new Set([host.toLowerCase(), 'localhost', '127.0.0.1', '::1', ...given]);
  const everywhere = host === '0.0.0.0' || host === '::';
  return (header, port) => {
    if (given.has(header?.toLowerCase())) return true;
    const [, bracketed, plain, suffix] = /^(?:\[([\da-f:.]+)\]|([^:/?#@[\]\s]+))(?::(\d+))?$/i.exec(header ?? '') ?? [];
    const name = (bracketed ?? plain)?.toLowerCase();
    if (name === undefined || Number(suffix ?? 80) !== port) return false;
    return names.has(name) || (everywhere && isIP(name) !== 0); // an address is nobody's to point elsewhere
  };
}

/**
 * Whether a decoded URL path may name a file: no part of it leads elsewhere, is hidden, or means something else to the
 * system.
 * @param {string} pathname
 * @param {boolean} [windows] where names of devices, streams and drives are such
 */
export function isServable(pathname, windows = path.sep === '\\') {
  if (/[\0-\x1f\x7f\\]/.test(pathname) || /(^|\/)\./.test(pathname)) return false;
  return !windows || !/[:*?"<>|]|[. ](\/|$)|(^|\/)(con|prn|aux|nul|com\d|lpt\d)(\.[^/]*)?(\/|$)/i.test(pathname);
}

/**
 * The one byte range that a Range header asks for (RFC 9110, section 14).
 * @param {string | undefined} header
 * @param {number} size  the file's size in bytes
 * @returns {{ start: number, end: number } | 'unsatisfiable' | undefined}  `end` inclusive; undefined: answer with the
 *   whole file, which is also the permitted answer to several ranges at once and to a header that makes no sense
 */
function parseRange(header, size) {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  if (match[1] === '') {
    const suffix = Number(match[2]);
    return suffix === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - suffix), end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== '' && Number(match[2]) < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end };
}

/** True when the client's copy is still good: If-None-Match first, If-Modified-Since only without it. */
function isFresh(request, etag, modified) {
  const tags = request.headers['if-none-match'];
  if (tags !== undefined)
    return tags.trim() === '*' || tags.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
  const since = Date.parse(request.headers['if-modified-since'] ?? '');
  return Math.floor(modified.getTime() / 1000) * 1000 <= since;
}

/** If-Range: a range is only good for the version that the client already holds a part of. */
function rangeStillApplies(request, etag, modified) {
  const condition = request.headers['if-range'];
  return condition === undefined || condition === etag || condition === modified.toUTCString();
}

/**
 * Serves folders over HTTP.
 *
 * @param {object} options
 * @param {string | URL | Record<string, string | URL>} options.root  a folder, or folders by URL prefix: `{ '/':
 *   'dist', '/pictures/': 'tests/pictures' }`; the longest prefix wins
 * @param {number} [options.port]  0, the default, takes any free port; another number is tried first, then the next
 *   ones
 * @param {string} [options.host]  the address to listen on
 * @param {string[]} [options.hosts]  by which the server may be asked besides `host` and this machine's own names: with
 *   its port, or as they are given here, for example `example.org:9000` where another port is forwarded
 * @param {{ request: number, answer: number }} [options.patience]  see PATIENCE
 * @param {Record<string, string | undefined>} [options.headers]  added to the default headers; undefined removes one
 * @param {string[]} [options.connect]  origins that pages may ask for data, besides this server
 * @param {string} [options.home]  where `/` redirects to
 * @returns {Promise<{ url: string, served: Map<string, number>, close(): Promise<void> }>}  `url` without a final
 *   slash; `served` counts the bytes of bodies that were sent, by decoded URL path
 */
export async function serve({
  root,
  port = 0,
  host = '127.0.0.1',
  hosts = [],
  headers = {},
  connect = [],
  home,
  patience = PATIENCE,
}) {
  const roots = typeof root === 'string' || root instanceof URL ? { '/': root } : root;
  const folders = Object.entries(roots)
    .map(([prefix, folder]) => [prefix, path.resolve(folder instanceof URL ? fileURLToPath(folder) : folder)])
    .sort(([a], [b]) => b.length - a.length);
  const common = Object.fromEntries(
    Object.entries({ ...HEADERS, 'Content-Security-Policy': policyFor(connect), ...headers }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const served = new Map();
  const isOwnHost = hostChecker(host, hosts);

  /**
   * The file or folder that a URL path names, its links resolved; undefined if there is none, or it lies outside the
   * served folders.
   */
  async function locate(pathname) {
    const [prefix, folder] =
      (isServable(pathname) && folders.find(([candidate]) => pathname.startsWith(candidate))) || [];
    if (folder === undefined) return undefined;
    const [root, place] = await Promise.all(
      [folder, path.join(folder, pathname.slice(prefix.length))].map((name) => realpath(name).catch(() => undefined)),
    );
    if (root === undefined || place === undefined) return undefined;
    return place === root || place.startsWith(root.endsWith(path.sep) ? root : root + path.sep) ? place : undefined;
  }

  /**
   * A file opened for reading, { handle, found }, or undefined. Between locate() and this it may have become a link, or
   * something that would be waited for.
   */
  async function openFile(place) {
    const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants;
    const handle = await open(place, O_RDONLY | O_NONBLOCK | O_NOFOLLOW).catch(() => undefined);
    const found = await handle?.stat();
    if (found?.isFile()) return { handle, found };
    await handle?.close();
    return undefined;
  }

  function refuse(response, status, extra = {}) {
    const body = `${status}\n`;
    response.writeHead(status, {
      ...common,
      'Content-Type': MEDIA_TYPES['.txt'],
      'Content-Length': body.length,
      ...extra,
    });
    response.end(response.req.method === 'HEAD' ? undefined : body);
  }

  async function answer(request, response) {
    if (!isOwnHost(request.headers.host, request.socket.localPort))
      return refuse(response, 403, { Connection: 'close' });
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return refuse(response, 405, { Allow: 'GET, HEAD', Connection: 'close' });
    const [rawPath, query] = request.url.split(/\?(.*)/s);
    let pathname;
    try {
      pathname = decodeURIComponent(rawPath);
    } catch {
      return refuse(response, 400);
    }
    if (pathname === '/' && home !== undefined) return refuse(response, 302, { Location: home });

    let place = await locate(pathname);
    const isFolder = place !== undefined && Boolean((await stat(place).catch(() => undefined))?.isDirectory());
    if (isFolder) {
      // Relative links on the page only work below a slash. The leading slashes collapse: `//host` is another origin.
      if (!pathname.endsWith('/')) {
        const target = rawPath.replace(/^\/+/, '/') + '/' + (query === undefined ? '' : `?${query}`);
        return refuse(response, 301, { Location: target });
      }
      place = await locate(`${pathname}index.html`);
    }
    const file = place !== undefined && pathname.endsWith('/') === isFolder ? await openFile(place) : undefined;
    if (!file) return refuse(response, 404);
    const { handle, found } = file;
    try {
      await send(request, response, pathname, handle, found, path.extname(isFolder ? 'index.html' : pathname));
    } finally {
      await handle.close();
    }
  }

  async function send(request, response, pathname, handle, found, extension) {
    const etag = `"${found.size.toString(16)}-${Math.trunc(found.mtimeMs * 1000).toString(16)}"`;
    const fields = {
      ...common,
      'Content-Type': MEDIA_TYPES[extension.toLowerCase()] ?? 'application/octet-stream',
      'Accept-Ranges': 'bytes',
      ETag: etag,
      'Last-Modified': found.mtime.toUTCString(),
    };
    if (isFresh(request, etag, found.mtime)) {
      response.writeHead(304, fields);
      return response.end();
    }
    const range = rangeStillApplies(request, etag, found.mtime)
      ? parseRange(request.headers.range, found.size)
      : undefined;
    if (range === 'unsatisfiable') return refuse(response, 416, { 'Content-Range': `bytes */${found.size}` });

    const { start, end } = range ?? { start: 0, end: found.size - 1 };
    if (range) fields['Content-Range'] = `bytes ${start}-${end}/${found.size}`;
    response.writeHead(range ? 206 : 200, { ...fields, 'Content-Length': end - start + 1 });
    if (request.method === 'HEAD' || found.size === 0) return response.end();

    const stream = handle.createReadStream({ start, end, highWaterMark: READ, autoClose: false });
    stream.on('data', (chunk) => served.set(pathname, (served.get(pathname) ?? 0) + chunk.length));
    return pipeline(stream, response);
  }

  const times = {
    headersTimeout: patience.request,
    requestTimeout: patience.request,
    connectionsCheckingInterval: patience.request / 2,
  };
  const server = getHttp().createServer(times, (request, response) => {
    // A client that hangs up half-way, as every aborted load does, is not the server's failure; a file that cannot be
    // read (permissions, a disk error) is, and once bytes are out the only honest answer left is to cut the connection.
    answer(request, response).catch(() => {
      if (response.headersSent) response.destroy();
      else refuse(response, 500);
    });
  });

  server.timeout = patience.answer;
  server.maxConnections = CONNECTIONS;

  const last = port === 0 ? 0 : Math.min(port + 50, 65535);
  for (let candidate = port; ; candidate++) {
    try {
      await new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(candidate, host, () => {
          server.removeListener('error', reject);
          resolve();
        });
      });
      break;
    } catch (error) {
      if (error.code !== 'EADDRINUSE' || candidate >= last) throw error;
    }
  }

  const name = host.includes(':') ? `[${host}]` : host;
  return {
    url: `http://${name}:${server.address().port}`,
    served,
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}
