// An encoder in a worker, as the thread sees it that wants its vectors: what Encoder (encoder/encoder.js) can do, each
// call a message and its answer.

import { untilAborted, untilSettled } from '../base/abort.js';
import { HalfclipError, unpackError } from '../base/errors.js';
import { inThisRealm, isPlain } from '../base/realm.js';
import { CALLS } from '../encoder/calls.js';
import { disposed } from '../encoder/messages.js';
import { listenTo, startWorker } from '../threads/start-worker.js';
import { serveFetch } from './remote-fetch.js';

const PATIENCE = 1000; // milliseconds for a worker to end by itself

export class WorkerEncoder {
  #worker;
  #pending = new Map();
  #lastId = 0;
  #stopFetch = () => {};
  #onIdle = () => this.#worker?.unref?.(); // an idle worker does not keep Node.js running, a busy one does

  /**
   * A worker that runs, with nothing loaded; rejects where workers cannot be had.
   * @param {string} [assets] from assetsFolder
   * @param {AbortSignal} [signal]
   */
  static async start(assets, signal) {
    const client = new WorkerEncoder();
    client.#worker = await startWorker(assets, signal);
    listenTo(
      client.#worker,
      (data) => client.#receive(data),
      ({ message }) => {
        client.#fail(new HalfclipError('memory/exhausted', `the worker stopped: ${message || 'no reason given'}`));
        client.dispose();
      },
    );
    return client;
  }

  /** As loadEncoder(). Disposes of the worker if it fails. */
  async load(options, { fetch, signal, onProgress }) {
    const message = { load: options };
    const transfer = [];
    if (options.weights.bytes && isPlain(options.weights.bytes.buffer))
      message.load = { ...options, weights: { blob: new Blob([options.weights.bytes]), name: 'the bytes of weights' } };
    if (fetch) {
      const { port1, port2 } = new MessageChannel();
      this.#stopFetch = serveFetch(port1, fetch);
      message.fetchPort = port2;
      transfer.push(port2);
    }
    try {
      this.info = await this.#send(message, transfer, signal, onProgress);
      return this;
    } catch (error) {
      if (signal?.aborted) await this.#retire();
      else this.dispose();
      throw error;
    }
  }

  /** The tower of another thread, see LoadedTower.twin. */
  async join(twin) {
    this.info = await this.#send({ twin }, []);
    return this;
  }

  /** Whether it can be called. */
  get works() {
    return Boolean(this.#worker);
  }

  /** Lets the worker stop what was aborted, so that it leaves no half-written files behind, and then disposes of it. */
  async #retire() {
    if (this.#pending.size) await untilSettled(new Promise((resolve) => (this.#onIdle = resolve)), PATIENCE);
    this.dispose();
  }

  /**
   * As Encoder.call. A picture of our own moves to the worker; of another the worker gets a copy, which it closes in
   * either case.
   */
  async call(call, input, { signal, ...options } = {}) {
    const name = Object.keys(CALLS).find((name) => CALLS[name] === call);
    const transfer = options.own && input.close ? [input] : [];
    if (options.own !== undefined) options.own = true;
    try {
      return await this.#send({ call: name, input, options }, transfer, signal);
    } finally {
      transfer[0]?.close(); // if it was not sent
    }
  }

  dispose() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#stopFetch();
    this.#fail(disposed());
  }

  async #send(message, transfer, signal, onProgress) {
    signal?.throwIfAborted();
    if (!this.#worker) throw disposed();
    const id = ++this.#lastId;
    try {
      this.#worker.postMessage({ ...message, id }, transfer);
    } catch (error) {
      throw new HalfclipError('input/type', `an input cannot be sent to the worker: ${error.message}`, {
        cause: error,
      });
    }
    this.#worker.ref?.();
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject, onProgress }));
    const abort = () => this.#worker?.postMessage({ id, abort: true });
    signal?.addEventListener('abort', abort);
    try {
      return await untilAborted(answer, signal);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  #receive({ id, result, error, progress, ...changed }) {
    const waiting = this.#pending.get(id);
    if (!waiting) return;
    if (progress) {
      waiting.onProgress?.(progress);
      return;
    }
    this.#pending.delete(id);
    if (!this.#pending.size) this.#onIdle();
    if (this.info) Object.assign(this.info, changed);
    if (error) waiting.reject(unpackError(error));
    else waiting.resolve(inThisRealm(result));
  }

  #fail(error) {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
