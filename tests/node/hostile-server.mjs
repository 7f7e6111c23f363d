// A web server that answers as its enemy would: every byte of an answer is its own, drawn at random from a seed. Honest
// answers come in between, so that a client gets far enough to be hurt.

import { createServer } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';

/** Numbers in 0 … n - 1, the same for the same seed. */
export function generator(seed) {
  let state = Math.imul(seed + 1, 2654435761) >>> 0;
  const random = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const pick = (list) => list[random(list.length)];
  /** One of several functions, called. */
  const one = (...makers) => pick(makers)();
  return { random, pick, one, chance: (percent) => random(100) < percent };
}

const BOMB = 100e6; // bytes that a compressed body becomes
const FLOOD = 30e6; // bytes after which the server tires of a body that has no end
const ESCAPES = '\x1b[31m\x9b2J\x07';

const bombs = {};
/** Compressed bodies that become much more. */
function bomb(kind) {
  bombs[kind] ??=
    kind === 'br'
      ? brotliCompressSync(Buffer.alloc(BOMB, ' '))
      : gzipSync(kind === 'twice' ? bomb('gzip') : Buffer.alloc(BOMB, ' '), { level: 9 });
  return bombs[kind];
}

export class HostileServer {
  /** { '/path': Buffer }; anything else is 404. */
  files = {};
  /**
   * Requests since reset(); of them, those that were redirected, and those whose answer asks for a pause of a second.
   */
  requests = 0;
  redirects = 0;
  pauses = 0;
  /** Whether bytes were sent in a file's place that are not the file's: then nobody can tell what comes of it. */
  poisoned = false;

  #sockets = new Set();
  #draw;
  #rate = 0;
  #server = createServer((socket) => this.#serve(socket));

