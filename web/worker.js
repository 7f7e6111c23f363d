// The worker: one Encoder (encoder.js), driven by messages from worker-client.js.
//
//   to the worker     { id, load: options, fetchPort? } | { id, call: method, args } | { id, abort: true }
//   from the worker   { id: 0 } at first, { id, result, memoryBytes, threads } | { id, error } | { id, progress }

import { Encoder } from './encoder.js';
import { packError } from './errors.js';
import { importNode, isNode } from './platform.js';
import { remoteFetch } from './remote-fetch.js';

function serve(port) {
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
        encoder = await Encoder.load(load, { fetch, signal, onProgress: (progress) => port.postMessage({ id, progress }) });
        result = encoder.info;
      } else {
        result = await encoder[call](args[0], { ...args[1], signal });
      }
      port.postMessage({ id, result, memoryBytes: encoder.info.memoryBytes, threads: encoder.info.threads }, buffersOf(result));
    } catch (error) {
      port.postMessage({ id, error: packError(error) });
    } finally {
      aborts.delete(id);
    }
  }

  port.onmessage = ({ data }) => {
    if (data.abort) aborts.get(data.id)?.abort();
    else answer(data);
  };
  port.postMessage({ id: 0 });
}

const buffersOf = (result) => [result].flat().flatMap((array) => (ArrayBuffer.isView(array) ? [array.buffer] : []));

if (isNode) importNode('worker_threads').then(({ parentPort }) => serve(parentPort));
else serve(globalThis);
