// PNG to RGBA bytes with nothing but Node's zlib, for Node.js without `sharp`: every colour type, depth and interlacing of
// the PNG specification (W3C, third edition). Colour management chunks are left alone, as the encoders' training left them.

import { importNode } from './platform.js';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Colour type → samples a pixel, and the bit depths that the specification allows with it. */
const COLOUR_TYPES = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, depths: [8, 16] },
  3: { channels: 1, depths: [1, 2, 4, 8] },
  4: { channels: 2, depths: [8, 16] },
  6: { channels: 4, depths: [8, 16] },
};

/** Adam7: the seven passes as first column, first row, column step, row step. */
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
const WHOLE = [[0, 0, 1, 1]];

/** The largest picture in pixels: as many as 20,000 × 20,000. */
const MOST_PIXELS = 4e8;

/** @returns {boolean} whether these bytes start as a PNG file does */
export function isPng(bytes) {
  return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = { data: [] };
  for (let at = SIGNATURE.length; ;) {
    if (at + 12 > bytes.length) throw new Error('the PNG file ends before its IEND chunk');
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) throw new Error(`the PNG file ends inside its ${type} chunk`);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (type === 'IEND') return found;
    if (type === 'IDAT') found.data.push(body);
    else if (type === 'IHDR' || type === 'PLTE' || type === 'tRNS') found[type] = body;
    at += 12 + length;
  }
}

function readHeader(body) {
  if (body?.length !== 13) throw new Error('the PNG file has no header');
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const header = { width: view.getUint32(0), height: view.getUint32(4), depth: body[8], colour: body[9], interlace: body[12] };
  const { width, height, depth, colour } = header;
  if (!COLOUR_TYPES[colour]?.depths.includes(depth)) throw new Error(`PNG colour type ${colour} with ${depth} bits does not exist`);
  if (width === 0 || height === 0 || width * height > MOST_PIXELS) throw new Error(`a PNG picture of ${width} × ${height} pixels`);
  if (body[10] !== 0 || body[11] !== 0 || header.interlace > 1) throw new Error('the PNG file uses an unknown compression, filter or interlacing');
  return header;
}

/** Undoes a scanline's filter (section 9): adds to every byte what its neighbours predict. */
function unfilter(filter, row, above, pixelBytes) {
  for (let i = 0; i < row.length; i++) {
    const left = i < pixelBytes ? 0 : row[i - pixelBytes];
    const up = above ? above[i] : 0;
    if (filter === 1) row[i] += left;
    else if (filter === 2) row[i] += up;
    else if (filter === 3) row[i] += (left + up) >> 1;
    else if (filter === 4) {
      const corner = i < pixelBytes || !above ? 0 : above[i - pixelBytes];
      const estimate = left + up - corner;
      const [toLeft, toUp, toCorner] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - corner)];
      row[i] += toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
    }
  }
}

/**
 * Decodes a PNG file.
 * @param {Uint8Array} bytes  the whole file
 * @returns {Promise<{ data: Uint8Array, width: number, height: number }>}  RGBA, 4 bytes a pixel, alpha not premultiplied; samples of
 *   16 bits keep their high byte
 * @throws {Error} that says what is wrong with the file
 */
