// The thread's side of a worker: an object with the methods of Encoder (encoder.js), each a message and its answer.

import { disposed, untilAborted } from './encoder.js';
import { HalfclipError, unpackError } from './errors.js';
import { importNode, isNode } from './platform.js';
import { serveFetch } from './remote-fetch.js';

async function startWorker() {
  if (!isNode) return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'halfclip' });
  const { Worker: Thread } = await importNode('worker_threads'); // another name, so that bundlers do not take it for the one above
  return new Thread(new URL('./worker.js', import.meta.url), { name: 'halfclip' });
}

export class WorkerEncoder {
  #worker;
  #pending = new Map();
  #lastId = 0;
  #stopFetch = () => {};

  /** As Encoder.load, in a worker of its own. */
  static async load(options, { fetch, signal, onProgress }) {
    signal?.throwIfAborted();
    const client = new WorkerEncoder(await startWorker());
    const message = { load: options };
    const transfer = [];
    if (options.weights.bytes) options.weights = { blob: new Blob([options.weights.bytes]), name: 'the bytes of weights' };
    if (fetch) {
      const { port1, port2 } = new MessageChannel();
      client.#stopFetch = serveFetch(port1, fetch);
      message.fetchPort = port2;
      transfer.push(port2);
    }
    try {
      client.info = await client.#send(message, transfer, signal, onProgress);
      return client;
    } catch (error) {
      client.dispose();
      throw error;
    }
  }

  constructor(worker) {
    this.#worker = worker;
    const receive = (data) => this.#receive(data);
    const fail = (error) => this.#fail(new HalfclipError('memory/exhausted', `the worker stopped: ${error?.message || 'it could not be started'}`));
    if (isNode) worker.on('message', receive).on('error', fail).unref();
    else {
      worker.onmessage = ({ data }) => receive(data);
      worker.onerror = (event) => fail(event);
    }
  }

  embed(sources, options) { return this.#call('embed', sources, options); }
  tokenize(texts, options) { return this.#call('tokenize', texts, options); }
  embedTokens(ids, options) { return this.#call('embedTokens', ids, options); }
  preprocess(sources, options) { return this.#call('preprocess', sources, options); }
  embedPixels(pixels, options) { return this.#call('embedPixels', pixels, options); }

  dispose() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#stopFetch();
    this.#fail(disposed());
  }

  #call(method, inputs, { signal, ...options } = {}) {
    return this.#send({ call: method, args: [inputs, options] }, [], signal);
  }

  async #send(message, transfer, signal, onProgress) {
    signal?.throwIfAborted();
    if (!this.#worker) throw disposed();
    const id = ++this.#lastId;
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject, onProgress }));
    this.#worker.ref?.(); // an idle worker does not keep Node.js running, a busy one does
    this.#worker.postMessage({ ...message, id }, transfer);
    const abort = () => this.#worker?.postMessage({ id, abort: true });
    signal?.addEventListener('abort', abort);
    try {
      return await untilAborted(answer, signal);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  #receive({ id, result, error, progress, memoryBytes }) {
    const waiting = this.#pending.get(id);
    if (!waiting) return;
    if (progress) {
      waiting.onProgress?.(progress);
      return;
    }
    this.#pending.delete(id);
    if (!this.#pending.size) this.#worker?.unref?.();
    if (this.info && memoryBytes) this.info.memoryBytes = memoryBytes;
    if (error) waiting.reject(unpackError(error));
    else waiting.resolve(result);
  }

  #fail(error) {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
