// The small copies of pictures that the grid shows, fetched when they come into view, and given back when too many are held.

const MOST = 600;
/** Milliseconds between two times that some are fetched. */
const PAUSE = 100;
/**
 * Milliseconds that an order has to stand, and that all together may take, before what it shows is fetched: of orders that
 * follow one another, as while one types, those between are seen for a moment only, and each picture costs a load.
 */
const STANDS = 100;
const PATIENCE = 500;

export class Pictures {
  #urls = new Map(); // id to URL, those used last at the end
  #asked = new Set();
  #wanted = [];
  #timer;
  #last = -Infinity; // when some were fetched
  #waits = 0; // since when orders have followed one another
  #fetch;
  #onPicture;

  /**
   * @param {(ids: number[]) => Promise<(Blob | null)[]>} fetch
   * @param {(id: number, url: string) => void} onPicture
   */
  constructor(fetch, onPicture) {
    this.#fetch = fetch;
    this.#onPicture = onPicture;
  }

  urlOf(id) {
    const url = this.#urls.get(id);
    if (url) {
      this.#urls.delete(id);
      this.#urls.set(id, url);
    }
    return url;
  }

  /**
   * Fetches those of these pictures that are not there, unless others are wanted before it comes to that.
   * @param {number[]} ids
   * @param {boolean} isNew  whether they are in an order that was just made
   */
  want(ids, isNew) {
    this.#wanted = ids;
    const now = performance.now();
    if (isNew && this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else if (isNew) this.#waits = now;
    const due = isNew ? Math.min(now + STANDS, this.#waits + PATIENCE) : this.#last + PAUSE;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#last = performance.now();
      this.#fetchMissing(this.#wanted);
    }, due - now);
  }

  async #fetchMissing(ids) {
    const missing = ids.filter((id) => !this.#urls.has(id) && !this.#asked.has(id));
    if (missing.length === 0) return;
    for (const id of missing) this.#asked.add(id);
    const blobs = await this.#fetch(missing);
    missing.forEach((id, i) => {
      this.#asked.delete(id);
      if (!blobs[i]) return;
      this.#urls.set(id, URL.createObjectURL(blobs[i]));
      this.#onPicture(id, this.#urls.get(id));
    });
    const oldest = this.#urls.keys();
    while (this.#urls.size > Math.max(MOST, 2 * ids.length)) this.forget([oldest.next().value]);
  }

  forget(ids) {
    for (const id of ids) {
      const url = this.#urls.get(id);
      if (url) URL.revokeObjectURL(url);
      this.#urls.delete(id);
    }
  }
}
