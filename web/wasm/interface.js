// The numbers and the orders that C has for things, all of them here: tests/node/interface.test.mjs compares them with
// src/halfclip.h, wasm/exports.c and wasm/build.mk.

/** hc_tower */
export const TOWERS = { image: 0, text: 1, video: 2 };

/** hc_dtype */
export const DTYPES = { auto: 0, fp32: 1, fp16: 2, int8: 3, int4: 4 };

/** hc_dot */
export const DOTS = { pairs: 0, quads: 1 };

/** hc_clean */
export const CLEANS = { lower: 0, whitespace: 1, canonicalize: 2 };

/** hc_mode, by the number of a picture's channels. */
export const MODES = { 3: 0, 4: 1 };

/** hc_picture_format, as messages call the formats. */
const FORMATS = [null, 'PNG', 'GIF', 'BMP', 'JPEG', 'WebP', 'AVIF', 'HEIF', 'TIFF', 'SVG'];

/** hc_info, in the order of hc_wasm_info. */
const INFO = [
  ...['tower', 'dtype', 'dim', 'tokensOut', 'contextLength', 'vocabSize', 'imageHeight', 'imageWidth', 'threads'],
  ...['batch', 'parameters', 'memoryBytes'],
];

/** hc_picture_info, in the order of hc_wasm_picture_info. */
const PICTURE_INFO = ['format', 'width', 'height', 'channels', 'ends', 'orientation', 'orientationAt'];

/** hc_video_info, in the order of hc_wasm_video. */
const VIDEO = ['temporal', 'mostFrames', 'seen', 'logitScale'];

/** hc_operation_result, in the order of hc_wasm_result. */
const RESULT = ['at', 'rows', 'n', 'stride'];

/** hc_operation, in the order of hc_wasm_operation, which gives its two texts apart. */
const OPERATION = ['rows', 'height', 'width', 'n', 'k', 'multiplications'];

/** hc_calibrated, in the order of hc_wasm_calibration_tensor, which gives its name apart. */
const CALIBRATED = ['bits', 'weights', 'bytes4', 'bytes8'];

/** Pages of 64 KiB of the modules for threads, as wasm/build.mk links them. */
export const SHARED_PAGES = { initial: 16, maximum: 65536 };

const nameOf = (names, number) => Object.keys(names).find((name) => names[name] === number);

/** The fields that `fill` writes, a double each, by their names. */
function readFields(wasm, names, fill) {
  const out = wasm.alloc(8 * names.length, 'numbers');
  fill(out);
  const numbers = wasm.doubles(out, names.length);
  const fields = Object.fromEntries(names.map((name, i) => [name, numbers[i]]));
  wasm.free(out);
  return fields;
}

/**
 * What an encoder is: hc_info, with names in place of numbers.
 * @param {import('./memory.js').Memory} wasm
 * @param {number} encoder
 */
export function readInfo(wasm, encoder) {
  const info = readFields(wasm, INFO, (out) => wasm.exports.hc_wasm_info(encoder, out));
  return { ...info, tower: nameOf(TOWERS, info.tower), dtype: nameOf(DTYPES, info.dtype) };
}

/**
 * What a video tower is besides: hc_video_info.
 * @param {import('./memory.js').Memory} wasm
 * @param {number} encoder
 */
export const readVideo = (wasm, encoder) => readFields(wasm, VIDEO, (out) => wasm.exports.hc_wasm_video(encoder, out));

/**
 * What a file says of the picture in it: hc_picture_info, with the format's name, or null.
 * @param {import('./memory.js').Memory} wasm
 * @param {{ pointer: number, length: number }} file in its memory
 */
export function readPictureInfo(wasm, { pointer, length }) {
  const info = readFields(wasm, PICTURE_INFO, (out) => wasm.exports.hc_wasm_picture_info(pointer, length, out));
  return { ...info, format: FORMATS[info.format] };
}

/**
 * One of the operations that a tower is, in the order of computing: hc_operation; null behind the last.
 * @param {import('./memory.js').Memory} wasm
 * @param {number} encoder
 * @param {number} index
 */
export function readOperation(wasm, encoder, index) {
  const texts = wasm.alloc(8, 'pointers');
  let found;
  const numbers = readFields(wasm, OPERATION, (out) => {
    found = wasm.exports.hc_wasm_operation(encoder, index, out, texts);
  });
  const [kind, name] = found ? Array.from(wasm.ints(texts, 2), (pointer) => wasm.string(pointer)) : [];
  wasm.free(texts);
  return found ? { kind, name, ...numbers } : null;
}

/**
 * Rows that the last operation made, in the encoder's memory, for reading and writing: hc_embed_result; none behind the
 * last operation.
 * @param {import('./memory.js').Memory} wasm
 * @param {number} encoder
 * @param {number} index of the operation
 * @returns {Float32Array[]}
 */
export function readResult(wasm, encoder, index) {
  let found;
  const { at, rows, n, stride } = readFields(wasm, RESULT, (out) => {
    found = wasm.exports.hc_wasm_result(encoder, index, out);
  });
  return Array.from({ length: found ? rows : 0 }, (_, row) => wasm.floats(at + 4 * row * stride, n));
}

/**
 * The tensors of the tower that a loader is made for, as OpenCLIP's state dict has them.
 * @param {import('./memory.js').Memory} wasm
 * @param {number} loader of a config
 * @returns {{ name: string, shape: number[] }[]}
 */
export function readTensors(wasm, loader) {
  const out = wasm.alloc(20, 'a shape');
  const tensors = [];
  for (let name; (name = wasm.exports.hc_wasm_tensor(loader, tensors.length, out));) {
    const [rank, ...shape] = wasm.ints(out, 5);
    tensors.push({ name: wasm.string(name), shape: shape.slice(0, rank) });
  }
  wasm.free(out);
  return tensors;
}

/**
 * The tensors of a tower that is calibrated, in their order: hc_calibrated.
 * @param {import('./memory.js').Memory} wasm
 * @param {number} calibration
 * @returns {{ name: string, bits: 0 | 4 | 8, weights: number, bytes4: number, bytes8: number }[]}
 */
export function readCalibrated(wasm, calibration) {
  const tensors = [];
  for (;;) {
    let name;
    const fields = readFields(wasm, CALIBRATED, (out) => {
      name = wasm.exports.hc_wasm_calibration_tensor(calibration, tensors.length, out);
    });
    if (!name) return tensors;
    tensors.push({ name: wasm.string(name), ...fields });
  }
}
