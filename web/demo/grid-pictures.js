// The small copies of pictures that the grid shows, fetched when they come into view, and given back when too many are held.

const MOST = 600;
/** Milliseconds between two times that some are fetched. */
const PAUSE = 100;
/**
 * Milliseconds that an order has to stand, and that all together may take, before what it shows is fetched: of orders that
 * follow one another, as while one types, those between are seen for a moment only, and each picture costs a load.
 */
const STANDS = 100;
const PATIENCE = 1000;
/** How many begin to be shown at once, and milliseconds until the next: an answer that comes meanwhile is not behind all. */
const AT_ONCE = 6;
const BREATH = 16;

export class Pictures {
  #images = new Map(); // by id, those used last at the end
  #asked = new Set();
  #wanted = [];
  #timer;
  #last = -Infinity; // when some were fetched
  #waits; // since when orders have followed one another
  #fetch;
  #imageOf;
  #onPicture;

  /**
   * @param {(ids: number[]) => Promise<(Blob | null)[]>} fetch
   * @param {(url: string) => HTMLImageElement} imageOf  one for each picture, which is loaded once
   * @param {(id: number, image: HTMLImageElement) => void} onPicture
   */
  constructor(fetch, imageOf, onPicture) {
    this.#fetch = fetch;
    this.#imageOf = imageOf;
    this.#onPicture = onPicture;
  }

  /** The small copy of a picture, if it is there. */
  of(id) {
    const image = this.#images.get(id);
    if (image) {
      this.#images.delete(id);
      this.#images.set(id, image);
    }
    return image;
  }

  /**
   * Fetches those of these pictures that are not there, unless others are wanted before it comes to that.
   * @param {number[]} ids
   * @param {boolean} isNew  whether they are in an order that was just made
   */
  want(ids, isNew) {
    this.#wanted = ids;
    const now = performance.now();
    if (isNew) {
      this.#waits ??= now;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    const due = isNew ? Math.min(now + STANDS, this.#waits + PATIENCE) : this.#last + PAUSE;
    this.#timer ??= setTimeout(() => {
      this.#timer = this.#waits = undefined;
      this.#last = performance.now();
      this.#fetchMissing(this.#wanted);
    }, due - now);
  }

  async #fetchMissing(ids) {
    const missing = ids.filter((id) => !this.#images.has(id) && !this.#asked.has(id));
    if (missing.length === 0) return;
    for (const id of missing) this.#asked.add(id);
    const blobs = await this.#fetch(missing);
    for (let i = 0; i < missing.length; i++) {
      if (i > 0 && i % AT_ONCE === 0) await new Promise((resolve) => setTimeout(resolve, BREATH));
      this.#asked.delete(missing[i]);
      if (blobs[i] && this.#wanted.includes(missing[i])) this.#take(missing[i], blobs[i]);
    }
    const oldest = this.#images.keys();
    while (this.#images.size > Math.max(MOST, 2 * ids.length)) this.forget([oldest.next().value]);
  }

  #take(id, blob) {
    const image = this.#imageOf(URL.createObjectURL(blob));
    this.#images.set(id, image);
    this.#onPicture(id, image);
  }

  forget(ids) {
    for (const id of ids) {
      const image = this.#images.get(id);
      if (image) URL.revokeObjectURL(image.src);
      this.#images.delete(id);
    }
  }
}
