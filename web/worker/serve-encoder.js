// What a worker does: either one Encoder (encoder/encoder.js), driven by messages from worker-encoder.js, or the work
// of one further thread of an encoder (threads/helper-threads.js).
//
//   to the worker     { id, load: options, fetchPort? } | { id, call: method, args } | { id, abort: true } | { thread:
//                     { module, memory, stack, threads, number } }
//   from the worker   { id: 0 } at first, { id, result, memoryBytes, threads } | { id, error } | { id, progress }

import { packError } from '../base/errors.js';
import { Encoder } from '../encoder/encoder.js';
import { remoteFetch } from './remote-fetch.js';

/**
 * Answers messages for as long as the worker lives.
 * @param {{ listen: (receive: (message: object) => void) => void, postMessage: (message: object, transfer?:
 *   Transferable[]) => void, close: () => void }} port
 */
export function serve(port) {
  const aborts = new Map();
  let encoder;

  async function answer({ id, load, fetchPort, call, args }) {
    const abort = new AbortController();
    const { signal } = abort;
    aborts.set(id, abort);
    try {
      let result;
      if (load) {
        const fetch = fetchPort ? remoteFetch(fetchPort) : undefined;
        encoder = await Encoder.load(load, {
          fetch,
          signal,
          onProgress: (progress) => port.postMessage({ id, progress }),
        });
        result = encoder.info;
      } else {
        result = await encoder[call](args[0], { ...args[1], signal });
      }
      port.postMessage(
        { id, result, memoryBytes: encoder.info.memoryBytes, threads: encoder.info.threads },
        buffersOf(result),
      );
    } catch (error) {
      port.postMessage({ id, error: packError(error) });
    } finally {
      aborts.delete(id);
    }
  }

  port.listen((message) => {
    if (message.thread) {
      compute(message.thread);
      port.close();
    } else if (message.abort) aborts.get(message.id)?.abort();
    else answer(message);
  });
  port.postMessage({ id: 0 });
}

const buffersOf = (result) => [result].flat().flatMap((array) => (ArrayBuffer.isView(array) ? [array.buffer] : []));

/** Runs the encoder's module on its memory, and does chunks of its loops until it is told to stop. */
function compute({ module, memory, stack, threads, number }) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, write: () => 1 } });
  exports.__stack_pointer.value = stack;
  exports.hc_threads_work(threads, number);
}
