// What a further thread of an encoder does, in its worker.

/**
 * Runs the encoder's module on its memory, and does chunks of its loops until it is told to stop.
 * @param {{ module: WebAssembly.Module, memory: WebAssembly.Memory, stack: number, threads: number, number: number }} work
 *   as HelperThreads sends it
 */
export function help({ module, memory, stack, threads, number }) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, write: () => 1 } });
  exports.__stack_pointer.value = stack;
  exports.hc_threads_work(threads, number);
}
