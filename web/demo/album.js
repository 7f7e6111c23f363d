// What the page's own thread knows of the pictures: names and states, as its worker tells them, and which of them the
// visitor wants to see.

const DAY = 86_400_000;
const collator = new Intl.Collator(undefined, { numeric: true });

export class Album {
  #pictures = new Map();
  #listeners = [];
  #folders = null; // until a picture comes or goes
  #clips = new Map(); // of each clip the numbers of its frames
  #filter = { folder: '', from: NaN, to: NaN, hidden: false };
  #visible = null; // by id, 1 where the filter lets a picture through; until something of that changes

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
    this.#visible = null;
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
    this.#folders = this.#visible = null;
    for (const picture of pictures) {
      const { id, clip, path } = picture;
      this.#pictures.set(id, { ...picture, folder: folderOf(path) });
      if (clip) this.#clips.set(clip, (this.#clips.get(clip) ?? new Set()).add(id));
    }
    this.changed(pictures.map(({ id }) => id));
  }

  update(ids, changes) {
    for (const id of ids) Object.assign(this.#pictures.get(id) ?? {}, changes);
    if ('hidden' in changes) this.#visible = null;
    this.changed(ids);
  }

  /** Pictures that have been read: { id, taken }. */
  read(pictures) {
    for (const { id, taken } of pictures) {
      const picture = this.#pictures.get(id);
      if (picture) Object.assign(picture, { ready: true, problem: undefined, taken: taken ?? picture.taken });
    }
    this.#visible = null;
    this.changed(pictures.map(({ id }) => id));
  }

  remove(ids) {
    this.#folders = this.#visible = null;
    for (const id of ids) {
      const frames = this.#clips.get(this.#pictures.get(id)?.clip);
      this.#pictures.delete(id);
      frames?.delete(id);
      if (frames?.size === 0) this.#clips.delete([...this.#clips].find(([, ids]) => ids === frames)[0]);
    }
    this.changed(ids);
  }

  clear() {
    this.remove([...this.#pictures.keys()]);
  }

  /** Whether the filter lets a picture through. Asked of every picture for each letter: a look into a table. */
  shows(id) {
    return (this.#visible ??= this.#look())[id] === 1;
  }

  #look() {
    let last = 0;
    for (const id of this.#pictures.keys()) last = Math.max(last, id);
    const visible = new Uint8Array(last + 1);
    for (const [id, picture] of this.#pictures) visible[id] = this.#lets(picture) ? 1 : 0;
    return visible;
  }

  #lets(picture) {
    if (picture.hidden && !this.#filter.hidden) return false;
    const { folder, from, to } = this.#filter;
    if (folder && picture.folder !== folder && !picture.folder.startsWith(`${folder}/`)) return false;
    const date = picture.taken ?? picture.modified;
    return !(date < from) && !(date >= to + DAY);
  }

  /** The pictures that are shown, in the order in which they came. */
  shown() {
    const once = this.oncePerClip();
    return [...this.#pictures.keys()].filter((id) => this.shows(id) && once(id));
  }

  /** All folders, with how many pictures are below each. */
  folders() {
    return (this.#folders ??= this.#countFolders());
  }

  #countFolders() {
    const counts = new Map();
    for (const { folder } of this.#pictures.values()) {
      const parts = folder.split('/').filter(Boolean);
      for (let i = 1; i <= parts.length; i++) {
        const path = parts.slice(0, i).join('/');
        counts.set(path, (counts.get(path) ?? 0) + 1);
      }
    }
    return [...counts].sort(([a], [b]) => collator.compare(a, b));
  }
}

const folderOf = (path) => path.split('/').slice(0, -1).join('/');
