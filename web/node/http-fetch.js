// What fetch() does for files, over Node.js's own http: loading fetch() takes Node.js as long as reading 30 MB, and it
// copies each 64 kB and hands them on through a stream of the web, which together is twice the work of the transfer.
//
// Each connection reads into one buffer, and more at once than Node.js would: memory that is new costs the system more than
// the bytes that come into it.
//
// Only where nobody could tell the difference: what programs put in fetch's place, or have undici do with it (a
// dispatcher, which is where proxies are set, or listeners to its requests), is used as it is.

import { hasSubscribers } from 'node:diagnostics_channel';
import { pipeline } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

import { getHttp } from './http.js';

const OWN = /internal\/deps\/undici/; // in the source of Node.js's fetch(), and in no other's
const DISPATCHER = 'undici.globalDispatcher'; // a symbol of globalThis, there once undici was loaded, whoever did it
const REDIRECTIONS = [301, 302, 303, 307, 308];
const MOST_REDIRECTIONS = 20;
const DECODERS = { gzip: createGunzip, 'x-gzip': createGunzip, deflate: createInflate, br: createBrotliDecompress };
const FLUSH = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH }; // what is cut off is as it is
const QUEUE = 1 << 20; // bytes that may wait to be read
const BLOCK = 1 << 18; // bytes that are read at once

let agents; // connections that are kept, as fetch() keeps its own: nobody's else
const blocks = new WeakSet(); // that connections read into
let areCopied = false; // what bodies give are copies of parts of them, as the first one has shown

/**
 * A fetch() for bytes: what it gives has of a Response what web/network asks of one.
 * @param {string} url
 * @returns {typeof fetch | null} null where it would not be the same
 */
export function fetchOver(url) {
  const { fetch } = globalThis;
  const isOwn = typeof fetch === 'function' && OWN.test(Function.prototype.toString.call(fetch));
  const isLoaded = Object.getOwnPropertySymbols(globalThis).some((one) => one.description?.startsWith(DISPATCHER));
  return isOwn && !isLoaded && !hasSubscribers('undici:request:create') && isPlain(url) ? fetchHttp : null;
}

function isPlain(url) {
  if (!/^https?:/i.test(url)) return false;
  try {
    const { username, password } = new URL(url);
    return !username && !password;
  } catch {
    return false; // fetch() says what is wrong with it
  }
}

async function fetchHttp(url, init) {
  let place = new URL(url);
  for (let count = 0; ; count++) {
    const message = await ask(place, init);
    const { statusCode, headers } = message;
    if (!REDIRECTIONS.includes(statusCode) || headers.location === undefined)
      return answerOf(message, place, count > 0, init);
    message.on('error', () => {}).destroy();
    if (count === MOST_REDIRECTIONS) throw failed(new Error('redirect count exceeded'));
    place = redirected(headers.location, place);
  }
}

function redirected(location, from) {
  try {
    // Headers hold bytes: an address beyond ASCII is in UTF-8.
    const place = new URL(Buffer.from(location, 'latin1').toString(), from);
    if (!isPlain(place.href)) throw new Error(`redirected to ${place.protocol}, expected HTTP without a password`);
    return place;
  } catch (error) {
    throw failed(error);
  }
}

const failed = (cause) => new TypeError('fetch failed', { cause });

function ask(place, { method = 'GET', headers, signal }) {
  const protocol = place.protocol.slice(0, -1);
  const { Agent, request } = getHttp(protocol);
  agents ??= {};
  agents[protocol] ??= agentOf(Agent);
  const options = {
    method,
    agent: agents[protocol],
    signal,
    headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'node', ...headers },
  };
  return new Promise((resolve, reject) => {
    request(place, options, resolve)
      .on('error', (error) => reject(signal?.aborted ? signal.reason : failed(error)))
      .end();
  });
}

function agentOf(Agent) {
  const agent = new Agent({ keepAlive: true });
  const connect = agent.createConnection;
  agent.createConnection = (options, done) => {
    let block;
    const onread = {
      buffer() {
        if (block && areCopied) return block;
        block = Buffer.allocUnsafeSlow(BLOCK);
        blocks.add(block.buffer);
        return block;
      },
      callback(length) {
        socket.emit('data', block.subarray(0, length));
        return true;
      },
    };
    const socket = connect.call(agent, { ...options, onread }, done);
    return socket;
  };
  return agent;
}

function answerOf(message, place, redirected, { method }) {
  const { statusCode: status, statusMessage: statusText, headers } = message;
  const hasBody = method !== 'HEAD' && ![204, 205, 304].includes(status);
  if (!hasBody) message.on('error', () => {}).resume();
  const { href, hash } = place;
  return {
    status,
    statusText,
    ok: status >= 200 && status < 300,
    url: href.slice(0, href.length - hash.length),
    redirected,
    type: 'basic',
    headers: { get: (name) => (headers[name] === undefined ? null : String(headers[name])) },
    body: hasBody ? new Body(decoded(message)) : null,
    bodyUsed: false,
  };
}

/** What a server compresses although nobody asked for it. */
function decoded(message) {
  const encoding = message.headers['content-encoding']?.trim().toLowerCase();
  if (!Object.hasOwn(DECODERS, encoding ?? '')) {
    if (!areCopied) message.once('data', ({ buffer }) => (areCopied = !blocks.has(buffer)));
    return message;
  }
  return pipeline(message, DECODERS[encoding](encoding === 'br' ? {} : FLUSH), () => {});
}

/** The body of an answer, of which one reader reads. */
class Body {
  locked = false;
  #stream;
  #queue = [];
  #queued = 0;
  #waiting = null; // { resolve, reject } of the read that waits
  #end = null; // how it ended: { error } or { }

  constructor(stream) {
    this.#stream = stream;
    stream.on('data', (chunk) => this.#take(chunk));
    stream.on('end', () => this.#finish({}));
    stream.on('error', (error) => this.#finish({ error: failed(error) }));
    stream.on('close', () => this.#finish({ error: failed(new Error('other side closed')) }));
  }

  getReader() {
    this.locked = true;
    return { read: () => this.#read(), cancel: () => this.cancel() };
  }

  async cancel() {
    this.#queue = [];
    this.#finish({});
    if (this.#stream.complete)
      this.#stream.resume(); // all has come: the connection can be kept
    else this.#stream.destroy();
  }

  #take(chunk) {
    if (this.#end) return;
    if (this.#waiting) return this.#answer(({ resolve }) => resolve({ done: false, value: chunk }));
    this.#queue.push(chunk);
    this.#queued += chunk.length;
    if (this.#queued >= QUEUE) this.#stream.pause();
  }

  #finish(end) {
    this.#end ??= end;
    if (this.#waiting) this.#answer((waiting) => this.#settle(waiting));
  }

  #answer(how) {
    const waiting = this.#waiting;
    this.#waiting = null;
    how(waiting);
  }

  #settle({ resolve, reject }) {
    if (this.#end.error) reject(this.#end.error);
    else resolve({ done: true, value: undefined });
  }

  #read() {
    return new Promise((resolve, reject) => {
      const value = this.#queue.shift();
      if (value) {
        this.#queued -= value.length;
        if (this.#queued < QUEUE) this.#stream.resume();
        resolve({ done: false, value });
      } else if (this.#end) this.#settle({ resolve, reject });
      else this.#waiting = { resolve, reject };
    });
  }
}