export async function decodePng(bytes) {
  if (!isPng(bytes)) throw new Error('not a PNG file');
  const { IHDR, PLTE, tRNS, data: compressed } = readChunks(bytes);
  const { width, height, depth, colour, interlace } = readHeader(IHDR);
  if (colour === 3 && !PLTE) throw new Error('the PNG file has no palette');

  const bits = COLOUR_TYPES[colour].channels * depth;
  const pixelBytes = Math.max(1, bits >> 3);
  const passes = (interlace ? ADAM7 : WHOLE)
    .map(([x, y, dx, dy]) => ({ x, y, dx, dy, columns: Math.ceil((width - x) / dx), rows: Math.ceil((height - y) / dy) }))
    .filter(({ columns, rows }) => columns > 0 && rows > 0)
    .map((pass) => ({ ...pass, rowBytes: Math.ceil((pass.columns * bits) / 8) }));
  const size = passes.reduce((sum, { rows, rowBytes }) => sum + rows * (rowBytes + 1), 0);
  const { inflateSync } = await importNode('zlib');
  let raw;
  try {
    // One byte of room beyond what the header promises: a file that holds more is not trusted with more memory.
    raw = inflateSync(Buffer.concat(compressed), { maxOutputLength: size + 1 });
  } catch (error) {
    throw new Error(`the PNG picture data is damaged (${error.message})`);
  }
  if (raw.length < size) throw new Error(`the PNG picture data ends after ${raw.length} of ${size} bytes`);

  const data = new Uint8Array(4 * width * height);
  const write = pixelWriter({ depth, colour, PLTE, tRNS, data });
  let at = 0;
  for (const { x, y, dx, dy, columns, rows, rowBytes } of passes) {
    let above;
    for (let r = 0; r < rows; r++, at += rowBytes + 1) {
      if (raw[at] > 4) throw new Error(`the PNG picture data has a scanline with the unknown filter ${raw[at]}`);
      const row = raw.subarray(at + 1, at + 1 + rowBytes);
      unfilter(raw[at], row, above, pixelBytes);
      above = row;
      for (let c = 0; c < columns; c++) write(row, c, 4 * ((y + r * dy) * width + x + c * dx));
    }
  }
  return { data, width, height };
}

/** @returns {(row: Uint8Array, column: number, target: number) => void} writes one pixel as RGBA at data[target…] */
function pixelWriter({ depth, colour, PLTE, tRNS, data }) {
  const sampleBytes = depth === 16 ? 2 : 1;
  const { channels } = COLOUR_TYPES[colour];
  const put = (target, red, green, blue, alpha) => {
    data[target] = red;
    data[target + 1] = green;
    data[target + 2] = blue;
    data[target + 3] = alpha;
  };

  if (channels === 1 && depth <= 8) {
    const mask = (1 << depth) - 1;
    const scale = 255 / mask;
    const transparent = tRNS?.length >= 2 ? (tRNS[0] << 8) | tRNS[1] : -1;
    return (row, column, target) => {
      const bit = column * depth;
      const sample = (row[bit >> 3] >> (8 - depth - (bit & 7))) & mask;
      if (colour === 3) {
        if (3 * sample + 2 >= PLTE.length) throw new Error(`the PNG picture uses colour ${sample} of a palette of ${PLTE.length / 3}`);
        put(target, PLTE[3 * sample], PLTE[3 * sample + 1], PLTE[3 * sample + 2], tRNS?.[sample] ?? 255);
      } else {
        const grey = sample * scale;
        put(target, grey, grey, grey, sample === transparent ? 0 : 255);
      }
    };
  }

  const grey = channels <= 2;
  const alphaAt = channels === 2 || channels === 4 ? (channels - 1) * sampleBytes : -1;
  const green = grey ? 0 : sampleBytes;
  const blue = grey ? 0 : 2 * sampleBytes;
  /** True for the one colour that tRNS makes transparent: two bytes a sample, whatever the depth. */
  const isTransparent = (row, at) => {
    for (let channel = 0; channel < channels; channel++) {
      const sample = sampleBytes === 2 ? (row[at + 2 * channel] << 8) | row[at + 2 * channel + 1] : row[at + channel];
      if (sample !== ((tRNS[2 * channel] << 8) | tRNS[2 * channel + 1])) return false;
    }
    return true;
  };
  return (row, column, target) => {
    const at = column * channels * sampleBytes;
    let alpha = 255;
    if (alphaAt >= 0) alpha = row[at + alphaAt];
    else if (tRNS && isTransparent(row, at)) alpha = 0;
    put(target, row[at], row[at + green], row[at + blue], alpha);
  };
}
