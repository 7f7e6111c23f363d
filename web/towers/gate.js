// How many things may be done at the same time.

/** Lets in as many at a time as each of those who want to enter accepts. */
export class Gate {
  #inside = 0;
  #waiting = [];

  /** How many are inside or want to be. */
  get size() {
    return this.#inside + this.#waiting.length;
  }

  /**
   * @template T
   * @param {number} most how many may be inside, this one counted
   * @param {() => Promise<T>} work
   */
  async pass(most, work) {
    await new Promise((enter) => {
      this.#waiting.push({ most, enter });
      this.#admit();
    });
    try {
      return await work();
    } finally {
      this.#inside--;
      this.#admit();
    }
  }

  #admit() {
    while (this.#waiting.length && this.#inside < this.#waiting[0].most) {
      this.#inside++;
      this.#waiting.shift().enter();
    }
  }
}
