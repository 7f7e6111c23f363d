// What an encoder does with pictures: they are read at once, and computed when their turn comes, with others that were
// read by then.

import { untilAborted } from '../base/abort.js';
import { breathe } from '../base/platform.js';
import { fetchPicture, readPicture } from '../picture/read.js';
import { Joined } from '../wasm/instance.js';

export class Pictures {
  #tower;
  #network;
  #reading = 0; // how many pictures are being read
  #apart = null; // the instance for large ones among them
  #waiting = new Set(); // pictures that are read, as embed() keeps them

  /**
   * @param {import('./loaded-tower.js').LoadedTower} tower
   * @param {{ fetch?: typeof fetch, retry: object, limits: object }} network how pictures are fetched, for readPicture
   */
  constructor(tower, network) {
    this.#tower = tower;
    this.#network = network;
  }

  /**
   * The vector of a picture that was captured, see capturePicture.
   * @param {object} options
   * @param {string} options.name how messages call it
   * @param {boolean} [options.normalize]
   * @param {AbortSignal} [options.signal]
   * @param {boolean} [options.own] whether it is closed once it is read
   * @param {'exif' | 'none'} [options.orientation] see index.d.ts
   * @param {number} [options.maxPixels] the same
   * @param {'exact' | 'fast'} [options.decode] the same
   */
  async embed(source, options) {
    const { normalize = true, name, signal } = options;
    const job = { pixels: await this.#read(source, options), normalize, name, vector: null };
    this.#waiting.add(job);
    try {
      await this.#tower.inTurn(signal, async () => {
        if (job.vector) return;
        await breathe(); // more may be read by then
        this.#tower.wasm(signal);
        await this.#embedWith(job, signal);
      });
      return job.vector;
    } finally {
      this.#waiting.delete(job);
    }
  }

  /** A picture and its options as an encoder takes them that is elsewhere and cannot fetch. */
  async fetched(source, options) {
    if (source.url === undefined) return [source, { ...options, name: source.name ?? options.name }];
    const { bytes, name } = await fetchPicture(source.url, { ...this.#network, ...options });
    return [bytes, { ...options, name }];
  }

  /** What the tower gets of a picture, Float32Array [3, H, W]; with the options of embed(). */
  async preprocess(source, options) {
    const pixels = await this.#read(source, options);
    this.#tower.wasm(options.signal);
    return pixels;
  }

  /** The vector of each Float32Array [3, H, W]. */
  embedPixels(pixels, options = {}) {
    return this.#tower.embedAll(pixels, options);
  }

  /** Reads a picture; when no picture is being read any more, what is there for large ones goes. */
  async #read(source, { name, own, ...options }) {
    const { signal } = options;
    const read = async () => {
      this.#reading++;
      try {
        const shared = this.#tower.wasm(signal);
        const apart = () => (this.#apart ??= shared.spawn());
        const wasm = shared instanceof Joined ? apart() : shared;
        const config = JSON.stringify(this.#tower.config);
        const side = Math.max(...[this.#tower.info.imageSize].flat());
        return await readPicture(source, name, { ...this.#network, ...options, wasm, apart, config, side });
      } finally {
        if (--this.#reading === 0) this.#apart = null;
        if (own) source.close?.();
      }
    };
    return untilAborted(read(), signal);
  }

  /** Embeds a picture that is read, and with it others that are, as many as one call of C takes. */
  async #embedWith(job, signal) {
    const isAlike = (other) => other !== job && other.normalize === job.normalize;
    const jobs = [job, ...[...this.#waiting].filter(isAlike).slice(0, this.#tower.batch - 1)];
    const inputs = jobs.map(({ pixels }) => pixels);
    const vectors = await this.#tower.run(inputs, { normalize: job.normalize, signal }, (i) => jobs[i].name);
    jobs.forEach((job, i) => {
      job.vector = vectors[i];
      this.#waiting.delete(job);
    });
  }
}
