// Where each picture of the grid stands: sections of rows, below titles. Numbers only.

const NARROWEST = 132; // pixels of a tile
const NARROWEST_ON_PHONES = 92;
const PHONE = 640;
const CAPTION = 36; // pixels below a picture
const TITLE = 46;
const NO_IDS = new Int32Array(0);

export class GridLayout {
  order = NO_IDS;
  columns = 1;
  /** Pixels of a tile's side. */
  tile = NARROWEST;
  height = 0;
  #sections = []; // { begin, end, scores, isBest, hasTitle, top }
  #places = NO_IDS; // by id, the index and 1; 0 where a picture is not there
  #best = 0;
  #worst = 0;

  get rowHeight() {
    return this.tile + CAPTION;
  }

  arrange(sections) {
    this.order = new Int32Array(sections.reduce((sum, { ids }) => sum + ids.length, 0));
    let begin = 0;
    this.#sections = sections.map(({ title, ids, scores, isBest }) => {
      this.order.set(ids, begin);
      const section = { begin, end: begin + ids.length, scores, isBest, hasTitle: Boolean(title), top: 0 };
      begin = section.end;
      return section;
    });
    let last = 0;
    for (let index = 0; index < this.order.length; index++) last = Math.max(last, this.order[index]);
    this.#places = new Int32Array(last + 1);
    for (let index = 0; index < this.order.length; index++) this.#places[this.order[index]] = index + 1;
    this.#best = sections[0]?.scores?.[0] ?? 0;
    this.#worst = sections.at(-1)?.scores?.at(-1) ?? 0;
    this.#stack();
  }

  /** As many columns as there is room for. */
  fit(width) {
    const least = width < PHONE ? NARROWEST_ON_PHONES : NARROWEST;
    this.columns = Math.max(1, Math.floor(width / least));
    this.tile = width / this.columns;
    this.#stack();
  }

  #stack() {
    let top = 0;
    for (const section of this.#sections) {
      section.top = top;
      const rows = Math.ceil((section.end - section.begin) / this.columns);
      top += (section.hasTitle ? TITLE : 0) + rows * this.rowHeight;
    }
    this.height = top;
  }

  titleTop(i) {
    return this.#sections[i].top;
  }

  indexOf(id) {
    const place = this.#places[id];
    return place ? place - 1 : undefined;
  }

  /** The section of a place in the order. */
  #sectionAt(index) {
    let low = 0;
    let high = this.#sections.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (index < this.#sections[middle].end) high = middle;
      else low = middle + 1;
    }
    return this.#sections[low];
  }

  #firstRow = ({ top, hasTitle }) => top + (hasTitle ? TITLE : 0);

  /** @returns {{ x: number, y: number }} in pixels from the grid's corner */
  place(index) {
    const section = this.#sectionAt(index);
    const at = index - section.begin;
    return {
      x: (at % this.columns) * this.tile,
      y: this.#firstRow(section) + Math.floor(at / this.columns) * this.rowHeight,
    };
  }

  /** The score of a place, its share between the worst and the best, and whether it is one of the best. */
  scoreOf(index) {
    const { begin, scores, isBest } = this.#sectionAt(index);
    if (!scores) return undefined;
    const score = scores[index - begin];
    const share = (score - this.#worst) / (this.#best - this.#worst || 1);
    return { score, share, isBest: Boolean(isBest) && index < 3 };
  }

  /** The places in the order that lie between two heights: [first, end]. */
  between(top, bottom, margin) {
    let first = this.order.length;
    let end = 0;
    const extra = margin * this.rowHeight;
    for (const section of this.#sections) {
      if (section.begin === section.end) continue;
      const start = this.#firstRow(section);
      const rows = Math.ceil((section.end - section.begin) / this.columns);
      const from = Math.max(0, Math.floor((top - extra - start) / this.rowHeight));
      const to = Math.min(rows, Math.ceil((bottom + extra - start) / this.rowHeight));
      if (from >= to) continue;
      first = Math.min(first, section.begin + from * this.columns);
      end = Math.max(end, Math.min(section.end, section.begin + to * this.columns));
    }
    return [first, end];
  }

  /** Where a key leads from a place, if anywhere. */
  step(index, key, screen) {
    if (index === undefined) return undefined;
    const page = Math.max(1, Math.floor(screen / this.rowHeight) - 1);
    const target = {
      ArrowLeft: () => index - 1,
      ArrowRight: () => index + 1,
      ArrowUp: () => this.#rowsAway(index, -1),
      ArrowDown: () => this.#rowsAway(index, 1),
      PageUp: () => this.#rowsAway(index, -page),
      PageDown: () => this.#rowsAway(index, page),
      Home: () => 0,
      End: () => this.order.length - 1,
    }[key]?.();
    return target === undefined ? undefined : Math.min(this.order.length - 1, Math.max(0, target));
  }

  #rowsAway(index, rows) {
    const { begin, end } = this.#sectionAt(index);
    const column = (index - begin) % this.columns;
    const target = index + rows * this.columns;
    if (target >= begin && target < end) return target;
    if (target < begin) {
      if (begin === 0) return column;
      const before = this.#sectionAt(begin - 1);
      const lastRow = Math.floor((before.end - 1 - before.begin) / this.columns) * this.columns;
      return Math.min(before.end - 1, before.begin + lastRow + column);
    }
    const isInLastRow = Math.floor((index - begin) / this.columns) === Math.floor((end - 1 - begin) / this.columns);
    if (!isInLastRow) return end - 1;
    return end === this.order.length ? index : Math.min(end + column, this.#sectionAt(end).end - 1);
  }
}