  static async start() {
    const server = new HostileServer();
    await new Promise((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    server.base = `http://127.0.0.1:${server.#server.address().port}`;
    return server;
  }

  /** @param {object} draw from generator; @param {number} rate percent of the answers that are hostile */
  reset(draw, rate) {
    for (const socket of this.#sockets) socket.destroy();
    this.#draw = draw;
    this.#rate = rate;
    this.requests = 0;
    this.redirects = 0;
    this.pauses = 0;
    this.poisoned = false;
  }

  async close() {
    this.reset(null, 0);
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket) {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {});
    let text = '';
    let busy = Promise.resolve();
    socket.setEncoding('latin1').on('data', (data) => {
      text += data;
      for (let end; (end = text.indexOf('\r\n\r\n')) >= 0;) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        busy = busy.then(() => !socket.destroyed && this.#answer(socket, head)).catch(() => socket.destroy());
      }
    });
  }

  async #answer(socket, head) {
    this.requests++;
    const [, method, target] = /^(\S+) (\S+)/.exec(head);
    const range = /^range: *bytes=(\d+)-(\d*)$/im.exec(head);
    const file = this.files[new URL(target, this.base).pathname];
    const draw = this.#draw;
    const answer = draw.chance(this.#rate) ? this.#hostile(draw, file, range) : honest(file, range);
    if (answer.headers['retry-after'] === '1') this.pauses++;
    if (method === 'HEAD') answer.body = [];
    await write(socket, answer);
  }

  #hostile(draw, file, range) {
    const { random, pick, one, chance } = draw;
    const answer = honest(file, range);
    const status = (code) => (answer.status = `${code} ${pick(['OK', '', 'Not so', ESCAPES])}`);
    const headers = answer.headers;
    const body = (...parts) => {
      answer.body = parts;
      headers['content-length'] = parts.reduce((sum, part) => sum + part.length, 0);
      this.poisoned = true;
    };
    for (let n = 1 + random(3); n--;) {
      one(
        () =>
          status(
            pick([
              200, 201, 203, 204, 205, 206, 300, 304, 400, 401, 403, 404, 408, 410, 416, 425, 429, 500, 502, 503, 504,
              599, 999,
            ]),
          ),
        () => {
          status(pick([301, 302, 303, 307, 308]));
          headers.location = pick([
            '',
            '.',
            '/',
            '/r',
            'loop',
            '//',
            'http://127.0.0.1:1/',
            'https://127.0.0.1:1/',
            'file:///etc/passwd',
            'data:,x',
            'ftp://x/',
            'http://[',
            'javascript:0',
            `/${ESCAPES}`,
            `/${'a'.repeat(9000)}`,
          ]);
          this.redirects++;
        },
        () =>
          (headers['content-range'] = one(
            () => `bytes ${random(1e6)}-${random(1e6)}/${random(1e6)}`,
            () => `bytes */${random(1e6)}`,
            () => `bytes 0-${'9'.repeat(1 + random(30))}/*`,
            () => `bytes 0-0/${'9'.repeat(1 + random(30))}`,
            () =>
              pick(['', 'bytes', 'bytes 5-3/10', 'bytes -1-2/3', 'pages 0-1/2', 'bytes 0-0/0', 'bytes */*', ESCAPES]),
          )),
        () =>
          (headers['content-length'] = pick([0, 1, -1, random(1e6), '1e3', '99999999999999999999', '5, 5', ' ', 'x'])),
        () => delete headers['content-length'],
        () => {
          delete headers['content-length'];
          headers['transfer-encoding'] = 'chunked';
          answer.chunks = one(
            () => 'good',
            () => 'endless',
            () => 'wrong',
            () => 'unended',
            () => 'extended',
          );
        },
        () =>
          (headers['retry-after'] = pick([
            '0',
            '1',
            '-1',
            '3600',
            '1e9',
            '99999999999999999999',
            'Fri, 31 Dec 1999 23:59:59 GMT',
            'soon',
            ESCAPES,
          ])),
        () => (headers.etag = pick([`"${random(3)}"`, `W/"${random(3)}"`, '', '"', ESCAPES, 'x'.repeat(5000)])),
        () => (headers['last-modified'] = pick(['Fri, 31 Dec 1999 23:59:59 GMT', 'yesterday', ESCAPES])),
        () =>
          (headers['content-type'] = pick(['multipart/byteranges; boundary=x', 'text/html', 'image/svg+xml', ESCAPES])),
        () => {
          // No more than five: of more, Node.js 20 throws an error where nobody can catch it.
          headers['content-encoding'] = pick([
            'gzip',
            'br',
            'deflate',
            'gzip, gzip',
            'identity',
            'unknown',
            Array(5).fill('gzip').join(', '),
          ]);
          if (chance(50))
            body(
              headers['content-encoding'] === 'br'
                ? bomb('br')
                : bomb(headers['content-encoding'] === 'gzip, gzip' ? 'twice' : 'gzip'),
            );
          else if (chance(50) && file) body(gzipSync(file.subarray(0, random(file.length))));
          this.poisoned = true;
        },
        () => {
          for (let i = random(400); i--;) headers[`x-${i}`] = 'y'.repeat(random(60));
        },
        () => body(Buffer.alloc(random(1e5), pick(['\0', ' ', '[', '{"a":', 'garbage', '<html>', '\xff']), 'latin1')),
        () => body(hostileJson(draw)),
        () => {
          body();
          delete headers['content-length'];
          answer.endless = pick(['\0', ' ', '[', 'x'.repeat(100)]);
        },
        () => {
          status(206);
          answer.body = answer.body.map((part) => part.subarray(0, 1 + random(3)));
          const [, begin = 0] = range ?? [];
          const length = answer.body.reduce((sum, part) => sum + part.length, 0);
          Object.assign(headers, {
            'content-range': `bytes ${begin}-${Number(begin) + length - 1}/${file?.length ?? 5}`,
            'content-length': length,
          });
          this.poisoned ||= !file;
        },
        () => (answer.cut = random(pick([10, 1000, 1e6]))),
        () => (answer.stall = random(pick([10, 1000, 1e6]))),
        () => (answer.trickle = true),
        () =>
          (answer.early = pick([
            `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n`.repeat(1 + random(50)),
            'HTTP/1.1 100 Continue\r\n\r\n',
            'garbage',
            'HTTP/0.9 200\r\n',
            'HTTP/1.1\r\n\r\n',
            'HTTP/1.1 200 OK\r\n',
          ])),
        () => (answer.after = pick(['garbage', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello', '\r\n\r\n'])),
        () => (answer.reset = true),
        () => (answer.silent = true),
      );
    }
    return answer;
  }
}

/** Texts of JSON that are meant to hurt. */
function hostileJson({ random, pick, one }) {
  const name = () =>
    pick([
      '../x',
      '/etc/passwd',
      'a/../../b',
      'http://127.0.0.1:1/x',
      '//x',
      '.',
      '',
      '\\x',
      'a\0b',
      'a.safetensors',
      'b.safetensors',
      'model.pt',
      'model.safetensors.index.json',
      '%2e%2e/x',
      'x'.repeat(5000),
      5,
      null,
      {},
    ]);
  return Buffer.from(
    one(
      () => '['.repeat(1 + random(200_000)),
      () => '{"a":'.repeat(1 + random(100_000)),
      () => `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
      () =>
        JSON.stringify({
          weight_map: Object.fromEntries(Array.from({ length: random(700) }, (_, i) => [`t${i}`, name()])),
        }),
      () => JSON.stringify({ weight_map: pick([null, [], 5, 'x', {}, { __proto__: null }]) }),
      () => `{"weight_map":{"__proto__":"a.safetensors","constructor":"b.safetensors"}}`,
      () =>
        JSON.stringify(
          pick([
            null,
            true,
            5,
            '',
            [],
            {},
            { model_cfg: null },
            { model_cfg: 5 },
            { model_cfg: {}, preprocess_cfg: null },
            { model_type: 'clip' },
            { model_type: 'constructor' },
          ]),
        ),
      () =>
        JSON.stringify({
          model_cfg: {
            embed_dim: pick([0, -1, 1e9, 1e300, 'x']),
            vision_cfg: pick([null, {}, { width: 1e9 }]),
            text_cfg: pick([null, {}, { width: 1e9, layers: 1e9 }]),
          },
        }),
      () => `{"model_cfg":${'{"a":'.repeat(1000)}`,
      () => `"${'\\u001b'.repeat(random(10_000))}"`,
    ),
  );
}

/** The answer of a server that means well: { status, headers, body: Buffer[] }. */
function honest(file, range) {
  if (!file) return { status: '404 Not Found', headers: { 'content-length': 4 }, body: [Buffer.from('none')] };
  const headers = { etag: '"1"' };
  if (!range) return { status: '200 OK', headers: { ...headers, 'content-length': file.length }, body: [file] };
  const [, from, to] = range;
  const begin = Number(from);
  const end = Math.min(file.length, to === '' ? Infinity : Number(to) + 1);
  if (begin >= file.length)
    return {
      status: '416 Range Not Satisfiable',
      headers: { 'content-range': `bytes */${file.length}`, 'content-length': 0 },
      body: [],
    };
  return {
    status: '206 Partial Content',
    headers: { ...headers, 'content-range': `bytes ${begin}-${end - 1}/${file.length}`, 'content-length': end - begin },
    body: [file.subarray(begin, end)],
  };
}

/** Writes an answer as it stands. A socket that is full is waited for, one that is closed ends everything. */
async function write(
  socket,
  {
    status,
    headers,
    body,
    chunks,
    endless,
    cut = Infinity,
    stall = Infinity,
    trickle,
    early = '',
    after = '',
    reset,
    silent,
  },
) {
  let sent = 0;
  const send = (data) =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) {
        reject(new Error('closed'));
        return;
      }
      const bytes = Buffer.from(data, 'latin1');
      const last = Math.min(bytes.length, cut - sent, stall - sent);
      sent += last;
      const closed = () => reject(new Error('closed'));
      socket.once('close', closed);
      socket.write(bytes.subarray(0, last), () => {
        socket.off('close', closed);
        if (sent >= stall) return; // nothing more ever comes
        if (sent >= cut) socket.destroy();
        resolve();
      });
    });
  if (silent) return;
  if (reset) {
    socket.resetAndDestroy();
    return;
  }
  await send(
    `${early}HTTP/1.1 ${status}\r\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n`,
  );
  if (trickle) {
    for (const byte of Buffer.concat(body)) {
      await send([byte]);
      await new Promise((resolve) => setTimeout(resolve, 2).unref()); // not to be counted as a client's
    }
    return;
  }
  const frame = (part) => {
    if (!chunks) return [part];
    if (chunks === 'wrong') return ['zz\r\n', part, '\r\n'];
    return [`${part.length.toString(16)}${chunks === 'extended' ? `;${'x'.repeat(5000)}` : ''}\r\n`, part, '\r\n'];
  };
  for (const part of body) if (part.length) for (const piece of frame(part)) await send(piece);
  if (endless !== undefined || chunks === 'endless') {
    const part = Buffer.alloc(1 << 16, endless ?? ' ');
    for (let length = 0; length < FLOOD; length += part.length) for (const piece of frame(part)) await send(piece);
    socket.destroy();
    return;
  }
  if (chunks && chunks !== 'unended') await send('0\r\n\r\n');
  if (after) await send(after);
  if (headers['content-length'] === undefined && !chunks) socket.end();
}
