// A thread of an encoder (threads.js): runs the encoder's module on its memory, and does chunks of its loops until it is told to stop.

import { importNode, isNode } from './platform.js';

function run({ module, memory, stack, threads, number }) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, write: () => 1 } });
  exports.__stack_pointer.value = stack;
  exports.hc_threads_work(threads, number);
}

if (isNode) {
  importNode('worker_threads').then(({ workerData }) => run(workerData));
} else {
  globalThis.onmessage = ({ data }) => {
    run(data);
    globalThis.close();
  };
}
