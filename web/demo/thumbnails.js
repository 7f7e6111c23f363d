// Small copies of pictures: made from what was decoded, and kept many to a file in the origin private file system.
//
// A file is written once and never changed, so that a part of it can be shown while others are written; it goes when
// the last of its pictures has gone.

const FOLDER = 'halfclip-pictures';
/** Long side in pixels: sharp on a dense screen, and more than a tower of 224 pixels needs of most pictures. */
const SIDE = 320;

/**
 * @param {ImageBitmap} bitmap
 * @param {boolean} isOpaque  then it is a JPEG, which takes a quarter of the time
 * @returns {Promise<Blob>}
 */
export function makeThumbnail(bitmap, isOpaque) {
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const size = (side) => Math.max(1, Math.round(side * scale));
  const canvas = new OffscreenCanvas(size(bitmap.width), size(bitmap.height));
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'medium';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: isOpaque ? 'image/jpeg' : 'image/webp', quality: 0.85 });
}

/** Where thumbnails are kept; null where the browser has no such place. */
export async function openThumbnails() {
  try {
    const root = await navigator.storage.getDirectory();
    return new Thumbnails(root, await root.getDirectoryHandle(FOLDER, { create: true }));
  } catch {
    return null;
  }
}

class Thumbnails {
  #root;
  #folder;
  #files = new Map();

  constructor(root, folder) {
    this.#root = root;
    this.#folder = folder;
  }

  /**
   * Keeps thumbnails in a new file.
   * @param {Blob[]} blobs
   * @returns {Promise<{ file: string, begin: number, end: number, type: string }[]>} where each is
   */
  async write(blobs) {
    const file = `${crypto.randomUUID()}.thumbnails`;
    const handle = await this.#folder.getFileHandle(file, { create: true });
    try {
      const stream = await handle.createWritable();
      await stream.write(new Blob(blobs));
      await stream.close();
    } catch (error) {
      await this.#folder.removeEntry(file).catch(() => {});
      throw error;
    }
    let end = 0;
    return blobs.map(({ size, type }) => ({ file, begin: end, end: (end += size), type }));
  }

  /** @returns {Promise<Blob>} */
  async read({ file, begin, end, type }) {
    if (!this.#files.has(file)) {
      const opened = this.#folder.getFileHandle(file).then((handle) => handle.getFile());
      this.#files.set(file, opened);
      opened.catch(() => this.#files.delete(file));
    }
    return (await this.#files.get(file)).slice(begin, end, type);
  }

  /** Removes files that hold none of `kept` any more. */
  async sweep(kept) {
    const used = new Set(kept.map(({ file }) => file));
    for await (const name of this.#folder.keys()) {
      if (used.has(name)) continue;
      this.#files.delete(name);
      await this.#folder.removeEntry(name).catch(() => {});
    }
  }

  async removeAll() {
    this.#files.clear();
    await this.#root.removeEntry(FOLDER, { recursive: true });
    this.#folder = await this.#root.getDirectoryHandle(FOLDER, { create: true });
  }
}
