// When a photograph was taken: DateTimeOriginal of its EXIF (CIPA DC-008), in JPEG, PNG and WebP files.

/** Bytes of a file's beginning that are looked through; WebP has its EXIF behind the picture. */
const HEAD = 1 << 17;
const EXIF_IFD = 0x8769;
const DATE_TIME_ORIGINAL = 0x9003;
const ASCII = 2;

const text = (view, at, length) =>
  at + length > view.byteLength
    ? ''
    : String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));
const part = (view, at, length) =>
  new DataView(view.buffer, view.byteOffset + at, Math.min(length, view.byteLength - at));

function inJpeg(view) {
  for (let at = 2; at + 4 <= view.byteLength && view.getUint8(at) === 0xff;) {
    const length = view.getUint16(at + 2);
    if (view.getUint8(at + 1) === 0xe1 && text(view, at + 4, 6) === 'Exif\0\0') return part(view, at + 10, length - 8);
    if (view.getUint8(at + 1) === 0xda) return null; // the picture itself
    at += 2 + length;
  }
  return null;
}

function inPng(view) {
  for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at))
    if (text(view, at + 4, 4) === 'eXIf') return part(view, at + 8, view.getUint32(at));
  return null;
}

/** Chunks lie one after the other: only their heads are read. */
async function inWebp(file) {
  for (let at = 12; at + 8 <= file.size;) {
    const head = new DataView(await file.slice(at, at + 8).arrayBuffer());
    const length = head.getUint32(4, true);
    if (text(head, 0, 4) === 'EXIF') {
      const chunk = new DataView(await file.slice(at + 8, at + 8 + Math.min(length, HEAD)).arrayBuffer());
      return text(chunk, 0, 6) === 'Exif\0\0' ? part(chunk, 6, length) : chunk;
    }
    at += 8 + length + (length & 1);
  }
  return null;
}

async function tiffIn(file) {
  const view = new DataView(await file.slice(0, HEAD).arrayBuffer());
  if (view.byteLength < 16) return null;
  if (view.getUint16(0) === 0xffd8) return inJpeg(view);
  if (text(view, 1, 3) === 'PNG') return inPng(view);
  return text(view, 8, 4) === 'WEBP' ? inWebp(file) : null;
}

/** Where an entry of a directory has its value, and how long it is. */
function find(view, directory, tag, little) {
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const at = directory + 2 + 12 * i;
    if (view.getUint16(at, little) !== tag) continue;
    return { type: view.getUint16(at + 2, little), length: view.getUint32(at + 4, little), at: at + 8 };
  }
  return null;
}

function dateIn(view) {
  const little = text(view, 0, 2) === 'II';
  const exif = find(view, view.getUint32(4, little), EXIF_IFD, little);
  const entry = exif && find(view, view.getUint32(exif.at, little), DATE_TIME_ORIGINAL, little);
  if (entry?.type !== ASCII || entry.length < 19) return undefined;
  const found = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)$/.exec(text(view, view.getUint32(entry.at, little), 19));
  if (!found || Number(found[1]) === 0) return undefined;
  const [year, month, day, ...time] = found.slice(1).map(Number);
  return new Date(year, month - 1, day, ...time).getTime(); // it has no zone: where the visitor is
}

/**
 * @param {Blob} file
 * @returns {Promise<number | undefined>} milliseconds, as of Date; undefined where the file does not say
 */
export async function takenAt(file) {
  try {
    const tiff = await tiffIn(file);
    return tiff ? dateIn(tiff) : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined; // it points beyond its end
    throw error;
  }
}
