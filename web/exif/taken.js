// When a photograph was taken, as its file says.

import { HalfclipError, describe } from '../base/errors.js';
import { bytesOf, hasTag } from '../base/realm.js';
import { HEAD, exifIn } from './containers.js';
import { dateIn } from './date.js';

/**
 * When a photograph was taken, by the clock of its camera: DateTimeOriginal of its EXIF (CIPA DC-008), in a JPEG, PNG,
 * WebP, AVIF or HEIC file.
 * @param {Blob | ArrayBufferLike | ArrayBufferView} picture  a file, of which little is read, or its bytes
 * @returns {Promise<string | null>} see exif.d.ts; null where the file does not say, is damaged, or is no picture
 */
export async function takenAt(picture) {
  return takenFrom(readerOf(picture));
}

/**
 * The same of what can be read in parts.
 * @param {{ size: number, read(begin: number, end: number): Promise<Uint8Array> }} file  `end` is at most `size`; of a
 *   file that has become shorter, what is left
 */
export async function takenFrom(file) {
  const viewOf = ({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength);
  const head = await file.read(0, Math.min(HEAD, file.size));
  const read = async (begin, end) => {
    const last = Math.max(begin, Math.min(end, file.size));
    return viewOf(last <= head.length ? head.subarray(begin, last) : await file.read(begin, last));
  };
  try {
    const exif = await exifIn({ head: viewOf(head), size: file.size, read });
    return exif && dateIn(exif);
  } catch (error) {
    if (error instanceof RangeError) return null; // it points beyond its end
    throw error;
  }
}

function readerOf(picture) {
  if (hasTag(picture, 'Blob', 'File')) {
    const read = async (begin, end) => new Uint8Array(await picture.slice(begin, end).arrayBuffer());
    return { size: picture.size, read };
  }
  const bytes = bytesOf(picture);
  if (!bytes)
    throw new HalfclipError(
      'input/type',
      `takenAt() got ${describe(picture)}, expected a Blob, an ArrayBuffer or a view of one`,
    );
  return { size: bytes.length, read: async (begin, end) => bytes.subarray(begin, end) };
}
