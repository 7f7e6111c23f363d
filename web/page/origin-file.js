// Files of a page's own, in the origin private file system: opened, and replaced as a whole.

import { HalfclipError, messageOf } from '../base/errors.js';
import { writeFile } from '../cache/origin-files.js';
import { BlobSource } from '../sources/in-memory.js';

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
      await check({ file: name, source: await find(folder, name) });
      signal.throwIfAborted();
      await handle.move(name);
    });
  } catch (error) {
    await folder.removeEntry(temporary).catch(() => {});
    throw error;
  }
}
