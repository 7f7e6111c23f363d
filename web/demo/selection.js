// What is selected, and what can be done with it; the grid selects with a click and Ctrl or Shift, and by keyboard.

import { plural } from './format.js';

const byId = (id) => document.getElementById(id);

/**
 * @param {object} parts
 * @param {import('./grid.js').Grid} parts.grid
 * @param {{ hide(ids: number[]): void, remove(ids: number[]): void }} parts.on
 */
export function createSelectionPanel({ grid, on, announce }) {
  const ids = () => grid.selection().map(({ id }) => id);
  let former = 0;

  function render() {
    const count = ids().length;
    if (count === former) return;
    former = count;
    byId('selected').textContent = `${count.toLocaleString('en')} selected`;
    for (const id of ['selected', 'select-none', 'hide-selected', 'remove-selected']) byId(id).hidden = count === 0;
    announce(count === 0 ? 'Nothing is selected.' : `${plural(count, 'picture')} selected.`);
  }

  byId('select-all').addEventListener('click', () => grid.select(grid.order));
  byId('select-none').addEventListener('click', () => grid.select([]));
  for (const action of ['hide', 'remove']) {
    byId(`${action}-selected`).addEventListener('click', () => {
      on[action](ids());
      grid.select([]);
      byId('query').focus();
    });
  }
  grid.onSelection(render);
}
