// web/png.js against an encoder that is written the other way round: from samples to strings of bits to bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync } from 'node:zlib';

import { decodePng, isPng } from '../../web/png.js';

const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/** Small numbers that look random and are the same every time (a linear congruential generator). */
function generator(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function chunk(type, body) {
  const out = Buffer.alloc(12 + body.length);
  out.writeUInt32BE(body.length, 0);
  out.write(type, 4, 'latin1');
  Buffer.from(body).copy(out, 8);
  return out;
}

function paeth(a, b, c) {
  const p = a + b - c;
  const order = [[Math.abs(p - a), a], [Math.abs(p - b), b], [Math.abs(p - c), c]];
  return order.reduce((best, candidate) => (candidate[0] < best[0] ? candidate : best))[1];
}

function filterRow(filter, row, above, step) {
  return row.map((value, i) => {
    const a = row[i - step] ?? 0;
    const b = above?.[i] ?? 0;
    const c = above?.[i - step] ?? 0;
    return (value - [0, a, b, (a + b) >> 1, paeth(a, b, c)][filter]) & 255;
  });
}

/** @returns {{ file: Buffer, samples: number[][][] }}  samples[y][x][channel] */
function encode({ width, height, colour, depth, interlaced, palette, transparent }, random) {
  const channels = CHANNELS[colour];
  const samples = Array.from({ length: height }, () => Array.from({ length: width }, () => Array.from({ length: channels }, () => random(2 ** depth))));
  if (transparent && colour !== 3) samples[height >> 1][width >> 1] = [...transparent];
  const raw = [];
  for (const [x0, y0, dx, dy] of interlaced ? PASSES : [[0, 0, 1, 1]]) {
    let above;
    for (let y = y0; y < height; y += dy) {
      const pixels = samples[y].filter((_, x) => x >= x0 && (x - x0) % dx === 0);
      if (pixels.length === 0) break;
      const bits = pixels.flat().map((sample) => sample.toString(2).padStart(depth, '0')).join('');
      const row = bits.match(/.{1,8}/g).map((byte) => parseInt(byte.padEnd(8, '0'), 2));
      const filter = random(5);
      raw.push(filter, ...filterRow(filter, row, above, Math.max(1, (channels * depth) >> 3)));
      above = row;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, Number(interlaced)], 8);
  const data = deflateSync(Buffer.from(raw));
  const half = data.length >> 1;
  const file = Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), chunk('IHDR', header), chunk('tEXt', Buffer.from('a\0b')),
    ...(palette ? [chunk('PLTE', palette.flat())] : []),
    ...(transparent ? [chunk('tRNS', colour === 3 ? transparent : transparent.flatMap((sample) => [sample >> 8, sample & 255]))] : []),
    chunk('IDAT', data.subarray(0, half)), chunk('IDAT', data.subarray(half)), chunk('IEND', []),
  ]);
  return { file, samples };
}

function expected({ colour, depth, palette, transparent }, samples) {
  const to8 = (sample) => (depth === 16 ? sample >> 8 : (sample * 255) / (2 ** depth - 1));
  return samples.flat().flatMap((pixel) => {
    if (colour === 3) return [...palette[pixel[0]], transparent?.[pixel[0]] ?? 255];
    const hidden = transparent && pixel.every((sample, i) => sample === transparent[i]);
    const values = pixel.map(to8);
    const rgb = colour === 0 || colour === 4 ? [values[0], values[0], values[0]] : values.slice(0, 3);
    return [...rgb, colour === 4 || colour === 6 ? values.at(-1) : hidden ? 0 : 255];
  });
}

for (const [type, depths] of Object.entries(DEPTHS)) {
  const colour = Number(type);
  test(`colour type ${colour}: every depth, size, filter, interlacing and transparency`, async () => {
    const random = generator(colour + 1);
    for (const depth of depths) {
      for (const [width, height] of [[1, 1], [3, 2], [5, 9], [33, 17]]) {
        for (const interlaced of [false, true]) {
          for (const hidden of [undefined, { 0: [1], 2: [1, 2, 3], 3: [9, 0] }[colour]]) {
            const palette = colour === 3 ? Array.from({ length: 2 ** depth }, () => [random(256), random(256), random(256)]) : undefined;
            const picture = { width, height, colour, depth, interlaced, palette, transparent: hidden };
            const { file, samples } = encode(picture, random);
            const decoded = await decodePng(file);
            assert.deepEqual([decoded.width, decoded.height], [width, height]);
            assert.deepEqual([...decoded.data], expected(picture, samples), JSON.stringify({ depth, width, height, interlaced, hidden }));
          }
        }
      }
    }
  });
}

test('what is no PNG, or a damaged one, is refused in words', async () => {
  const { file } = encode({ width: 20, height: 10, colour: 2, depth: 8, interlaced: false }, generator(9));
  const broken = (change) => {
    const copy = Buffer.from(file);
    change(copy);
    return copy;
  };
  assert.equal(isPng(file), true);
  assert.equal(isPng(new Uint8Array(3)), false);
  await assert.rejects(() => decodePng(new TextEncoder().encode('<!doctype html>')), /not a PNG file/);
  await assert.rejects(() => decodePng(new Uint8Array()), /not a PNG file/);
  await assert.rejects(() => decodePng(file.subarray(0, 100)), /ends inside its IDAT chunk/);
  await assert.rejects(() => decodePng(file.subarray(0, file.length - 12)), /ends before its IEND chunk/);
  await assert.rejects(() => decodePng(broken((copy) => copy.writeUInt32BE(0, 16))), /picture of 0 × 10 pixels/);
  await assert.rejects(() => decodePng(broken((copy) => copy.writeUInt32BE(0xffffffff, 16))), /pixels/);
  await assert.rejects(() => decodePng(broken((copy) => copy.writeUInt32BE(11, 20))), /ends after 610 of 671 bytes/);
  await assert.rejects(() => decodePng(broken((copy) => copy.writeUInt32BE(9, 20))), /damaged/);
  await assert.rejects(() => decodePng(broken((copy) => (copy[24] = 4))), /colour type 2 with 4 bits/);
  await assert.rejects(() => decodePng(broken((copy) => (copy[25] = 3))), /no palette/);
  await assert.rejects(() => decodePng(broken((copy) => (copy[28] = 2))), /unknown compression, filter or interlacing/);
  await assert.rejects(() => decodePng(broken((copy) => (copy[file.length - 30] ^= 0xff))), /damaged/);
});

test('every single damaged byte gives a picture or an error that speaks of PNG, never a crash', async () => {
  const { file } = encode({ width: 9, height: 7, colour: 3, depth: 2, interlaced: true, palette: [[1, 2, 3], [4, 5, 6], [7, 8, 9]] },
    (below) => Math.min(below - 1, 2));
  for (let i = 0; i < file.length; i++) {
    const copy = Buffer.from(file);
    copy[i] ^= 0x15;
    try {
      await decodePng(copy);
    } catch (error) {
      assert.match(error.message, /PNG/);
    }
  }
});
