// Kernels that score on several threads, where programs search among millions of vectors: not in the script for pages,
// which would grow by a quarter.

import relaxed from 'search-relaxed-threads.wasm';
import simd128 from 'search-simd128-threads.wasm';

import { HelperThreads } from '../threads/helper-threads.js';
import { SHARED_PAGES } from '../wasm/interface.js';
import { WasmKernels } from './kernels.js';

const MODULES = { relaxed, simd128 };
const STACK = 1 << 12; // bytes for each further thread, as wasm/build.mk gives the first one

/** Ends the threads of indexes that nobody uses any more. */
const forgotten = new FinalizationRegistry((helpers) => helpers.stop());

export class ThreadedKernels extends WasmKernels {
  #helpers;

  constructor(name, threads) {
    const memory = new WebAssembly.Memory({ ...SHARED_PAGES, shared: true });
    super(name, { bytes: MODULES[name], memory });
    const { module, exports } = this;
    const pool = exports.hc_threads_new(threads);
    let stack = this.base;
    this.base += (threads - 1) * STACK;
    this.most = threads;
    const share = () => ({ module, memory, stack: (stack += STACK) });
    this.#helpers = new HelperThreads({ exports, share }, pool, threads);
    forgotten.register(this, this.#helpers);
    this.find = (...job) => exports.hc_search_find(pool, ...job);
    this.pairs = (...job) => exports.hc_search_share_pairs(pool, ...job);
  }

  get threads() {
    return this.#helpers.count;
  }
}
