// Items that come one by one, worked on together.

import { breathe } from '../base/platform.js';

/**
 * Puts items that come one by one into batches: of `size`, or as many as come before other work of this thread has its
 * turn.
 * @template Item, Result
 * @param {number} size
 * @param {(items: Item[]) => Promise<Result>[]} work
 * @returns {(item: Item) => Promise<Result>}
 */
export function batched(size, work) {
  let items = [];
  let results;
  let fill;
  return async (item) => {
    if (!items.length) {
      const batch = items;
      const full = new Promise((resolve) => (fill = resolve));
      results = Promise.race([full, breathe()]).then(() => {
        if (items === batch) items = [];
        return work(batch);
      });
    }
    const [index, batch] = [items.push(item) - 1, results];
    if (items.length === size) {
      items = [];
      fill();
    }
    return (await batch)[index];
  };
}
