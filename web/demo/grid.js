// The grid of pictures: only the tiles that can be seen are in the document, however many pictures there are.
//
// Pictures come in sections, each with a title or without. A tile stands where its place in the order is, by a
// transform, so that it glides there when the order changes.

import { GridLayout } from './grid-layout.js';
import { Pictures } from './grid-pictures.js';
import { Tile, thumbnailOf } from './tile.js';

/** Rows above and below the screen that are drawn as well. */
const MARGIN = 1;
const GLIDE = 320; // milliseconds

export class Grid {
  #container;
  #list = document.createElement('ul');
  #titles = [];
  #layout = new GridLayout();
  #tiles = new Map(); // id to Tile
  #pictures;
  #album;
  #on;
  #stop; // the picture that the Tab key reaches
  #selected = new Set();
  #anchor; // from which a selection is extended
  #listeners = []; // to the selection
  #drawing;
  #drawn; // the height of all, and the side of a tile
  #gliding;

  /**
   * @param {HTMLElement} container
   * @param {object} parts
   * @param {import('./album.js').Album} parts.album
   * @param {(ids: number[]) => Promise<(Blob | null)[]>} parts.thumbnails
   * @param {{ open(id: number): void, similar(id: number): void, remove(ids: number[]): void, hide(ids: number[]): void }}
   *   parts.on
   */
  constructor(container, { album, thumbnails, on }) {
    this.#container = container;
    this.#album = album;
    this.#on = on;
    this.#pictures = new Pictures(thumbnails, thumbnailOf, (id, image) => this.#tiles.get(id)?.showPicture(image));
    this.#list.setAttribute('role', 'list');
    this.#list.setAttribute('aria-label', 'Pictures');
    this.#list.setAttribute('aria-describedby', 'grid-help');
    container.append(this.#list);
    addEventListener('scroll', () => this.#drawSoon(), { passive: true });
    new ResizeObserver(() => this.#resize()).observe(container);
    this.#list.addEventListener('click', (event) => this.#onClick(event));
    this.#list.addEventListener('focusin', (event) => this.#onFocus(event));
    this.#list.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** All pictures in their order. */
  get order() {
    return this.#layout.order;
  }

  /**
   * Shows pictures in this order.
   * @param {{ title?: string, ids: ArrayLike<number>, scores?: ArrayLike<number>, isBest?: boolean }[]} sections
   */
  show(sections) {
    const top = this.#top(); // before anything is written, or the browser would lay out twice
    this.#glide();
    this.#layout.arrange(sections);
    if (this.#layout.indexOf(this.#stop) === undefined) this.#stop = this.order[0];
    this.#drawTitles(sections);
    this.#draw(top, true);
    for (const listener of this.#listeners) listener();
  }

  /** What is selected of the pictures that are shown, in their order. @returns {{ id: number, score?: number }[]} */
  selection() {
    if (this.#selected.size === 0) return [];
    const chosen = [];
    this.order.forEach((id, index) => {
      if (this.#selected.has(id)) chosen.push({ id, score: this.#layout.scoreOf(index)?.score });
    });
    return chosen;
  }

  onSelection(listener) {
    this.#listeners.push(listener);
  }

  /** Selects these pictures and no others. */
  select(ids) {
    this.#selected = new Set(ids);
    this.#draw();
    for (const listener of this.#listeners) listener();
  }

  #toggle(id) {
    const ids = new Set(this.#selected);
    if (!ids.delete(id)) ids.add(id);
    this.#anchor = id;
    this.select(ids);
  }

  /** Selects all from where the selection was begun. */
  #selectTo(id) {
    const begin = this.#layout.indexOf(this.#anchor) ?? this.#layout.indexOf(this.#stop);
    this.#anchor = this.order[begin];
    const end = this.#layout.indexOf(id);
    this.select(this.order.slice(Math.min(begin, end), Math.max(begin, end) + 1));
  }

  /** Draws tiles again whose pictures have changed. */
  refresh(ids) {
    if (ids.some((id) => this.#tiles.has(id))) this.#drawSoon();
  }

  /** Forgets the small copies of pictures that have gone. */
  forget(ids) {
    this.#pictures.forget(ids);
  }

  urlOf(id) {
    return this.#pictures.of(id)?.src;
  }

  focus(id = this.order[0]) {
    const index = this.#layout.indexOf(id);
    if (index === undefined) return;
    this.#stop = id;
    this.#reveal(index);
    this.#draw();
    this.#tiles.get(id).button.focus({ preventScroll: true });
  }

  #resize() {
    this.#layout.fit(this.#container.clientWidth);
    this.#placeTitles();
    this.#draw();
  }

  // A moment in which tiles move to their new places instead of being there at once. Where orders come faster, as while
  // one types, they would only begin to, each tile as a layer of its own, and the next order would wait for that.
  #glide() {
    this.#container.classList.toggle('gliding', this.#gliding === undefined);
    clearTimeout(this.#gliding);
    this.#gliding = setTimeout(() => {
      this.#gliding = undefined;
      this.#container.classList.remove('gliding');
    }, GLIDE);
  }

  #drawTitles(sections) {
    for (const title of this.#titles) title.remove();
    this.#titles = sections.map(({ title }) => {
      const element = document.createElement('h2');
      element.textContent = title ?? '';
      element.hidden = !title;
      return element;
    });
    this.#container.prepend(...this.#titles);
    this.#placeTitles();
  }

  #placeTitles() {
    this.#titles.forEach((title, i) => (title.style.transform = `translateY(${this.#layout.titleTop(i)}px)`));
  }

  #drawSoon() {
    this.#drawing ??= requestAnimationFrame(() => {
      this.#drawing = undefined;
      this.#draw();
    });
  }

  #top = () => this.#container.getBoundingClientRect().top;

  #draw(top = this.#top(), isNew = false) {
    const { height, tile } = this.#layout;
    if (this.#drawn !== `${height} ${tile}`) {
      this.#drawn = `${height} ${tile}`;
      this.#container.style.height = `${height}px`;
      this.#container.style.setProperty('--tile', `${tile}px`);
    }
    const [first, last] = this.#layout.between(-top, innerHeight - top, MARGIN);
    const seen = new Map();
    for (let index = first; index < last; index++) seen.set(this.order[index], index);
    // The tile that has the focus stays, wherever it is.
    const focused = this.#layout.indexOf(this.#focused());
    if (focused !== undefined) seen.set(this.order[focused], focused);
    const stop = this.#layout.indexOf(this.#stop);
    if (stop !== undefined) seen.set(this.#stop, stop);

    for (const [id, tile] of this.#tiles) {
      if (seen.has(id)) continue;
      tile.item.remove();
      this.#tiles.delete(id);
    }
    for (const [id, index] of seen) this.#drawTile(id, index);
    this.#sort([...seen].sort(([, a], [, b]) => a - b).map(([id]) => this.#tiles.get(id).item));
    this.#pictures.want(
      [...seen.keys()].filter((id) => this.#album.get(id)),
      isNew,
    );
  }

  #drawTile(id, index) {
    let tile = this.#tiles.get(id);
    if (!tile) {
      tile = new Tile(id);
      this.#tiles.set(id, tile);
      this.#list.append(tile.item);
      tile.showPicture(this.#pictures.of(id));
    }
    tile.place(this.#layout.place(index), index + 1, this.order.length);
    tile.show(this.#album.get(id), this.#layout.scoreOf(index), id === this.#stop, this.#selected.has(id));
  }

  /** Puts the tiles in the document in their order, for those who hear the page. */
  #sort(items) {
    const focused = document.activeElement;
    let place = this.#list.firstElementChild;
    for (const item of items) {
      if (item === place) place = place.nextElementSibling;
      else if (this.#list.moveBefore)
        this.#list.moveBefore(item, place); // it glides on, and keeps the focus
      else this.#list.insertBefore(item, place);
    }
    if (focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  #focused() {
    return Number(document.activeElement?.closest?.('.tile')?.dataset.id ?? NaN);
  }

  #reveal(index) {
    const { y } = this.#layout.place(index);
    const top = this.#container.getBoundingClientRect().top + y;
    const foot = document.querySelector('.status').offsetHeight;
    const bottom = top + this.#layout.rowHeight;
    if (top < 0) scrollBy(0, top - 8);
    else if (bottom > innerHeight - foot) scrollBy(0, bottom - innerHeight + foot + 8);
  }

  #onClick(event) {
    const item = event.target.closest('.tile');
    if (!item) return;
    const id = Number(item.dataset.id);
    if (event.target.closest('.alike')) this.#on.similar(id);
    else if (event.shiftKey) this.#selectTo(id);
    else if (event.ctrlKey || event.metaKey) this.#toggle(id);
    else if (event.target.closest('.open')) this.#on.open(id);
  }

  #onFocus(event) {
    const id = Number(event.target.closest('.tile').dataset.id);
    const former = this.#tiles.get(this.#stop);
    if (former) former.button.tabIndex = -1;
    this.#stop = id;
    this.#tiles.get(id).button.tabIndex = 0;
  }

  #onKey(event) {
    const id = Number(event.target.closest('.tile')?.dataset.id);
    if (this.#onSelectionKey(event, id)) return event.preventDefault();
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const action = { s: 'similar', h: 'hide', Delete: 'remove' }[event.key];
    const target = action ? undefined : this.#layout.step(this.#layout.indexOf(id), event.key, innerHeight);
    if (!action && target === undefined) return;
    event.preventDefault();
    if (target !== undefined) {
      this.#anchor ??= id;
      if (event.shiftKey) this.#selectTo(this.order[target]);
      else this.#anchor = undefined;
      return this.focus(this.order[target]);
    }
    if (action === 'similar') return this.#on.similar(id);
    // All that is selected, where this one is of it.
    const ids = this.#selected.has(id) ? this.selection().map((picture) => picture.id) : [id];
    const index = this.#layout.indexOf(id);
    const others = [...this.order.slice(index), ...this.order.slice(0, index).reverse()];
    this.#stop = others.find((other) => !ids.includes(other));
    this.#on[action](ids);
    this.focus(this.#stop);
  }

  /** Ctrl and A select all, Ctrl and the space bar one more or less, Escape none. */
  #onSelectionKey({ key, ctrlKey, metaKey }, id) {
    const isCommand = ctrlKey || metaKey;
    if (isCommand && key === 'a') this.select(this.order);
    else if (isCommand && key === ' ') this.#toggle(id);
    else if (key === 'Escape' && this.#selected.size > 0) this.select([]);
    else return false;
    return true;
  }
}
