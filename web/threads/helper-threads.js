// The other threads of an encoder or of an index: workers that run its module on its memory (helper.js). They spin
// briefly and then sleep while there is nothing to do.

import { getHost, isNode } from '../base/platform.js';
import { listenTo, startWorker } from './start-worker.js';

const AUTO = 8; // at most: more gain little for one input at a time

/**
 * Whether memory can be shared between threads here: in pages only with the headers that isolate them from other
 * origins.
 */
const canShare = () => typeof SharedArrayBuffer === 'function' && (isNode || globalThis.crossOriginIsolated === true);

/**
 * How many threads the option `threads` stands for here, this one included.
 * @param {'auto' | number} [wanted]
 */
export function countThreads(wanted = 'auto') {
  if (wanted === 1 || !canShare()) return 1;
  if (wanted !== 'auto') return wanted;
  const cores = globalThis.navigator?.hardwareConcurrency ?? (isNode ? getHost().countCores() : 1);
  return Math.max(1, Math.min(cores, AUTO));
}

/** Whether this thread may sleep until others are done: a page's must not. */
function maySleep() {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1);
    return true;
  } catch {
    return false;
  }
}

export class HelperThreads {
  /** How many compute, the caller's included. */
  count = 1;
  /** Called when there are fewer. */
  onLost = () => {};
  /** Called when they end: what else works in this memory has to end, too. */
  onStop = () => {};
  #exports;
  #pool;
  #workers = [];
  #stopped = false;

  /**
   * Starts them.
   * @param {{ exports: WebAssembly.Exports, share(): { module: WebAssembly.Module, memory: WebAssembly.Memory, stack:
   *   number } }} place share: where one of them joins, with a stack of its own
   * @param {number} pool pointer to the hc_threads, or 0
   * @param {number} count with the caller's
   * @param {string} [assets]
   */
  constructor({ exports, share }, pool, count, assets) {
    this.#exports = exports;
    this.#pool = pool;
    if (count > 1 && !maySleep()) exports.hc_threads_may_sleep(pool, 0);
    this.count = count;
    for (let number = 1; number < count; number++) this.#start({ ...share(), threads: pool, number }, assets);
  }

  /** A worker that cannot be had is not missed: the others take its share. */
  async #start(thread, assets) {
    const lose = () => {
      if (this.#stopped) return;
      this.count--;
      this.onLost();
    };
    try {
      const worker = await startWorker(assets);
      if (this.#stopped) return void worker.terminate();
      this.#workers.push(worker);
      listenTo(worker, () => {}, lose);
      worker.unref?.();
      worker.postMessage({ thread });
    } catch {
      lose();
    }
  }

  stop() {
    if (this.#stopped) return;
    this.#stopped = true;
    this.onStop();
    if (this.#pool) this.#exports.hc_threads_stop(this.#pool);
    for (const worker of this.#workers) worker.terminate();
    this.#workers = [];
  }
}
