// From the rows of a picture to what the tower gets, in WebAssembly: few of them are there at a time.

import { HalfclipError } from '../base/errors.js';
import { breathe } from '../base/platform.js';
import { MODES } from '../wasm/interface.js';

/** About how many pixels are done between two looks at the signal: some milliseconds. */
const PIXELS_AT_ONCE = 1 << 20;

/** Bytes that hc_planes_rows may write past the end of rows. */
const SLACK = 32;

/** Blocks of WebAssembly's memory that last as long as `work` does. */
async function withMemory(wasm, work) {
  const blocks = [];
  const keep = (block) => {
    blocks.push(block.pointer);
    return block;
  };
  try {
    return await work(
      (n, what) => keep({ pointer: wasm.alloc(n, what), length: n }),
      (data, what) => keep(wasm.put(data, what)),
    );
  } finally {
    for (const pointer of blocks) wasm.free(pointer);
  }
}

/**
 * A preprocessor of C: `make` gives one, and `feed` gives it rows.
 * @param {(config: { pointer: number, length: number }, out: number) => number} make out: room for three numbers
 * @param {(preprocessor: number, alloc: Function, out: number) => Promise<void>} feed
 * @returns {Promise<Float32Array>} [3, H, W]
 */
function preprocess(wasm, config, make, feed) {
  const { exports } = wasm;
  return withMemory(wasm, async (alloc, put) => {
    const out = alloc(12, 'a size').pointer;
    const preprocessor = make(put(config, 'the config'), out) >>> 0;
    try {
      const [status, height, width] = wasm.ints(out, 3);
      wasm.check(status, 'the picture cannot be resized: no memory is left, or preprocess_cfg cannot be used');
      await feed(preprocessor, alloc, out);
      const count = 3 * height * width;
      const pixels = alloc(4 * count, 'pixels').pointer;
      wasm.check(exports.hc_preprocessor_finish(preprocessor, pixels), 'the picture has too few rows');
      return wasm.floats(pixels, count).slice();
    } finally {
      exports.hc_preprocessor_free(preprocessor);
    }
  });
}

/**
 * A picture whose rows come from JavaScript.
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {{ width: number, height: number, channels: 3 | 4 }} picture
 * @param {object} options
 * @param {string} options.config as JSON
 * @param {number} options.orientation 1 to 8, as in EXIF
 * @param {AbortSignal} [options.signal]
 * @param {(y: number, rows: number, target: () => Uint8Array) => void | Promise<void>} readRows puts rows y, y + 1 …
 *   into target(), a view of a memory that may grow
 * @returns {Promise<Float32Array>} [3, H, W]
 */
export function preprocessRows(wasm, { width, height, channels }, { config, orientation, signal }, readRows) {
  const { exports } = wasm;
  const make = ({ pointer, length }, out) =>
    exports.hc_wasm_preprocessor(pointer, length, width, height, MODES[channels], orientation, out);
  return preprocess(wasm, config, make, async (preprocessor, alloc) => {
    const most = Math.min(height, Math.max(1, Math.floor(PIXELS_AT_ONCE / width)));
    const buffer = alloc(most * width * channels + SLACK, 'rows of a picture').pointer;
    for (let y = 0; y < height; y += most) {
      await breathe();
      signal?.throwIfAborted();
      const rows = Math.min(most, height - y);
      await readRows(y, rows, () => wasm.bytes(buffer, rows * width * channels));
      exports.hc_preprocessor_push(preprocessor, buffer, rows);
    }
  });
}

/**
 * A PNG, GIF or BMP file, which C reads itself.
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {{ pointer: number, length: number }} file in wasm's memory
 * @param {object} options
 * @param {string} options.config as JSON
 * @param {string} options.name how messages call it
 * @param {number} options.orientation
 * @param {AbortSignal} [options.signal]
 * @param {(width: number, height: number) => void} checkSize throws if it is too large
 * @returns {Promise<Float32Array>} [3, H, W]
 */
export async function preprocessFile(wasm, file, { config, name, orientation, signal }, checkSize) {
  const { exports } = wasm;
  const reader = exports.hc_picture_reader_new(file.pointer, file.length) >>> 0;
  const checkFile = () => {
    const problem = exports.hc_picture_reader_problem(reader);
    if (problem)
      throw new HalfclipError('input/decode', `${name}: cannot be decoded as a picture: ${wasm.string(problem)}`);
  };
  try {
    if (!reader) throw new HalfclipError('memory/exhausted', `${name}: no memory left for the picture`);
    checkFile();
    const make = ({ pointer, length }, out) => {
      exports.hc_wasm_reader_size(reader, out);
      checkSize(...wasm.ints(out, 2));
      return exports.hc_wasm_reader_preprocessor(pointer, length, reader, orientation, out);
    };
    return await preprocess(wasm, config, make, async (preprocessor, alloc, left) => {
      do {
        const status = exports.hc_picture_reader_read(reader, preprocessor, PIXELS_AT_ONCE, left);
        checkFile();
        wasm.check(status, `${name}: no memory left for the picture`);
        await breathe();
        signal?.throwIfAborted();
      } while (wasm.ints(left, 1)[0]);
    });
  } finally {
    exports.hc_picture_reader_free(reader);
  }
}
