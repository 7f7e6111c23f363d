// A file that is replaced as a whole, or changed in place, and by one program at a time.

import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { HalfclipError } from '../base/errors.js';
import { locked } from './file-lock.js';
import { openFile, openToChange } from './file-source.js';

const ABANDONED = 3_600_000; // milliseconds after which nobody writes a temporary file any more

/** The name of a path or a file: URL, from the root on. */
export const wholeName = (place) => path.resolve(place.startsWith('file:') ? fileURLToPath(place) : place);

/** Does `work` while a file is read: whoever has opened it reads on in the old one when it is replaced. */
export const keepFile = (_, work) => work();

/**
 * Writes a file beside its place and moves it there whole: whoever opens it finds the old one or the new one, also after
 * a loss of power.
 * @param {string} place
 * @param {Iterable<Uint8Array>} pieces each uses the memory of the one before
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(current: { source: object | null }) => Promise<void>} options.check called when nobody else
 *   replaces the file any more; source: what is there; throws if it must stay
 */
export async function replaceFile(place, pieces, { signal, check }) {
  const named = wholeName(place);
  const file = await fs.realpath(named).catch(() => named); // a link stays one
  const temporary = `${file}.${randomBytes(8).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, pieces, signal);
    await locked(`${file}.lock`, signal, async (lock) => {
      const source = await openFile(file).catch((error) => {
        if (isMissing(error)) return null;
        throw error;
      });
      try {
        await check({ source });
      } finally {
        await source?.close();
      }
      signal.throwIfAborted();
      if (!(await lock.isHeld())) throw lost(place);
      await fs.rename(temporary, file);
    });
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error.syscall ? failure(place, error) : error;
  }
  await syncFolder(path.dirname(file));
  await sweep(file);
}

/**
 * Changes a file in place.
 * @param {string} place
 * @param {AbortSignal} signal
 * @param {(file: { source: object, truncate: (length: number) => Promise<void>, write: (bytes: Uint8Array, at: number) =>
 *   Promise<void>, sync: () => Promise<void> }) => Promise<boolean>} work false: it changed nothing
 * @returns {Promise<boolean>} false, too, where there is no such file that may be changed, and where whoever changed it was killed, perhaps:
 *   of one that only slept, what it still writes must not meet what others do
 */
export async function changeFile(place, signal, work) {
  const named = wholeName(place);
  const file = await fs.realpath(named).catch(() => named);
  try {
    return await locked(`${file}.lock`, signal, async (lock) => {
      if (lock.isTaken) return false;
      const opened = await openToChange(file).catch((error) => {
        if (isMissing(error) || isProtected(error)) return null;
        throw error;
      });
      if (!opened) return false;
      let isChanged;
      try {
        isChanged = await work(opened);
      } finally {
        await opened.source.close();
      }
      if (isChanged && !(await lock.isHeld())) throw lost(place);
      return isChanged;
    });
  } catch (error) {
    throw error.syscall ? failure(place, error) : error;
  }
}

const isMissing = (error) => error.cause?.code === 'ENOENT';

/** What cannot be changed may still be replaced: that is for its folder to say. */
const isProtected = (error) => ['EACCES', 'EPERM'].includes(error.cause?.code);

const lost = (place) =>
  new HalfclipError(
    'weights/changed',
    `${place}: somebody else has changed it, because saving stood still: load it again`,
  );

const failure = (place, error) =>
  new HalfclipError('weights/not-found', `${place}: cannot be written: ${error.message}`, { cause: error });

async function writeFile(name, pieces, signal) {
  const file = await fs.open(name, 'wx');
  try {
    for (const piece of pieces) {
      signal.throwIfAborted();
      for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes sure that a name stays moved; not every system can. */
async function syncFolder(folder) {
  const handle = await fs.open(folder).catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** Removes what programs left behind that were killed while they wrote the same file. */
async function sweep(file) {
  const [folder, prefix] = [path.dirname(file), `${path.basename(file)}.`];
  for (const name of await fs.readdir(folder).catch(() => [])) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]{16}\.tmp$/.test(name.slice(prefix.length))) continue;
    const found = await fs.stat(path.join(folder, name)).catch(() => null);
    if (found && Date.now() - found.mtimeMs > ABANDONED) await fs.rm(path.join(folder, name), { force: true });
  }
}
