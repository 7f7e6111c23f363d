// What a worker does: either one Encoder (encoder/encoder.js), driven by messages from worker-encoder.js, or the work
// of one further thread of an encoder (threads/helper.js).
//
//   to the worker     { id, load: options, fetchPort? } or { id, twin } from LoadedTower, { id, call, input, options }
//                     with the name of one of CALLS, { id, abort: true }, or { thread } from HelperThreads
//   from the worker   { id: 0 } at first, { id, result, memoryBytes, threads }, { id, error } or { id, progress }

import { packError } from '../base/errors.js';
import { CALLS } from '../encoder/calls.js';
import { Encoder } from '../encoder/encoder.js';
import { loadEncoder } from '../encoder/load-encoder.js';
import { LoadedTower } from '../encoder/loaded-tower.js';
import { help } from '../threads/helper.js';
import { Lanes } from './lanes.js';
import { remoteFetch } from './remote-fetch.js';

/**
 * Answers messages for as long as the worker lives.
 * @param {{ listen: (receive: (message: object) => void) => void, postMessage: (message: object, transfer?:
 *   Transferable[]) => void, close: () => void }} port
 */
export function serve(port) {
  const aborts = new Map();
  let encoder;

  async function answer({ id, load, twin, fetchPort, call, input, options }) {
    const abort = new AbortController();
    const { signal } = abort;
    aborts.set(id, abort);
    try {
      let result;
      if (load) {
        const fetch = fetchPort ? remoteFetch(fetchPort) : undefined;
        const hooks = { fetch, signal, onProgress: (progress) => port.postMessage({ id, progress }) };
        encoder = new Lanes(await loadEncoder(load, hooks), load.assets);
        result = encoder.info;
      } else if (twin) {
        encoder = new Encoder(LoadedTower.join(twin), {}, {});
        result = encoder.info;
      } else {
        result = await encoder.call(CALLS[call], input, { ...options, signal });
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
      help(message.thread);
      port.close();
    } else if (message.abort) aborts.get(message.id)?.abort();
    else answer(message);
  });
  port.postMessage({ id: 0 });
}

const buffersOf = (result) => [result].flat().flatMap((array) => (ArrayBuffer.isView(array) ? [array.buffer] : []));
