// The controls of the first panel: the search field, what narrows the choice, and what is shown beside the grid.

import { plural } from './format.js';

const byId = (id) => document.getElementById(id);

/**
 * @param {object} parts
 * @param {import('./find.js').Finder} parts.finder
 * @param {import('./album.js').Album} parts.album
 * @param {import('./grid.js').Grid} parts.grid
 */
export function createFindPanel({ finder, album, grid }) {
  const input = byId('query');

  // The search field ---------------------------------------------------------------------------------------------------

  function render() {
    const { size } = album;
    byId('empty').hidden = size > 0;
    byId('grid').hidden = byId('tools').hidden = size === 0;
    byId('summary').hidden = size === 0;
    const shown = grid.order.length;
    byId('summary').textContent =
      shown === size ? plural(size, 'picture') : `${shown.toLocaleString('en')} of ${plural(size, 'picture')}`;
    const { picture, image } = finder.query;
    byId('similar').hidden = picture === undefined && !image;
  }

  /** Looks for pictures like one of the album. */
  function lookLike(id) {
    const { name } = album.get(id);
    showSimilar(grid.urlOf(id) ?? '', name);
    input.value = '';
    scrollTo({ top: 0 });
    return finder.look({ words: '', picture: id, image: undefined, name });
  }

  /** Looks for pictures like one that is not added. */
  function lookLikeImage(image, name = 'the picture') {
    showSimilar(URL.createObjectURL(image), name);
    return finder.look({ picture: undefined, image, name });
  }

  function showSimilar(url, name) {
    const picture = byId('similar-picture');
    if (picture.src.startsWith('blob:') && finder.query.image) URL.revokeObjectURL(picture.src);
    picture.src = url;
    byId('similar-text').textContent = `like ${name}`;
  }

  const lookAtNothing = () => finder.look({ picture: undefined, image: undefined, name: undefined });

  input.addEventListener('input', () => finder.look({ words: input.value }));
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' && grid.order.length > 0) {
      event.preventDefault();
      grid.focus();
    }
    if (event.key === 'Backspace' && input.value === '') lookAtNothing();
  });
  byId('search').addEventListener('submit', (event) => event.preventDefault());
  byId('similar-clear').addEventListener('click', () => {
    lookAtNothing();
    input.focus();
  });

  // On a phone what can be done with many pictures waits behind its name, and the pictures come first.
  const isWide = matchMedia('(min-width: 641px)');
  const unfold = () => (byId('tools').open = isWide.matches);
  isWide.addEventListener('change', unfold);
  unfold();

  // What narrows the choice --------------------------------------------------------------------------------------------

  const folder = byId('filter-folder');
  let listed;

  function renderFolders() {
    const folders = album.folders();
    if (folders === listed) return;
    listed = folders;
    const option = (value, text) => Object.assign(document.createElement('option'), { value, textContent: text });
    const chosen = folder.value;
    folder.replaceChildren(option('', 'all'), ...folders.map(([path, count]) => option(path, `${path} (${count})`)));
    folder.value = folders.some(([path]) => path === chosen) ? chosen : '';
  }

  function refilter() {
    const date = (id) => Date.parse(`${byId(id).value}T00:00`);
    album.filter = {
      folder: folder.value,
      from: date('filter-from'),
      to: date('filter-to'),
      hidden: byId('filter-hidden').checked,
    };
    finder.refilter();
  }
  for (const id of ['filter-folder', 'filter-from', 'filter-to', 'filter-hidden'])
    byId(id).addEventListener('change', refilter);

  function showDuplicates() {
    const { checked } = byId('duplicates');
    byId('above-label').hidden = !checked;
    byId('above-value').textContent = Number(byId('above').value).toFixed(2);
    return finder.showDuplicates(checked ? Number(byId('above').value) : null);
  }
  byId('duplicates').addEventListener('change', showDuplicates);
  byId('above').addEventListener('input', showDuplicates);
  input.addEventListener('input', () => {
    byId('duplicates').checked = false;
    byId('above-label').hidden = true;
  });

  finder.onChange(() => {
    render();
    renderFolders();
  });
  render();
  return { lookLike, lookLikeImage };
}
