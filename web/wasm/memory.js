// One instance of a WebAssembly module of C: its memory, seen from JavaScript.

import { decodeText, encodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';

export function exhausted(what) {
  return new HalfclipError('memory/exhausted', `no memory left for ${what}`);
}

export class Memory {
  /**
   * @param {WebAssembly.Exports} exports malloc(), free() and hc_status_code() among them
   * @param {WebAssembly.Memory} [memory] where the module does not export its own
   */
  constructor(exports, memory = exports.memory) {
    this.exports = exports;
    this.memory = memory;
  }

  get memoryBytes() {
    return this.memory.buffer.byteLength;
  }

  // Views are made when they are used: memory that grows detaches the older ones. Pointers are unsigned.
  bytes(pointer, n) {
    return new Uint8Array(this.memory.buffer, pointer >>> 0, n);
  }

  floats(pointer, n) {
    return new Float32Array(this.memory.buffer, pointer >>> 0, n);
  }

  ints(pointer, n) {
    return new Int32Array(this.memory.buffer, pointer >>> 0, n);
  }

  doubles(pointer, n) {
    return new Float64Array(this.memory.buffer, pointer >>> 0, n);
  }

  /** The C string at `pointer`. */
  string(pointer) {
    const all = this.bytes(pointer, this.memoryBytes - (pointer >>> 0));
    return decodeText(all.slice(0, all.indexOf(0)));
  }

  /** `n` bytes, which the caller frees. */
  alloc(n, what) {
    const pointer = n <= 0xffff0000 ? this.exports.malloc(n) >>> 0 : 0;
    if (!pointer) throw exhausted(`${n} bytes of ${what}`);
    return pointer;
  }

  free(pointer) {
    this.exports.free(pointer);
  }

  /** A copy of `data` (text as UTF-8) in this memory, which the caller frees. */
  put(data, what) {
    const bytes =
      typeof data === 'string' ? encodeText(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const pointer = this.alloc(bytes.length, what);
    this.bytes(pointer, bytes.length).set(bytes);
    return { pointer, length: bytes.length };
  }

  /** Calls `work` with copies of `data`, and frees them whatever happens. */
  with(data, what, work) {
    const copy = this.put(data, what);
    try {
      return work(copy.pointer, copy.length);
    } finally {
      this.free(copy.pointer);
    }
  }

  /** Throws the HalfclipError that a status of C stands for. */
  check(status, message) {
    if (status) throw new HalfclipError(this.string(this.exports.hc_status_code(status)), message);
  }
}
