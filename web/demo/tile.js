// One picture in the grid: a button that opens it, and a smaller one that finds what is like it.

function element(tag, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

/** Sets what has changed, and nothing else: most of a tile stays as it is. */
function set(node, name, value) {
  if (node[name] !== value) node[name] = value;
}

/** What is seen of a tile, for those who do not see it. */
function notesOn({ problem, hidden }, state, isSelected) {
  const notes = [
    isSelected && 'selected',
    state === 'waiting' && 'not read yet',
    problem && 'cannot be read',
    hidden && 'hidden',
  ];
  return notes
    .filter(Boolean)
    .map((note) => `, ${note}`)
    .join('');
}

/** The small copy of a picture. */
export function thumbnailOf(url) {
  return Object.assign(document.createElement('img'), { alt: '', decoding: 'async', draggable: false, src: url });
}

export class Tile {
  constructor(id) {
    this.item = element('li', 'tile');
    this.item.dataset.id = String(id);
    this.button = element('button', 'open');
    this.button.type = 'button';
    this.frame = element('span', 'frame');
    this.name = element('span', 'name');
    this.score = element('span', 'score');
    this.meter = element('span', 'meter');
    const caption = element('span', 'caption');
    this.note = element('span', 'visually-hidden');
    caption.append(this.name, ' ', this.score, this.note);
    this.button.append(this.frame, this.meter, caption);
    this.alike = element('button', 'alike', '≈');
    this.alike.type = 'button';
    this.alike.tabIndex = -1;
    this.item.append(this.button, this.alike);
  }

  /** @param {HTMLImageElement | undefined} image of a small copy */
  showPicture(image) {
    if (image && image.parentNode !== this.frame) this.frame.replaceChildren(image);
  }

  /** @param {{ x: number, y: number }} place, its number in the order from 1, and of how many */
  place({ x, y }, number, count) {
    const transform = `translate(${x}px, ${y}px)`;
    if (this.transform !== transform) this.item.style.transform = this.transform = transform;
    set(this.item, 'ariaPosInSet', String(number));
    set(this.item, 'ariaSetSize', String(count));
  }

  /**
   * @param {object | undefined} picture as the album has it
   * @param {{ score: number, share: number, isBest: boolean } | undefined} found
   * @param {boolean} isStop whether the Tab key reaches it
   * @param {boolean} isSelected
   */
  show(picture, found, isStop, isSelected) {
    if (!picture) return;
    const { name, ready, problem, hidden } = picture;
    const state = problem ? 'failed' : ready ? 'ready' : 'waiting';
    set(this.item.dataset, 'state', state);
    this.item.classList.toggle('is-hidden', hidden);
    this.item.classList.toggle('selected', isSelected);
    set(this.name, 'textContent', name);
    set(this.button, 'title', problem ?? picture.path);
    set(this.alike, 'ariaLabel', `Find pictures like ${name}`);
    set(this.alike, 'title', 'Find similar pictures (S)');
    set(this.button, 'tabIndex', isStop ? 0 : -1);
    const score = found?.score.toFixed(2) ?? '';
    set(this.score, 'textContent', score);
    set(this.note, 'textContent', notesOn(picture, state, isSelected));
    const share = Math.max(0, found?.share ?? 0).toFixed(3);
    if (this.share !== share) this.meter.style.setProperty('--share', (this.share = share));
    this.item.classList.toggle('best', Boolean(found?.isBest));
    this.item.classList.toggle('scored', Boolean(found));
  }
}
