// What the page's own thread knows of the pictures: names and states, as its worker tells them, and which of them the
// visitor wants to see.

const DAY = 86_400_000;

export class Album {
  #pictures = new Map();
  #listeners = [];
  #folders = null; // until a picture comes or goes
  filter = { folder: '', from: NaN, to: NaN, hidden: false };

  onChange(listener) {
    this.#listeners.push(listener);
  }

  changed(ids) {
    for (const listener of this.#listeners) listener(ids);
  }

  get size() {
    return this.#pictures.size;
  }

  get(id) {
    return this.#pictures.get(id);
  }

  all() {
    return [...this.#pictures.values()];
  }

  /** Pictures that are new, or known anew. */
  put(pictures) {
    this.#folders = null;
    for (const picture of pictures) this.#pictures.set(picture.id, { ...picture, folder: folderOf(picture.path) });
    this.changed(pictures.map(({ id }) => id));
  }

  update(ids, changes) {
    for (const id of ids) Object.assign(this.#pictures.get(id) ?? {}, changes);
    this.changed(ids);
  }

  remove(ids) {
    this.#folders = null;
    for (const id of ids) this.#pictures.delete(id);
    this.changed(ids);
  }

  clear() {
    this.remove([...this.#pictures.keys()]);
  }

  /** Whether the filter lets a picture through. */
  shows(id) {
    const picture = this.#pictures.get(id);
    if (!picture || (picture.hidden && !this.filter.hidden)) return false;
    const { folder, from, to } = this.filter;
    if (folder && picture.folder !== folder && !picture.folder.startsWith(`${folder}/`)) return false;
    return !(picture.modified < from) && !(picture.modified >= to + DAY);
  }

  /** The pictures that are shown, in the order in which they came. */
  shown() {
    return [...this.#pictures.keys()].filter((id) => this.shows(id));
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
    return [...counts].sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true }));
  }
}

const folderOf = (path) => path.split('/').slice(0, -1).join('/');
