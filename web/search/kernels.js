// What computes an index's scores: the module of src/search that fits this engine, or the same in JavaScript.
//
// Kernels have `buffer`, the memory that addresses are of, whose bytes from `base` on are the caller's; reserve(end),
// which makes it large enough and may replace `buffer`; and the functions of src/search/search.h. Those for several threads
// have `threads`, how many compute; `most`, how many they were at first, who all need room; and find().

import relaxed from 'search-relaxed.wasm';
import simd128 from 'search-simd128.wasm';

import { getHost } from '../base/platform.js';
import { exhausted } from '../wasm/memory.js';
import { detectDot, detectSimd } from '../wasm/simd.js';
import { ScalarKernels } from './scalar.js';

const PAGE = 1 << 16;
const MODULES = { relaxed, simd128 };
const CALLS = ['prepare', 'score', 'best', 'sort', 'pairs', 'hash', 'take'];

/** Modules by their bytes. Those for pages have less than 4 kB, which every engine compiles at once on any thread. */
const compiled = new Map();

function compile(bytes) {
  if (!compiled.has(bytes)) compiled.set(bytes, new WebAssembly.Module(bytes));
  return compiled.get(bytes);
}

export class WasmKernels {
  /**
   * @param {'relaxed' | 'simd128'} name
   * @param {{ bytes: Uint8Array, memory: WebAssembly.Memory }} [other] another module of these kernels, and its memory
   */
  constructor(name, { bytes, memory } = { bytes: MODULES[name] }) {
    this.module = compile(bytes);
    const { exports } = new WebAssembly.Instance(this.module, { env: { memory } });
    this.name = name;
    this.exports = exports;
    this.memory = memory ?? exports.memory;
    this.buffer = this.memory.buffer; // kept, since asking for it takes time
    this.base = exports.__heap_base.value;
    for (const call of CALLS) this[call] = exports[`hc_search_${call}`];
  }

  reserve(end) {
    const have = this.buffer.byteLength;
    if (end <= have) return;
    // Some more, so that a vector more does not mean another view of memory each time.
    const pages = (bytes) => Math.ceil((bytes - have) / PAGE);
    for (const wanted of [end + (end >> 4), end]) {
      try {
        this.memory.grow(pages(wanted));
        this.buffer = this.memory.buffer;
        return;
      } catch {
        // There is not so much.
      }
    }
    throw exhausted(`${end} bytes of an index`);
  }
}

/** Of relaxed SIMD only what is one instruction is faster than the rest. */
const preferred = () => (detectSimd() === 'relaxed' && detectDot() === 'quads' ? 'relaxed' : 'simd128');

/**
 * @param {'relaxed' | 'simd128' | 'scalar'} [name] default: the fastest that there is
 * @param {number} [threads] the caller's included; fewer, where memory cannot be shared
 */
export function createKernels(name, threads = 1) {
  if (name === 'scalar') return new ScalarKernels();
  const { ThreadedKernels } = getHost();
  if (threads > 1 && ThreadedKernels) {
    try {
      return new ThreadedKernels(name ?? preferred(), threads);
    } catch {
      // Shared memory reserves all that it may ever grow to, which not every system allows.
    }
  }
  try {
    return new WasmKernels(name ?? preferred());
  } catch (error) {
    if (name) throw error;
    return new ScalarKernels(); // nothing may be compiled here, or the engine has no SIMD
  }
}
