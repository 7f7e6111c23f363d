/** When photographs were taken. */

interface PictureBlob {
  readonly size: number;
  slice(start?: number, end?: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/**
 * When a photograph was taken, by the clock of its camera: `DateTimeOriginal` of its EXIF, in a JPEG, PNG, WebP, AVIF or
 * HEIC file.
 *
 * `'2026-05-01T18:30:05+02:00'` where the camera wrote from which zone (`OffsetTimeOriginal`), else
 * `'2026-05-01T18:30:05'`. Both are of ISO 8601: `new Date(taken)` takes the second one as a time of the zone in which it
 * runs.
 *
 * @param picture a file, of which the beginning is read, and of WebP, AVIF and HEIC the part that has it; or the bytes of
 *   one, of JPEG and PNG the first 128 kB will do
 * @returns `null` where the file does not say, is damaged, or is no picture. Rejects with a `HalfclipError`
 *   (`input/type`) for what is neither a Blob nor bytes
 */
export function takenAt(picture: PictureBlob | ArrayBufferLike | ArrayBufferView): Promise<string | null>;
