// The date in an EXIF: directories of a TIFF file (TIFF 6.0, section 2), of which two are looked into.

const EXIF_IFD = 0x8769;
const DATE_TIME_ORIGINAL = 0x9003;
const OFFSET_TIME_ORIGINAL = 0x9011;
const TEXT = [2, 129]; // ASCII, and UTF-8 of EXIF 3.0

/**
 * @param {DataView} exif from its TIFF header on
 * @returns {string | null} see exif.d.ts
 */
export function dateIn(exif) {
  const order = exif.getUint16(0);
  const little = order === 0x4949;
  if ((!little && order !== 0x4d4d) || exif.getUint16(2, little) !== 42) return null;
  const pointer = find(exif, exif.getUint32(4, little), EXIF_IFD, little);
  if (!pointer) return null;
  const directory = exif.getUint32(pointer.at, little);
  const textOf = (tag, length) => {
    const entry = find(exif, directory, tag, little);
    if (!entry || !TEXT.includes(entry.type) || entry.count < length) return '';
    const at = exif.getUint32(entry.at, little);
    if (at + length > exif.byteLength) return '';
    return String.fromCharCode(...new Uint8Array(exif.buffer, exif.byteOffset + at, length));
  };
  const local = isoOf(textOf(DATE_TIME_ORIGINAL, 19));
  return local && local + offsetOf(textOf(OFFSET_TIME_ORIGINAL, 6));
}

/** Where an entry of a directory has its value, or the place of it. */
function find(view, directory, tag, little) {
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const at = directory + 2 + 12 * i;
    if (view.getUint16(at, little) !== tag) continue;
    return { type: view.getUint16(at + 2, little), count: view.getUint32(at + 4, little), at: at + 8 };
  }
  return null;
}

/** A date that there is, or null: cameras whose clock was never set write zeros, or blanks. */
function isoOf(text) {
  const found = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)$/.exec(text);
  if (!found || found[1] === '0000') return null;
  const iso = `${found.slice(1, 4).join('-')}T${found.slice(4).join(':')}`;
  const date = new Date(`${iso}Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(iso) ? iso : null;
}

/** Hours and minutes from UTC; none of a zone that there is not. */
function offsetOf(text) {
  const [, hours, minutes] = /^[+-](\d\d):(\d\d)$/.exec(text) ?? [];
  return Number(hours) <= 14 && Number(minutes) < 60 ? text : '';
}
