// One program at a time, by a file that is there while one of them works.

import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';

const STALE = 10_000; // milliseconds after which whoever held a lock has been killed
const BEAT = 2000; // milliseconds; so often it says that it has not
const RETRY = 20; // milliseconds

/**
 * Does `work` while a file of that name says that somebody does.
 * @template T
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {(lock: { isTaken: boolean, isHeld: () => Promise<boolean> }) => Promise<T>} work isTaken: from somebody who
 *   was killed, or has stood still; isHeld: whether nobody has taken it from here since
 * @returns {Promise<T>}
 */
export async function locked(name, signal, work) {
  const own = randomBytes(8).toString('hex');
  let isTaken = false;
  while (!(await put(name, own))) {
    const found = await fs.stat(name).catch(() => null);
    if (found && Date.now() - found.mtimeMs > STALE) {
      await fs.rm(name, { force: true });
      isTaken = true;
    } else await new Promise((resolve) => setTimeout(resolve, RETRY));
    signal.throwIfAborted();
  }
  const isHeld = async () => (await fs.readFile(name, 'latin1').catch(() => null)) === own;
  const beat = setInterval(() => fs.utimes(name, new Date(), new Date()).catch(() => {}), BEAT);
  try {
    return await work({ isTaken, isHeld });
  } finally {
    clearInterval(beat);
    if (await isHeld()) await fs.rm(name, { force: true });
  }
}

/** Makes a file that says something; false where there is one. */
async function put(name, text) {
  let file;
  try {
    file = await fs.open(name, 'wx');
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  try {
    await file.writeFile(text);
    return true;
  } catch (error) {
    await fs.rm(name, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}
