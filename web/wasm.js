// One instance of the WebAssembly module: its memory, seen from JavaScript. An encoder has an instance of its own, so that dropping the encoder gives all
// its memory back.

import { HalfclipError } from './errors.js';
import { importNode } from './platform.js';
import { Threads, countThreads } from './threads.js';

const MODULES = {
  relaxed: () => new URL('./halfclip-relaxed.wasm', import.meta.url),
  simd128: () => new URL('./halfclip-simd128.wasm', import.meta.url),
  'relaxed-threads': () => new URL('./halfclip-relaxed-threads.wasm', import.meta.url),
  'simd128-threads': () => new URL('./halfclip-simd128-threads.wasm', import.meta.url),
};
const SHARED = { initial: 16, maximum: 65536, shared: true }; // pages of 64 KiB, as the modules for threads were linked (wasm/build.mk)
const STACK = 1 << 17; // bytes for each further thread; kernels keep up to 45 kB there

const compiled = new Map();
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Bytes of a file that lies beside this module. */
export async function readAsset(url) {
  if (url.protocol === 'file:') return (await importNode('fs/promises')).readFile(url);
  return new Uint8Array(await (await fetchAsset(url)).arrayBuffer());
}

async function fetchAsset(url) {
  const response = await fetch(url);
  if (!response.ok) throw new HalfclipError('http/status', `${url}: HTTP status ${response.status}, expected 200`, { status: response.status });
  return response;
}

async function compile(name) {
  const url = MODULES[name]();
  if (url.protocol === 'file:') return WebAssembly.compile(await readAsset(url));
  const response = await fetchAsset(url);
  // Only a server that names the right media type can be compiled while it streams.
  if (response.headers.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

function compileOnce(name) {
  let module = compiled.get(name);
  if (!module) {
    module = compile(name);
    compiled.set(name, module);
    module.catch(() => compiled.delete(name));
  }
  return module;
}

export function exhausted(what) {
  return new HalfclipError('memory/exhausted', `no memory left for ${what}`);
}

export class Wasm {
  /**
   * @param {'relaxed' | 'simd128'} flavour
   * @param {'auto' | number} [threads] as in LoadOptions
   */
  static async create(flavour, threads = 1) {
    const count = await countThreads(threads);
    if (count > 1) {
      try {
        return new Wasm(await compileOnce(`${flavour}-threads`), flavour, { count, auto: threads === 'auto' });
      } catch (error) {
        if (error.code !== 'memory/exhausted') throw error; // shared memory reserves all that it may ever grow to, which not every system allows
      }
    }
    return new Wasm(await compileOnce(flavour), flavour);
  }

  #wanted;
  #room = 0; // pointer to four bytes

  constructor(module, flavour, wanted = null) {
    this.module = module;
    this.flavour = flavour;
    this.#wanted = wanted;
    /** The threads of the tower in this memory, once there are any. */
    this.threads = null;
    /** Receives the pieces of a shard: (bytes: Uint8Array) => void. */
    this.write = null;
    const write = (pointer, n) => {
      this.write(this.bytes(pointer, n));
      return 0;
    };
    try {
      const env = wanted ? { write, memory: new WebAssembly.Memory(SHARED) } : { write };
      this.exports = new WebAssembly.Instance(module, { env }).exports;
      this.memory = env.memory ?? this.exports.memory;
    } catch (error) {
      if (error instanceof RangeError) throw exhausted('another WebAssembly instance');
      throw error;
    }
  }

  /** A second, empty instance of the same module. */
  spawn() {
    return new Wasm(this.module, this.flavour, this.#wanted);
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
   * @returns {{ pointer: number, length: number }} length: of `n` bytes, as many as have their place there; pointer 0: they have to be pushed from elsewhere
   */
  place(loader, offset, n) {
    this.#room ||= this.alloc(4, 'a size');
    this.ints(this.#room, 1)[0] = n;
    const pointer = this.exports.hc_wasm_place(loader, offset, this.#room) >>> 0;
    return { pointer, length: this.ints(this.#room, 1)[0] };
  }

  /** Starts the threads of the tower that is being loaded, as soon as its header is known, so that they are there when it is. */
  startThreads(loader) {
    if (this.#wanted) this.threads ??= new Threads(this, loader, this.#wanted);
  }

  /** Ends the threads: to be called for every instance that may have started some. */
  release() {
    this.threads?.stop();
  }

  /** Memory for a thread's stack, which grows down from the end that this gives. */
  allocStack() {
    return this.alloc(STACK, 'a stack') + STACK;
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
    return decoder.decode(all.slice(0, all.indexOf(0)));
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
    const bytes = typeof data === 'string' ? encoder.encode(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
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
