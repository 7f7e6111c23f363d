// Where pictures come from: files, folders, drag and drop, the clipboard, and the samples beside this page.
//
// A source is { name, open() }: a folder of a thousand files is listed at once, but each file is only opened when its
// turn comes.

const PICTURE_NAME = /\.(avif|bmp|gif|jfif|jpe?g|png|webp)$/i;

const fromFile = (file) => ({ name: file.name, open: async () => file });

/**
 * Sources from an <input type=file> or the clipboard: all that was chosen, so that a wrong choice is answered in words.
 */
export const fromFiles = (files) => [...files].map(fromFile);

/**
 * Sources from an <input webkitdirectory>: only what looks like a picture, because folders hold all sorts of things.
 */
export const fromFolder = (files) => [...files].filter((file) => PICTURE_NAME.test(file.name)).map(fromFile);

async function listEntry(entry, chosen) {
  if (entry.isFile) {
    if (!chosen && !PICTURE_NAME.test(entry.name)) return [];
    return [{ name: entry.name, open: () => new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  }
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    // readEntries gives at most a hundred at a time, and none at the end.
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) break;
    children.push(...batch);
  }
  children.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const lists = [];
  for (const child of children) lists.push(await listEntry(child, false));
  return lists.flat();
}

/** Sources from a drop: files, and folders with all that lies in them. */
export async function fromDrop(dataTransfer) {
  // The items are only there during the event: take every entry before the first await.
  const entries = [...dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return fromFiles(dataTransfer.files);
  const lists = [];
  for (const entry of entries) lists.push(await listEntry(entry, true));
  return lists.flat();
}

/** Sources from `pictures/index.txt` beside the page: one file name a line. */
export async function fromSamples() {
  const folder = new URL('pictures/', import.meta.url);
  const index = await fetch(new URL('index.txt', folder));
  if (!index.ok) throw new Error(`The sample pictures are not on this server (${index.url}: ${index.status}).`);
  const names = (await index.text()).split('\n').filter(Boolean);
  return names.map((name) => ({
    name,
    async open() {
      const response = await fetch(new URL(encodeURIComponent(name), folder));
      if (!response.ok) throw new Error(`${name}: the server answered ${response.status}`);
      return response.blob();
    },
  }));
}
