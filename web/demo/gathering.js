// Pictures that come in many at once: those of a folder whose handle is kept, and those that `halfclip serve` has read.

import { VectorIndex } from '../vector-index.js';
import { identity } from './library.js';
import { picturesBelow } from './places.js';
import { makeThumbnail } from './thumbnails.js';

const BATCH = 500;
/** Milliseconds until small copies that were made late are written. */
const WRITE_AFTER = 1000;

/**
 * Reads a folder whose handle is kept.
 * @param {import('./library.js').Library} library
 * @param {{ id: string, name: string, handle: FileSystemDirectoryHandle }} folder
 * @param {(pictures: object[]) => void} add  called with those that may be new
 * @returns {Promise<{ count: number, gone: number[], clips: object[] }>} how many there are, which are not there any
 *   more, and clips whose frames are to be taken: { file, path, source }
 */
export async function readFolder(library, folder, add) {
  const before = library.records.filter(({ source }) => source.folder === folder.id);
  const clips = [];
  const clipsThere = new Set();
  const there = new Set();
  let count = 0;
  let batch = [];
  const flush = () => {
    add(batch);
    for (const picture of batch) there.add(library.idOf(picture));
    count += batch.length;
    batch = [];
  };
  for await (const { path, handle, isClip } of picturesBelow(folder.handle)) {
    const file = await handle.getFile();
    const { name, size, lastModified: modified } = file;
    const picture = { name, path: `${folder.name}/${path}`, size, modified, source: { folder: folder.id, path } };
    if (isClip) {
      clipsThere.add(identity(picture));
      clips.push({ file, path: picture.path, source: picture.source });
      continue;
    }
    batch.push(picture);
    if (batch.length === BATCH) flush();
  }
  flush();
  const isThere = ({ id, size, modified, source: { clip } }) =>
    clip ? clipsThere.has(identity({ path: clip, size, modified })) : there.has(id);
  const gone = before.filter((record) => !isThere(record)).map(({ id }) => id);
  return { count: count + clips.length, gone, clips };
}

/**
 * Takes over what Node.js has read of a folder.
 * @param {import('./library.js').Library} library
 * @param {{ folder: string, index: string | null, list: string, isDone: boolean }} served  its name, and addresses
 * @param {boolean} hasVectors  whether the index is by the model that is chosen
 * @returns {Promise<{ added: object[], taken: number[], gone: number[] }>} records that are new, pictures that have their
 *   vectors now, and those that are not there any more
 */
export async function takeServed(library, { folder, index: place, list, isDone }, hasVectors) {
  const index = place && (await VectorIndex.load(new URL(place)));
  const names = (await (await fetch(list)).text()).split('\n').filter(Boolean);
  const there = new Set();
  const added = [];
  const taken = [];
  for (const name of names) {
    const entry = index?.has(name) ? index.get(name) : null;
    if (!entry && !isDone) continue;
    const { size = 0, time: modified = 0, taken: date } = entry?.data ?? {};
    const url = new URL(name.split('/').map(encodeURIComponent).join('/'), list).href;
    const picture = { name: name.split('/').at(-1), path: `${folder}/${name}`, size, modified };
    const when = date ? { taken: Date.parse(date) } : {};
    const record = library.add({ ...picture, ...when, source: { url, served: folder } });
    if (record) added.push(record);
    const id = library.idOf(picture);
    there.add(id);
    if (!entry || !hasVectors || library.vectors.has(id)) continue;
    library.vectors.set(id, entry.vector);
    taken.push(id);
  }
  const gone = library.records.filter(({ id, source }) => isDone && source.served === folder && !there.has(id));
  return { added, taken, gone: gone.map(({ id }) => id) };
}

/** Small copies of pictures that were read elsewhere, made when they are first seen. */
export class LateThumbnails {
  #library;
  #making = Promise.resolve();
  #writing;

  constructor(library) {
    this.#library = library;
  }

  /** @returns {Promise<Blob | null>} */
  async of(id) {
    if (this.#isMissing(id)) {
      // One at a time: photographs take much memory while they are decoded.
      this.#making = this.#making.then(() => this.#isMissing(id) && this.#make(id)).catch(() => {});
      await this.#making;
    }
    return this.#library.thumbnail(id);
  }

  #isMissing(id) {
    const record = this.#library.get(id);
    return record?.source.served && this.#library.vectors.has(id) && !this.#library.hasThumbnail(id);
  }

  async #make(id) {
    const file = await this.#library.places.open(this.#library.get(id));
    const bitmap = await createImageBitmap(file);
    this.#library.setThumbnail(id, await makeThumbnail(bitmap, file.type === 'image/jpeg'));
    bitmap.close();
    this.#writing ??= setTimeout(() => {
      this.#writing = undefined;
      this.#library.commit().catch(() => {}); // a full disk: they are made again
    }, WRITE_AFTER);
  }
}
