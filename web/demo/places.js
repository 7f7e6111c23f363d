// Where a picture's file is: handed over by the page, below a folder that it may read, or at an address.
//
// A picture remembers { folder, path } (a folder whose handle is kept), { handle } (a single file's), or { url }. A File
// from an <input> or a drop without handles is there until the page is closed; after that its thumbnail stands for it.
// So it does for a frame of a clip, which has { clip, time } as well: its file is the clip's.

const PICTURE = /\.(avif|bmp|gif|heic|heif|jfif|jpe?g|png|tiff?|webp)$/i;

export const looksLikePicture = (name) => PICTURE.test(name) && !name.startsWith('.');

const CLIP = /\.(m4v|mkv|mov|mp4|ogv|webm)$/i;

export const looksLikeClip = (name) => CLIP.test(name) && !name.startsWith('.');

export class Places {
  #folders = new Map(); // id to { id, name, handle }
  #files = new Map(); // id of a picture to its File

  constructor(folders) {
    for (const folder of folders) this.#folders.set(folder.id, folder);
  }

  get folders() {
    return [...this.#folders.values()];
  }

  /** The folder of a handle: one that is known already, or a new one, which the caller keeps. */
  async folderOf(handle) {
    for (const folder of this.#folders.values()) {
      if (await folder.handle.isSameEntry(handle)) return { folder, isNew: false };
    }
    const folder = { id: crypto.randomUUID(), name: handle.name, handle };
    this.#folders.set(folder.id, folder);
    return { folder, isNew: true };
  }

  remember(id, file) {
    this.#files.set(id, file);
  }

  forget(ids) {
    for (const id of ids) this.#files.delete(id);
  }

  forgetAll() {
    this.#files.clear();
    this.#folders.clear();
  }

  /** Folders that may not be read until the visitor says so again. */
  async closedFolders() {
    const closed = [];
    for (const { id, name, handle } of this.#folders.values()) {
      if ((await permissionOf(handle)) !== 'granted') closed.push({ id, name, handle });
    }
    return closed;
  }

  /** The file of a picture, or null where it cannot be had any more. */
  async open({ id, source }) {
    if (this.#files.has(id)) return this.#files.get(id);
    return source.clip ? null : this.#openSource(source);
  }

  /** The file of the clip that a frame is of, likewise. */
  async openClip({ source }) {
    return source.clip && !source.url ? this.#openSource(source) : null;
  }

  async #openSource(source) {
    if (source.url) return fetchPicture(source.url);
    const handle = source.handle ?? (await this.#below(source));
    if (!handle || (await permissionOf(handle)) !== 'granted') return null;
    try {
      return await handle.getFile();
    } catch (error) {
      if (['NotFoundError', 'NotAllowedError'].includes(error.name)) return null;
      throw error;
    }
  }

  async #below({ folder, path }) {
    const root = this.#folders.get(folder)?.handle;
    if (!root || (await permissionOf(root)) !== 'granted') return null;
    const parts = path.split('/');
    try {
      let place = root;
      for (const part of parts.slice(0, -1)) place = await place.getDirectoryHandle(part);
      return await place.getFileHandle(parts.at(-1));
    } catch {
      return null; // it was moved or removed
    }
  }
}

/** Pictures have been chosen by the visitor: what cannot be asked may be read. */
const permissionOf = async (handle) => (await handle.queryPermission?.({ mode: 'read' })) ?? 'granted';

async function fetchPicture(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.blob();
}

/**
 * All pictures and clips below a folder, in the order of their names: { path, handle, isClip }.
 * @param {FileSystemDirectoryHandle} folder
 */
export async function* picturesBelow(folder, path = '') {
  const entries = [];
  for await (const entry of folder.values()) entries.push(entry);
  entries.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  for (const entry of entries) {
    if (entry.kind === 'file') {
      const isClip = looksLikeClip(entry.name);
      if (isClip || looksLikePicture(entry.name)) yield { path: path + entry.name, handle: entry, isClip };
    } else if (!entry.name.startsWith('.')) yield* picturesBelow(entry, `${path}${entry.name}/`);
  }
}
