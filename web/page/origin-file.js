// Files of a page's own, in the origin private file system: opened, replaced as a whole, and changed in place.

import { HalfclipError, messageOf } from '../base/errors.js';
import { writeFile } from '../cache/origin-files.js';
import { BlobSource } from '../sources/in-memory.js';
import { CHUNK, Source } from '../sources/source.js';

export const wholeName = (name) => name;

/** One tab replaces a file at a time, and none while another reads it; in browsers that have no locks, some do. */
const locked = (name, mode, work) =>
  navigator.locks ? navigator.locks.request(`halfclip/index ${name}`, { mode }, work) : work();

/** Does `work` while nobody replaces a file. */
export const keepFile = (name, work) => locked(name, 'shared', work);

async function openFolder(name) {
  try {
    return await navigator.storage.getDirectory();
  } catch (error) {
    throw new HalfclipError(
      'weights/not-found',
      `${name}: there is no origin private file system here (${messageOf(error)}): give a Blob, bytes or a URL`,
      { cause: error },
    );
  }
}

/** A file as a source. */
export async function openFile(name) {
  const source = await find(await openFolder(name), name);
  if (source) return source;
  throw new HalfclipError(
    'weights/not-found',
    `${name}: there is no such file in the origin private file system; a URL begins with https:, or with . or / and is given as one: new URL(…)`,
  );
}

async function find(folder, name) {
  try {
    return new BlobSource(await (await folder.getFileHandle(name)).getFile(), name);
  } catch (error) {
    if (error.name === 'NotFoundError') return null;
    throw error;
  }
}

/** See replaceFile in ../node/replace-file.js. */
export async function replaceFile(name, pieces, { signal, check }) {
  const folder = await openFolder(name);
  const temporary = `${name}.${crypto.getRandomValues(new Uint32Array(2)).join('-')}.tmp`;
  const handle = await folder.getFileHandle(temporary, { create: true });
  try {
    await writeFile(handle, pieces, signal);
    await locked(name, 'exclusive', async () => {
      await check({ source: await find(folder, name) });
      signal.throwIfAborted();
      await handle.move(name);
    });
  } catch (error) {
    await folder.removeEntry(temporary).catch(() => {});
    throw error;
  }
}

/**
 * See changeFile in ../node/replace-file.js. False, too, in browsers that have no locks. Whoever held one was closed when
 * it is free, and so nobody has to be waited for.
 */
export async function changeFile(name, signal, work) {
  if (!navigator.locks) return false;
  const folder = await openFolder(name);
  return locked(name, 'exclusive', async () => {
    signal.throwIfAborted();
    const handle = await folder.getFileHandle(name).catch((error) => {
      if (error.name === 'NotFoundError') return null;
      throw error;
    });
    if (!handle) return false;
    const file = await openToChange(handle, name);
    let isChanged = false;
    try {
      return (isChanged = await work(file));
    } finally {
      await file.close(isChanged);
    }
  });
}

/** In a worker the file itself; on a page's own thread a copy, which the browser makes, and moves there in the end. */
async function openToChange(handle, name) {
  if (handle.createSyncAccessHandle) return accessTo(await handle.createSyncAccessHandle(), name);
  let writable = null;
  const open = async () => (writable ??= await handle.createWritable({ keepExistingData: true }));
  return {
    source: new BlobSource(await handle.getFile(), name),
    truncate: async (length) => (await open()).truncate(length),
    write: async (bytes, position) => (await open()).write({ type: 'write', position, data: bytes.slice() }),
    sync: async () => {},
    close: (isChanged) => (isChanged ? writable?.close() : writable?.abort()),
  };
}

const accessTo = (access, name) => ({
  source: new AccessSource(access, name),
  truncate: async (length) => access.truncate(length),
  async write(bytes, at) {
    // Not all of it, or in a private window of Chromium an error's number, when storage is full.
    if (access.write(bytes, { at }) !== bytes.length)
      throw new DOMException('not all could be written', 'QuotaExceededError');
  },
  sync: async () => access.flush(),
  close: () => access.close(),
});

class AccessSource extends Source {
  #access;

  constructor(access, name) {
    super(name, access.getSize());
    this.#access = access;
  }

  async *read(begin, end) {
    const last = Math.min(end, this.size);
    for (let at = begin; at < last; at += CHUNK) {
      const chunk = new Uint8Array(Math.min(CHUNK, last - at));
      yield chunk.subarray(0, this.#access.read(chunk, { at }));
    }
  }
}
