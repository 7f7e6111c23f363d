// Configs with numbers that no model has, in WebAssembly, where sizes have 32 bits: each ends as the native build for
// 64 bits says (build/unit/extreme.jsonl, made by tests/unit/test_extreme.c), and the next ordinary load works.
// Checkpoints are made up while they are read, as in tests/unit/made_up.h.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { loadImageEncoder, loadTextEncoder } from '../../dist/index.js';
import './support.mjs';

const LINES = readFileSync(new URL('../../build/unit/extreme.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n');
const CASES = LINES.map((line) => ({ ...JSON.parse(line), header: /"header":(.*),"bytes":/.exec(line)[1] }));
const PERIOD = 4099;
const load = { image: loadImageEncoder, text: loadTextEncoder };

/** Bits of a half; of those that a float holds exactly. */
function half(value) {
  if (!value) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
}

const pattern = Uint16Array.from({ length: PERIOD }, (_, i) => half((((i * 37) % 257) - 128) / 1024));
const periods = [pattern, pattern.map((bits) => bits & 0x7fff)].map(({ buffer }) => new Uint8Array(buffer));

/** A server that has the checkpoint, piece by piece. */
function serve({ header, bytes, positive }) {
  const period = periods[positive];
  const text = new TextEncoder().encode(header);
  const head = new Uint8Array(8 + text.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(text.length), true);
  head.set(text, 8);
  const size = head.length + bytes;
  return async (_, { headers }) => {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(new Headers(headers).get('range')) ?? [, 0, ''];
    const end = last === '' ? size : Math.min(size, Number(last) + 1);
    let at = Number(first);
    const body = new ReadableStream({
      pull(controller) {
        if (at >= end) return controller.close();
        const n = Math.min(1 << 16, end - at);
        const piece = Uint8Array.from({ length: n }, (_, i) =>
          at + i < head.length ? head[at + i] : period[(at + i - head.length) % period.length],
        );
        at += n;
        controller.enqueue(piece);
      },
    });
    return new Response(body, {
      status: 206,
      headers: {
        'content-range': `bytes ${first}-${end - 1}/${size}`,
        'content-length': String(end - Number(first)),
        etag: '"made-up"',
      },
    });
  };
}

/** FNV-1a. */
function hash(vector) {
  let [high, low] = [0xcbf29ce4, 0x84222325];
  for (const byte of new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)) {
    low = (low ^ byte) >>> 0;
    const product = low * 0x1b3; // times 2^40 + 0x1b3
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
    low = product >>> 0;
  }
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

function inputOf({ tower, info }) {
  if (tower === 'image') {
    const [height, width] = [info.imageSize, info.imageSize].flat();
    return Float32Array.from({ length: 3 * height * width }, (_, i) => ((i % 2003) - 1001) / 1001);
  }
  const { contextLength, vocabSize } = info;
  return Int32Array.from({ length: contextLength }, (_, i) =>
    i + 1 === contextLength ? vocabSize - 1 : (i % 1009) % vocabSize,
  );
}

async function walk(entry, fetch = serve(entry)) {
  const { tower, config, dtype } = entry;
  const encoder = await load[tower]({
    model: config,
    weights: 'https://made-up.test/model.safetensors',
    dtype,
    worker: false,
    threads: 1,
    cache: 'no-store',
    fetch,
  });
  try {
    const { info } = encoder;
    const embed = tower === 'image' ? 'embedPixels' : 'embedTokens';
    // What takes long is left after a moment.
    const signal = entry.left ? AbortSignal.timeout(50) : undefined;
    const vectors = await encoder[embed](inputOf({ tower, info }), { signal }).catch((error) => {
      if (error !== signal?.reason) throw error;
      return null;
    });
    return { info, hash: vectors && hash(vectors) };
  } finally {
    encoder.dispose();
  }
}

const ordinary = CASES.slice(0, 2);

for (const entry of CASES) {
  test(entry.name, async () => {
    const { name, tower, code, huge, left, bytes } = entry;
    if (huge) {
      // Where its header can be loaded the server fails: the numbers would take long.
      const served = serve(entry);
      let answers = 0;
      const fetch = async (url, options) =>
        ++answers > 1 ? new Response(null, { status: 410 }) : served(url, options);
      await assert.rejects(
        walk(entry, fetch),
        ({ code: found, message }) => found === 'http/status' || (found === 'memory/exhausted' && / GB/.test(message)),
      );
    } else if (code) {
      await assert.rejects(
        walk(entry),
        ({ code: found, message }) => found === code && / [MG]B |tokens|image_size|expected/.test(message),
      );
    } else {
      const { info, hash: found } = await walk(entry);
      if (!left) assert.equal(found, entry.hash, name);
      assert.ok(info.memoryBytes <= 200e6 + 48 * bytes, `${info.memoryBytes} bytes of memory for a file of ${bytes}`);
    }
    for (const next of ordinary) assert.equal((await walk(next)).hash, next.hash, `${next.name} after ${name}`);
  });
}
