// What a further thread of an encoder does, in its worker.

/**
 * The encoder's module once more, on its memory.
 * @param {{ module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number }} place stack: of this thread's own
 * @returns {WebAssembly.Exports}
 */
export function joinMemory({ module, memory, stack }) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, write: () => 1 } });
  exports.__stack_pointer.value = stack;
  return exports;
}

/**
 * Does chunks of the encoder's loops until it is told to stop.
 * @param {{ module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number, threads: number, number: number }} work
 *   as HelperThreads sends it
 */
export function help({ threads, number, ...place }) {
  joinMemory(place).hc_threads_work(threads, number);
}
