// A source of bytes as an address that a program on this machine can read by ranges: a small server on the loopback
// interface, behind a path that nobody guesses.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { HalfclipError } from '../base/errors.js';
import { readBytes } from '../sources/source.js';
import { getHttp } from './http.js';

// What is read is kept in blocks: a program that is started for each part of a file reads the same tables each time.
const BLOCK = 1 << 19; // bytes
const KEPT = 128; // blocks

/**
 * @param {object} source of web/sources; is closed with the server
 * @returns {Promise<{ name: string, url: string, protocols: string, failed: () => unknown, close: () => void }>}
 *   failed: the first error of the source, or null
 */
export async function serveSource(source) {
  if (source.size === 0) {
    await source.close();
    throw new HalfclipError('input/decode', `${source.name}: is empty`);
  }
  const place = `/${randomBytes(16).toString('hex')}`;
  const blocks = keptBlocks(source);
  let failure = null;
  const server = getHttp().createServer((request, response) => {
    if (request.url !== place) response.writeHead(404).end();
    else
      answer(source.size, blocks, request, response).catch((error) => {
        if (!response.closed && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') failure ??= error;
        response.destroy();
      });
  });
  const close = () => {
    server.close();
    server.closeAllConnections();
    source.close();
  };
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  } catch (error) {
    close();
    throw error;
  }
  const url = `http://127.0.0.1:${server.address().port}${place}`;
  return { name: source.name, url, protocols: 'http,tcp', failed: () => failure, close };
}

/** Gives the blocks of a source by their numbers; reads each once, as long as it is kept. */
function keptBlocks(source) {
  const blocks = new Map(); // those that were not asked for longest first
  return (number) => {
    const block = blocks.get(number) ?? readBytes(source, number * BLOCK, (number + 1) * BLOCK);
    blocks.delete(number);
    blocks.set(number, block);
    block.catch(() => blocks.delete(number));
    if (blocks.size > KEPT) blocks.delete(blocks.keys().next().value);
    return block;
  };
}

async function answer(size, blocks, { headers }, response) {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  const begin = Number(from ?? 0);
  const end = Math.min(size, to ? Number(to) + 1 : size);
  if (begin >= size) {
    response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
    return;
  }
  response.writeHead(from === undefined ? 200 : 206, {
    'accept-ranges': 'bytes',
    'content-length': end - begin,
    ...(from !== undefined && { 'content-range': `bytes ${begin}-${end - 1}/${size}` }),
  });
  const chunks = async function* () {
    for (let at = begin; at < end;) {
      const number = Math.floor(at / BLOCK);
      const chunk = (await blocks(number)).subarray(at - number * BLOCK, end - number * BLOCK);
      if (!chunk.length) return; // the file ends before its size: the program hears of it
      yield chunk;
      at += chunk.length;
    }
  };
  await pipeline(Readable.from(chunks(), { objectMode: false, highWaterMark: 1 }), response);
}
