// Many pictures: each thread reads and computes whole ones, all on one copy of the weights. Threads that share one
// picture wait for each other, and while one of them decodes the next picture the others wait for it as well.

import { embedPicture } from '../encoder/calls.js';
import { WorkerEncoder } from './worker-encoder.js';

/** Workers that end together, those that are still starting as soon as they have. Keeps nothing but these: an encoder
 * that is dropped ends its own. */
class Workers {
  #started = [];
  #ended = false;

  async start(assets) {
    const worker = await WorkerEncoder.start(assets);
    this.#started.push(worker);
    if (this.#ended) this.end();
    return worker;
  }

  end() {
    this.#ended = true;
    for (const worker of this.#started) worker.dispose();
  }
}

/** An encoder, with a worker for each of its threads once there are many pictures. */
export class Lanes {
  #encoder;
  #assets;
  #lanes = []; // { worker: WorkerEncoder, pictures: how many it has }
  #seen = 0;

  /**
   * @param {import('../encoder/encoder.js').Encoder} encoder
   * @param {string} [assets] from assetsFolder
   */
  constructor(encoder, assets) {
    this.#encoder = encoder;
    this.#assets = assets;
  }

  get info() {
    return this.#encoder.info;
  }

  /**
   * As Encoder.call.
   * @param {object} options
   * @param {number} [options.together] how many calls the caller has under way at the same time
   */
  call(call, input, { together, ...options } = {}) {
    const { threads } = this.info;
    if (call !== embedPicture || threads === 1 || !(together >= threads))
      return this.#encoder.call(call, input, options);
    if (this.#seen++ === threads) this.#start();
    return this.#embed(input, options);
  }

  dispose() {
    this.#encoder.dispose();
  }

  async #embed(picture, options) {
    const free = this.#lanes.filter(({ worker }) => worker.works);
    if (!free.length) return this.#encoder.call(embedPicture, picture, options);
    const lane = free.reduce((least, one) => (one.pictures < least.pictures ? one : least));
    lane.pictures++;
    try {
      return await lane.worker.call(embedPicture, ...(await this.#encoder.pictures.fetched(picture, options)));
    } finally {
      lane.pictures--;
    }
  }

  /** Where they cannot be had, pictures are computed as few are. */
  async #start() {
    const { tower } = this.#encoder;
    const workers = new Workers();
    const add = async () => {
      const worker = await workers.start(this.#assets);
      return { worker: await worker.join(tower.twin()), pictures: 0 };
    };
    try {
      const { threads } = tower.wasm();
      threads.onStop = workers.end.bind(workers); // a function of here would keep the tower
      this.#lanes = await Promise.all(Array.from({ length: threads.count }, add));
    } catch {
      workers.end();
    }
  }
}
