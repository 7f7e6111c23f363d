// What the page's own thread knows of the pictures: names and states, as its worker tells them, and which of them the
// visitor wants to see. While pictures come in, each that comes costs its own work and not that of all.

const DAY = 86_400_000;
const collator = new Intl.Collator(undefined, { numeric: true });

export class Album {
  #pictures = new Map();
  #listeners = [];
  #counts = new Map(); // of each folder, how many pictures are below it
  #folders = null; // the same in order, until a picture comes or goes
  #clips = new Map(); // of each clip the numbers of its frames
  #filter = { folder: '', from: NaN, to: NaN, hidden: false };
  #visible = null; // by id, 1 where the filter lets a picture through; until there is another filter
  #shown = null; // what is shown, until something of that changes

  onChange(listener) {
    this.#listeners.push(listener);
  }

  changed(ids) {
    for (const listener of this.#listeners) listener(ids);
  }

  get filter() {
    return this.#filter;
  }

  set filter(filter) {
    this.#filter = filter;
    this.#visible = this.#shown = null;
  }

  /** How many there are; the frames of a clip count as one. */
  get size() {
    let size = this.#pictures.size;
    for (const frames of this.#clips.values()) size -= frames.size - 1;
    return size;
  }

  /** A picture alone, or all frames of its clip. */
  together(id) {
    const { clip } = this.#pictures.get(id) ?? {};
    return clip ? [...this.#clips.get(clip)] : [id];
  }

  /** Lets of each clip through the first frame that it is asked about. */
  oncePerClip() {
    const seen = new Set();
    return (id) => {
      const clip = this.#clips.size > 0 && this.#pictures.get(id)?.clip;
      if (!clip) return true;
      return !seen.has(clip) && Boolean(seen.add(clip));
    };
  }

  get(id) {
    return this.#pictures.get(id);
  }

  all() {
    return [...this.#pictures.values()];
  }

  /** Pictures that are new, or known anew. */
  put(pictures) {
    for (const picture of pictures) {
      const { id, clip, path } = picture;
      const former = this.#pictures.get(id);
      const folder = folderOf(path);
      if (former) this.#count(former.folder, -1);
      this.#count(folder, 1);
      this.#pictures.set(id, { ...picture, folder });
      if (clip) this.#clips.set(clip, (this.#clips.get(clip) ?? new Set()).add(id));
      this.#look(id);
    }
    this.#shown = null;
    this.changed(pictures.map(({ id }) => id));
  }

  update(ids, changes) {
    for (const id of ids) {
      Object.assign(this.#pictures.get(id) ?? {}, changes);
      this.#look(id);
    }
    this.changed(ids);
  }

  /** Pictures that have been read: { id, taken }. */
  read(pictures) {
    for (const { id, taken } of pictures) {
      const picture = this.#pictures.get(id);
      if (!picture) continue;
      Object.assign(picture, { ready: true, problem: undefined, taken: taken ?? picture.taken });
      this.#look(id);
    }
    this.changed(pictures.map(({ id }) => id));
  }

  remove(ids) {
    for (const id of ids) {
      const picture = this.#pictures.get(id);
      if (!picture) continue;
      const frames = this.#clips.get(picture.clip);
      this.#count(picture.folder, -1);
      this.#pictures.delete(id);
      this.#look(id);
      frames?.delete(id);
      if (frames?.size === 0) this.#clips.delete([...this.#clips].find(([, ids]) => ids === frames)[0]);
    }
    this.#shown = null;
    this.changed(ids);
  }

  clear() {
    this.remove([...this.#pictures.keys()]);
  }

  /** Whether the filter lets a picture through. Asked of every picture for each letter: a look into a table. */
  shows(id) {
    return (this.#visible ??= this.#lookAtAll())[id] === 1;
  }

  #lookAtAll() {
    let last = 0;
    for (const id of this.#pictures.keys()) last = Math.max(last, id);
    const visible = new Uint8Array(2 * last + 1);
    for (const [id, picture] of this.#pictures) visible[id] = this.#lets(picture);
    return visible;
  }

  /** A picture is new, has changed, or has gone. */
  #look(id) {
    if (!this.#visible) return;
    const picture = this.#pictures.get(id);
    const isVisible = picture ? this.#lets(picture) : 0;
    if (id >= this.#visible.length) this.#visible = null;
    else if (this.#visible[id] === isVisible) return;
    else this.#visible[id] = isVisible;
    this.#shown = null;
  }

  #lets(picture) {
    if (picture.hidden && !this.#filter.hidden) return 0;
    const { folder, from, to } = this.#filter;
    if (folder && picture.folder !== folder && !picture.folder.startsWith(`${folder}/`)) return 0;
    const date = picture.taken ?? picture.modified;
    return date < from || date >= to + DAY ? 0 : 1;
  }

  /** The pictures that are shown, in the order in which they came. */
  shown() {
    return (this.#shown ??= this.#showAll());
  }

  #showAll() {
    const once = this.oncePerClip();
    return [...this.#pictures.keys()].filter((id) => this.shows(id) && once(id));
  }

  /** All folders, with how many pictures are below each. */
  folders() {
    return (this.#folders ??= [...this.#counts].sort(([a], [b]) => collator.compare(a, b)));
  }

  /** One picture more, or less, in a folder and in those above it. */
  #count(folder, change) {
    this.#folders = null;
    for (let path = folder; path; path = folderOf(path)) {
      const count = (this.#counts.get(path) ?? 0) + change;
      if (count > 0) this.#counts.set(path, count);
      else this.#counts.delete(path);
    }
  }
}

const folderOf = (path) => path.slice(0, Math.max(0, path.lastIndexOf('/')));
