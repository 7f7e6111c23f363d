// Where an index comes from and goes to: files by their names, and whatever else holds bytes.

import { concatenate } from '../base/bytes.js';
import { HalfclipError, describe } from '../base/errors.js';
import { getHost, isNode, locate } from '../base/platform.js';
import { bytesOf, hasTag } from '../base/realm.js';
import { openWeights } from '../sources/open.js';

const EXPECTED = isNode ? 'a path' : 'the name of a file of the origin private file system';
const MOST_TRIES = 5;

/** The name of a file, in a page one of the origin private file system, that a caller gives; null for what is none. */
function fileName(place) {
  if (place === '' || (typeof place !== 'string' && !hasTag(place, 'URL'))) return null;
  if (isNode) return locate(place, 'the place of the index').path ?? null;
  return typeof place === 'string' && !/[/\\:?#]/.test(place) ? place : null;
}

/** The whole name of a file that an index is saved in; null for another place, or for what is none. */
export function nameOfPlace(place) {
  const name = fileName(place);
  return name === null ? null : getHost().wholeName(name);
}

/**
 * Changes a file in place, which nobody else does meanwhile.
 * @param {unknown} place that has a name
 * @param {AbortSignal} signal
 * @param {(file: object) => Promise<boolean>} work see appendIndex; false: it changed nothing
 * @returns {Promise<boolean>} false where there is no such file, or work said so
 */
export const changePlace = (place, signal, work) => getHost().changeFile(fileName(place), signal, work);

/**
 * Opens what an index is loaded from, for as long as it is used.
 * @template T
 * @param {unknown} place
 * @param {{ fetch?: typeof fetch, signal: AbortSignal }} options
 * @param {(source: import('../sources/source.js').Source, file: string | null) => Promise<T>} use file: its whole name,
 *   if it is one that can be saved again
 * @returns {Promise<T>}
 */
export async function readPlace(place, options, use) {
  const name = fileName(place);
  const read = async (source) => {
    try {
      return await use(source, name === null ? null : getHost().wholeName(name));
    } finally {
      await source.close();
    }
  };
  if (name !== null) return getHost().keepFile(name, async () => read(await getHost().openFile(name)));
  for (let tries = 1; ; tries++) {
    try {
      return await read(await openWeights(await describePlace(place), { ...options, whole: true }));
    } catch (error) {
      // Another tab has replaced the handle's file since it was opened: there is a whole one again.
      const isReplaced = error.code === 'weights/changed' && hasTag(place, 'FileSystemFileHandle');
      if (!isReplaced || tries === MOST_TRIES) throw error;
    }
  }
}

async function describePlace(place) {
  if ((typeof place === 'string' && place) || hasTag(place, 'URL')) return locate(place, 'the place of the index');
  if (hasTag(place, 'FileSystemFileHandle')) place = await place.getFile();
  if (hasTag(place, 'Blob', 'File')) return { blob: place, name: place.name ?? 'the Blob of the index' };
  if (hasTag(place, 'ReadableStream')) return { bytes: await collect(place) };
  const bytes = bytesOf(place);
  if (bytes) return { bytes };
  throw new HalfclipError(
    'input/type',
    `an index cannot be loaded from ${describe(place)}, expected ${EXPECTED}, a URL, a Blob, bytes or a ReadableStream`,
  );
}

async function collect(stream) {
  const reader = stream.getReader();
  const parts = [];
  for (let next; !(next = await reader.read()).done;) parts.push(next.value);
  return concatenate(parts);
}

/**
 * Writes an index.
 * @param {unknown} place a file's name, a handle of one, or a WritableStream; undefined: into a Blob, which is returned
 * @param {Generator<Uint8Array>} pieces each uses the memory of the one before
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(current: { source: object | null }) => Promise<void>} options.check throws if a file must stay
 *   as it is
 */
export async function writePieces(place, pieces, { signal, check }) {
  if (place === undefined) {
    const parts = [];
    for (const piece of pieces) parts.push(piece.slice());
    return new Blob(parts);
  }
  const name = fileName(place);
  if (name !== null) {
    await getHost().replaceFile(name, pieces, { signal, check });
    return undefined;
  }
  const stream = hasTag(place, 'FileSystemFileHandle') ? await place.createWritable() : place;
  if (!/^(WritableStream|FileSystemWritableFileStream)$/.test(Object.prototype.toString.call(stream).slice(8, -1)))
    throw new HalfclipError(
      'input/type',
      `an index cannot be saved to ${describe(place)}, expected ${EXPECTED}, a FileSystemFileHandle, a WritableStream or nothing, for a Blob`,
    );
  const writer = stream.getWriter();
  try {
    for (const piece of pieces) {
      signal.throwIfAborted();
      await writer.write(piece.slice());
    }
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  }
  return undefined;
}
