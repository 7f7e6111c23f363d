// The grid of thumbnails: keyboard focus that roves, and tiles that glide to their new places.

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

function element(tag, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

/** One picture's place in the grid. */
class Tile {
  constructor(label) {
    this.label = label;
    this.item = element('li', 'tile');
    this.button = element('button', 'open');
    this.button.type = 'button';
    this.button.tabIndex = -1;
    this.frame = element('span', 'frame');
    this.score = element('span', 'score');
    this.meter = element('span', 'meter');
    const caption = element('span', 'caption');
    caption.append(element('span', 'name', label), this.score);
    this.button.append(this.frame, this.meter, caption);
    this.button.title = `Find pictures like ${label}`;
    this.button.setAttribute('aria-disabled', 'true');
    this.item.append(this.button);
    this.item.dataset.state = 'waiting';
    this.url = undefined;
  }

  /** @param {Blob} blob  a small copy of the picture */
  showThumbnail(blob) {
    const image = document.createElement('img');
    image.alt = '';
    image.decoding = 'async';
    image.src = this.url = URL.createObjectURL(blob);
    this.frame.replaceChildren(image);
  }

  ready() {
    this.item.dataset.state = 'ready';
    this.button.removeAttribute('aria-disabled');
  }

  /**
   * @param {number | undefined} score  cosine similarity; undefined takes the score away
   * @param {number} [share]  0..1, the place between the worst and the best of the pictures
   * @param {boolean} [best]  among the first few
   */
  showScore(score, share = 0, best = false) {
    const text = score === undefined ? '' : score.toFixed(2);
    if (this.score.textContent !== text) this.score.textContent = text;
    const length = share.toFixed(3);
    if (this.meter.style.getPropertyValue('--share') !== length) this.meter.style.setProperty('--share', length);
    this.item.classList.toggle('best', best);
    this.item.classList.toggle('scored', score !== undefined);
  }

  remove() {
    this.item.remove();
    if (this.url) URL.revokeObjectURL(this.url);
  }
}

export class Grid {
  #list;
  #tiles = new Map();
  #onOpen;

  /**
   * @param {HTMLElement} list
   * @param {(tile: Tile) => void} onOpen  a tile was clicked, or Enter or Space pressed on it
   */
  constructor(list, onOpen) {
    this.#list = list;
    this.#onOpen = onOpen;
    list.addEventListener('click', (event) => {
      const tile = this.#tileOf(event.target);
      if (tile?.item.dataset.state === 'ready') this.#onOpen(tile);
    });
    list.addEventListener('focusin', (event) => this.#rove(this.#tileOf(event.target)));
    list.addEventListener('keydown', (event) => this.#onKey(event));
  }

  add(label) {
    const tile = new Tile(label);
    this.#tiles.set(tile.item, tile);
    this.#list.append(tile.item);
    if (this.#tiles.size === 1) tile.button.tabIndex = 0;
    return tile;
  }

  remove(tile) {
    const wasStop = tile.button.tabIndex === 0;
    this.#tiles.delete(tile.item);
    tile.remove();
    if (wasStop) this.#rove(this.#tiles.get(this.#list.firstElementChild));
  }

  /** Moves the keyboard to the first tile. */
  focusFirst() {
    this.#list.firstElementChild?.firstElementChild.focus();
  }

  /**
   * Puts the tiles in this order.
   * @param {Tile[]} tiles  every tile, the best first
   */
  arrange(tiles) {
    if (tiles.every((tile, i) => this.#list.children[i] === tile.item)) return;
    const animated = !reducedMotion.matches && !document.hidden;
    const before = animated ? new Map(tiles.map((tile) => [tile, tile.item.getBoundingClientRect()])) : undefined;
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : undefined;

    // A tile that already stands where it belongs stays in the document: most of them do while pictures come in one by
    // one.
    let place = this.#list.firstElementChild;
    for (const { item } of tiles) {
      if (item === place) place = place.nextElementSibling;
      else this.#list.insertBefore(item, place);
    }
    focused?.focus({ preventScroll: true });
    if (!focused) this.#rove(tiles[0]);
    if (before) this.#glide(before);
  }

  // FLIP: lay out at once, then let each tile start from where it was. Of a thousand tiles only those in view move, and
  // one that comes from far away fades in: a long flight across everything else says nothing.
  #glide(before) {
    const inView = ({ top, bottom }) => bottom > 0 && top < innerHeight;
    for (const [tile, from] of before) {
      const to = tile.item.getBoundingClientRect();
      if (!inView(to)) continue;
      const x = from.left - to.left;
      const y = from.top - to.top;
      if (x === 0 && y === 0) continue;
      const start = inView(from) ? { transform: `translate(${x}px, ${y}px)` } : { opacity: 0, transform: 'scale(0.9)' };
      tile.item.animate([start, { opacity: 1, transform: 'none' }], {
        duration: 320,
        easing: 'cubic-bezier(0.2, 0, 0, 1)',
      });
    }
  }

  #tileOf(node) {
    return this.#tiles.get(node.closest('.tile'));
  }

  #rove(tile) {
    if (!tile) return;
    for (const stop of this.#list.querySelectorAll('.open[tabindex="0"]')) stop.tabIndex = -1;
    tile.button.tabIndex = 0;
  }

  #onKey(event) {
    const items = [...this.#list.children];
    const current = items.indexOf(event.target.closest('.tile'));
    if (current < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const top = items[0].offsetTop;
    const firstOfSecondRow = items.findIndex((item) => item.offsetTop > top);
    const columns = firstOfSecondRow < 0 ? items.length : firstOfSecondRow;
    const target = {
      ArrowLeft: current - 1,
      ArrowRight: current + 1,
      ArrowUp: current - columns,
      ArrowDown: current + columns,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    items[target]?.firstElementChild.focus();
  }
}
