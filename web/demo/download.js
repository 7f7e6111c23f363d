// A download that can be stopped for a while, and that outlives a lost network: a `fetch` whose bodies do not flow
// meanwhile. What breaks in the end (a server does not wait for ever) the package asks for again, from where it stopped.

/** Milliseconds without an answer or a byte, after which a request is given up, and made again by the package. */
const PATIENCE = 30_000;
/** Milliseconds until it is tried whether a lost network is there again: not all browsers tell their workers. */
const ASK_AGAIN = 2000;

export class Download {
  /** Addresses that were asked for, without their queries: by these the package names what it keeps. */
  asked = new Set();
  #held = null; // { until, end }: a promise, and what fulfils it
  #isOffline = false;
  #hasBegun = false; // before, what is kept serves where there is no network
  #onChange;

  /** @param {(why: 'paused' | 'offline' | undefined) => void} onChange  told why nothing flows */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  pause() {
    if (this.#held) return;
    this.#held = {};
    this.#held.until = new Promise((resolve) => (this.#held.end = resolve));
    this.#tell();
  }

  resume() {
    this.#held?.end();
    this.#held = null;
    this.#tell();
  }

  #setOffline(isOffline) {
    if (this.#isOffline === isOffline) return;
    this.#isOffline = isOffline;
    this.#tell();
  }

  #tell() {
    this.#onChange(this.#held ? 'paused' : this.#isOffline ? 'offline' : undefined);
  }

  /**
   * The same `fetch`, stopped with this download.
   * @param {typeof globalThis.fetch} fetch
   * @returns {typeof globalThis.fetch}
   */
  over(fetch) {
    return async (url, { signal, ...init } = {}) => {
      this.asked.add(Object.assign(new URL(url), { search: '', hash: '' }).href);
      for (;;) {
        await this.#held?.until;
        const request = new AbortController();
        const stop = () => request.abort(signal.reason);
        if (signal?.aborted) stop();
        signal?.addEventListener('abort', stop, { once: true });
        try {
          const response = await patiently(fetch(url, { ...init, signal: request.signal }));
          this.#hasBegun = true;
          this.#setOffline(false);
          return response.body ? this.#holding(response) : response;
        } catch (error) {
          request.abort(error);
          signal?.removeEventListener('abort', stop);
          if (navigator.onLine || !this.#hasBegun || signal?.aborted) throw error;
          await this.#network(signal);
        }
      }
    };
  }

  /** The same response with a body that waits. */
  #holding(response) {
    const reader = response.body.getReader();
    const body = new ReadableStream(
      {
        pull: async (controller) => {
          await this.#held?.until;
          const { done, value } = await patiently(reader.read());
          await this.#held?.until; // it was asked for before
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: (reason) => reader.cancel(reason),
      },
      { highWaterMark: 0 },
    );
    const { status, statusText, headers } = response;
    const held = new Response(body, { status, statusText, headers });
    for (const name of ['redirected', 'type', 'url']) Object.defineProperty(held, name, { value: response[name] });
    return held;
  }

  /** Waits until there may be a network again. */
  async #network(signal) {
    this.#setOffline(true);
    const over = new AbortController();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ASK_AGAIN);
      const options = { signal: over.signal };
      over.signal.addEventListener('abort', () => clearTimeout(timer));
      addEventListener('online', resolve, options);
      signal?.addEventListener('abort', resolve, options);
    });
    over.abort();
    signal?.throwIfAborted();
  }
}

/** The same promise; rejected if it takes too long. */
function patiently(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TypeError(`no byte came for ${PATIENCE / 1000} seconds`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
