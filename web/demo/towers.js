// One tower in memory at a time: whoever needs an encoder waits for its turn, and the other tower is disposed of first.

/** How long a typist must pause before pictures may take the memory back from the text tower, in ms. */
const PAUSE = 800;
/** How many of the latest timings the reported median is taken of. */
const TIMINGS = 32;
/** Errors after which an encoder is of no more use, as when its worker died: the next task loads it anew. */
const ENDS = ['memory/exhausted', 'state/disposed'];

const blank = () => ({ state: 'absent', loaded: 0, total: 0, info: undefined, timings: [] });

export class Towers {
  /**
   * What is known of each tower: state ('absent' | 'loading' | 'ready' | 'released' | 'failed'), bytes, info, timings.
   */
  figures = { image: blank(), text: blank() };

  #loaders;
  #encoder;
  #kind;
  #turn = Promise.resolve();
  #waiting = 0;
  #lastText = -Infinity;
  #listeners = [];

  /** @param {Record<'image' | 'text', (hooks: { onProgress: Function }) => Promise<object>>} loaders */
  constructor(loaders) {
    this.#loaders = loaders;
  }

  /** Calls `listener()` whenever `figures` has changed. */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** True while somebody waits for a turn: a long task should give way. */
  get contended() {
    return this.#waiting > 0;
  }

  /**
   * Runs `task(encoder)` with this tower loaded and the other one gone, after everybody who asked before.
   * Aborting drops a task that has not begun; it never drops a load, which the next task will need anyway.
   * @template T
   * @param {'image' | 'text'} kind
   * @param {(encoder: object) => Promise<T>} task
   * @param {AbortSignal} [signal]
   * @returns {Promise<T>}
   */
  use(kind, task, signal) {
    if (kind === 'text') this.#lastText = performance.now();
    this.#waiting++;
    const result = this.#turn.then(async () => {
      this.#waiting--;
      signal?.throwIfAborted();
      const encoder = await this.#load(kind);
      signal?.throwIfAborted();
      try {
        return await task(encoder);
      } catch (error) {
        if (ENDS.includes(error.code)) this.#release();
        throw error;
      }
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Resolves when nobody has used the text tower for a moment, so that towers are not swapped at every key. */
  async textIsIdle() {
    for (;;) {
      const rest = this.#lastText + PAUSE - performance.now();
      if (rest <= 0) return;
      await new Promise((resolve) => setTimeout(resolve, rest));
    }
  }

  /** Remembers how long one embedding took. */
  record(kind, milliseconds) {
    const { timings } = this.figures[kind];
    timings.push(milliseconds);
    if (timings.length > TIMINGS) timings.shift();
    this.#changed();
  }

  /** The median time of the latest embeddings in ms, or undefined before the first. */
  milliseconds(kind) {
    const sorted = [...this.figures[kind].timings].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  async #load(kind) {
    if (this.#kind === kind) return this.#encoder;
    this.#release();
    this.#update(kind, { state: 'loading', loaded: 0, total: 0 });
    try {
      this.#encoder = await this.#loaders[kind]({
        onProgress: ({ loaded, total }) => this.#update(kind, { loaded, total }),
      });
    } catch (error) {
      this.#update(kind, { state: 'failed' });
      throw error;
    }
    this.#kind = kind;
    this.#update(kind, { state: 'ready', info: this.#encoder.info });
    return this.#encoder;
  }

  #release() {
    if (!this.#kind) return;
    const kind = this.#kind;
    this.#encoder.dispose();
    this.#encoder = this.#kind = undefined;
    this.#update(kind, { state: 'released' });
  }

  #update(kind, changes) {
    Object.assign(this.figures[kind], changes);
    this.#changed();
  }

  #changed() {
    for (const listener of this.#listeners) listener();
  }
}
