// The two towers of the chosen model: each is loaded when somebody needs it, and gives its memory back when nobody did
// for a while.

import { Download } from './download.js';

/** Milliseconds after which a tower that nobody uses is disposed of. */
const IDLE = 60_000;
/** How many of the latest timings the reported median is taken of. */
const TIMINGS = 32;
/** Errors after which an encoder is of no more use, as when its worker died: the next task loads it anew. */
const ENDS = ['memory/exhausted', 'state/disposed'];

export class Towers {
  #towers = {};
  #onChange;

  /**
   * @param {Record<'image' | 'text', (hooks: { signal: AbortSignal, onProgress: Function }, download: Download) =>
   *   Promise<object>>} loaders
   * @param {(kind: string, figures: object) => void} onChange  called with { state: 'absent' | 'loading' | 'ready' |
   *   'released' | 'failed', stopped: 'paused' | 'offline' | undefined, loaded, total, info, milliseconds }
   */
  constructor(loaders, onChange) {
    this.#onChange = onChange;
    for (const [kind, load] of Object.entries(loaders))
      this.#towers[kind] = { load, users: 0, timings: [], figures: { state: 'absent', loaded: 0, total: 0 } };
  }

  /**
   * Runs `task(encoder)` with a tower that is loaded.
   * @template T
   * @param {'image' | 'text'} kind
   * @param {(encoder: object) => Promise<T>} task
   * @returns {Promise<T>}
   */
  async use(kind, task) {
    const tower = this.#towers[kind];
    clearTimeout(tower.timer);
    tower.users++;
    try {
      tower.encoder ??= this.#load(kind);
      return await task(await tower.encoder);
    } catch (error) {
      if (ENDS.includes(error?.code)) this.#release(kind);
      throw error;
    } finally {
      if (--tower.users === 0) tower.timer = setTimeout(() => this.#release(kind), IDLE);
    }
  }

  /** Remembers how long one embedding took, in ms. */
  record(kind, milliseconds) {
    const { timings } = this.#towers[kind];
    timings.push(milliseconds);
    if (timings.length > TIMINGS) timings.shift();
    const sorted = [...timings].sort((a, b) => a - b);
    this.#update(kind, { milliseconds: sorted[sorted.length >> 1] });
  }

  figures(kind) {
    return this.#towers[kind].figures;
  }

  /** Stops loads that are under way: whoever waits for them is rejected. */
  cancelLoads(kinds = ['image', 'text']) {
    for (const kind of kinds) this.#towers[kind].abort?.abort(new DOMException('Cancelled.', 'AbortError'));
  }

  /** Lets nothing of loads that are under way come, until they go on. */
  pauseLoads(kinds = ['image', 'text']) {
    for (const kind of kinds) this.#towers[kind].download?.pause();
  }

  resumeLoads(kinds = ['image', 'text']) {
    for (const kind of kinds) this.#towers[kind].download?.resume();
  }

  /** Ends both towers; resolves once loads that were under way have let go of what had come. */
  async close() {
    this.cancelLoads();
    const encoders = Object.values(this.#towers).map(({ encoder }) => encoder);
    for (const kind of Object.keys(this.#towers)) this.#release(kind);
    await Promise.allSettled(encoders);
  }

  async #load(kind) {
    const tower = this.#towers[kind];
    tower.abort = new AbortController();
    tower.download = new Download((stopped) => this.#update(kind, { stopped }));
    this.#update(kind, { state: 'loading', stopped: undefined, loaded: 0, total: 0 });
    try {
      const onProgress = ({ loaded, total }) => this.#update(kind, { loaded, total });
      const encoder = await tower.load({ signal: tower.abort.signal, onProgress }, tower.download);
      this.#update(kind, { state: 'ready', info: { ...encoder.info } });
      return encoder;
    } catch (error) {
      tower.encoder = undefined;
      this.#update(kind, { state: 'failed' });
      throw error;
    } finally {
      tower.abort = tower.download = undefined;
    }
  }

  #release(kind) {
    const tower = this.#towers[kind];
    clearTimeout(tower.timer);
    const { encoder } = tower;
    if (!encoder) return;
    tower.encoder = undefined;
    encoder.then(
      (loaded) => {
        loaded.dispose();
        this.#update(kind, { state: 'released' });
      },
      () => {},
    );
  }

  #update(kind, changes) {
    const tower = this.#towers[kind];
    Object.assign(tower.figures, changes);
    this.#onChange(kind, tower.figures);
  }
}
