// One instance of the WebAssembly module: its memory, seen from JavaScript. An encoder has an instance of its own, so
// that dropping the encoder gives all its memory back.

import { HalfclipError, messageOf } from '../base/errors.js';
import { findAssets } from '../network/assets.js';
import { joinMemory } from '../threads/helper.js';
import { HelperThreads, countThreads } from '../threads/helper-threads.js';
import { SHARED_PAGES } from './interface.js';
import { Memory, exhausted } from './memory.js';
import { compileGiven, compileOnce, needsThreads } from './modules.js';
import { detectSimd } from './simd.js';

const STACK = 1 << 17; // bytes for each further thread; kernels keep up to 45 kB there
const WORTH = 1e7; // parameters from which `auto` starts threads: smaller towers take milliseconds

/** What `make` makes, of which there may not be enough memory for another one. */
function reserve(make) {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) throw exhausted('another WebAssembly instance');
    throw new HalfclipError(
      'input/type',
      `the WebAssembly module is not one of this version of halfclip: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

const instantiate = (module, imports) =>
  reserve(() => {
    const { exports } = new WebAssembly.Instance(module, imports);
    if (!exports.hc_status_code) throw new TypeError('it exports nothing of what is needed');
    return exports;
  });

/**
 * A module of its own, for what few loads need.
 * @param {'halfclip-files.wasm'} name
 * @param {Record<string, string[]>} [places] from findAssets
 */
export async function createReader(name, places = findAssets()) {
  return new Memory(instantiate(await compileOnce(name, places[name]), {}));
}

/** What another thread's instance has in its memory, seen from this thread, which must take none of it. */
export class Joined extends Memory {
  /** @param {{ module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number }} place from share() */
  constructor(place) {
    super(joinMemory(place), place.memory);
    this.module = place.module;
  }

  /** An empty instance of the same module. */
  spawn() {
    return new Wasm(this.module, { count: 1 });
  }
}

export class Wasm extends Memory {
  /**
   * @param {{ simd?: 'relaxed' | 'simd128', threads?: 'auto' | number, places?: Record<string, string[]>, assets?:
   *   string, wasm?: WebAssembly.Module | BufferSource | string, families?: 'vit' | 'all' }} [options] as in
   *   LoadOptions; places: from findAssets; assets: from assetsFolder; wasm: a URL as a string; families: which towers
   *   it can load, see families.js
   */
  static async create({ simd, threads = 1, places, assets, wasm, families = 'all' } = {}) {
    const count = countThreads(threads);
    const wanted = count > 1 ? { count, auto: threads === 'auto', assets } : null;
    if (wasm !== undefined) {
      const module = await compileGiven(wasm);
      const threaded = needsThreads(module);
      if (threaded && !wanted)
        throw new HalfclipError(
          'input/type',
          'option wasm is a module for several threads, expected that for one: there is one thread here, or as the option threads says',
        );
      return new Wasm(module, threaded ? wanted : null);
    }
    const name = `halfclip-${families === 'vit' ? 'vit-' : ''}${simd ?? detectSimd()}`;
    const found = places ?? findAssets(assets);
    const compile = (name) => compileOnce(name, found[name]);
    if (wanted) {
      try {
        return new Wasm(await compile(`${name}-threads.wasm`), wanted);
      } catch (error) {
        // Shared memory reserves all that it may ever grow to, which not every system allows.
        if (error.code !== 'memory/exhausted') throw error;
      }
    }
    return new Wasm(await compile(`${name}.wasm`));
  }

  #wanted;
  #room = 0; // pointer to four bytes

  constructor(module, wanted = null) {
    const memory = wanted ? reserve(() => new WebAssembly.Memory({ ...SHARED_PAGES, shared: true })) : undefined;
    const write = (pointer, n) => {
      this.write(this.bytes(pointer, n));
      return 0;
    };
    super(instantiate(module, { env: { write, memory } }), memory);
    this.module = module;
    this.#wanted = wanted;
    /** The threads of the tower in this memory, once there are any. */
    this.threads = null;
    /** Receives the pieces of a shard: (bytes: Uint8Array) => void. */
    this.write = null;
    this.flavour = this.exports.hc_wasm_relaxed() ? 'relaxed' : 'simd128';
  }

  /** A second, empty instance of the same module. */
  spawn() {
    return new Wasm(this.module, this.#wanted);
  }

  /** A loader of C, told of the threads; the caller frees it. */
  newLoader(tower, config, configLength, dtype) {
    const loader = this.exports.hc_loader_new(tower, config, configLength, dtype);
    if (!loader) throw exhausted('a loader');
    if (this.#wanted) this.exports.hc_loader_set_threads(loader, this.#wanted.count);
    return loader;
  }

  /**
   * Where the bytes of a weight file from `offset` on end up as they are, see hc_loader_place.
   * @returns {{ pointer: number, length: number }} length: of `n` bytes, as many as have their place there; pointer 0:
   *   they have to be pushed from elsewhere
   */
  place(loader, offset, n) {
    this.#room ||= this.alloc(4, 'a size');
    this.ints(this.#room, 1)[0] = n;
    const pointer = this.exports.hc_wasm_place(loader, offset, this.#room) >>> 0;
    return { pointer, length: this.ints(this.#room, 1)[0] };
  }

  /**
   * Starts the threads of the tower that is being loaded, as soon as its header is known, so that they are there when
   * it is.
   */
  startThreads(loader) {
    if (!this.#wanted || this.threads) return;
    const { exports } = this;
    const { count, auto, assets } = this.#wanted;
    const pool = exports.hc_wasm_threads(loader) >>> 0;
    const isWorth = pool && !(auto && exports.hc_wasm_parameters(loader) < WORTH);
    this.threads = new HelperThreads({ exports, share: () => this.share() }, pool, isWorth ? count : 1, assets);
  }

  /** Ends the threads: to be called for every instance that may have started some. */
  release() {
    this.threads?.stop();
  }

  /** Where another thread joins, see Joined. */
  share() {
    const { module, memory } = this;
    return { module, memory, stack: this.allocStack() };
  }

  /** Memory for a thread's stack, which grows down from the end that this gives. */
  allocStack() {
    return this.alloc(STACK, 'a stack') + STACK;
  }
}
