// Where files of pictures have their EXIF: a segment of a JPEG, a chunk of a PNG or WebP, an item of a HEIC or AVIF.
//
// A function gets a file { head: DataView, size, read(begin, end): Promise<DataView> } and gives the bytes of the EXIF, which begin with
// a TIFF header, or null. Of what points beyond the file's end a RangeError may come.

/** Bytes of a file's beginning that are looked through, and of an EXIF that are read. */
export const HEAD = 1 << 17;
/** How much a file may make one read: heads of chunks and boxes, and bytes of what lists a HEIC's items. */
const MOST_PARTS = 1000;
const MOST_LISTED = 1 << 20;

const text = (view, at, length) =>
  at + length > view.byteLength
    ? ''
    : String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));
const part = (view, at, length = Infinity) =>
  new DataView(view.buffer, view.byteOffset + at, Math.max(0, Math.min(length, view.byteLength - at)));

/** @returns {Promise<DataView | null>} */
export async function exifIn(file) {
  const { head } = file;
  if (head.byteLength < 16) return null;
  if (head.getUint16(0) === 0xffd8) return inJpeg(head);
  if (text(head, 0, 8) === '\x89PNG\r\n\x1a\n') return inPng(head);
  if (text(head, 0, 4) === 'RIFF' && text(head, 8, 4) === 'WEBP') return inWebp(file);
  return text(head, 4, 4) === 'ftyp' ? inItems(file) : null;
}

function inJpeg(view) {
  for (let at = 2; at + 4 <= view.byteLength && view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at++; // padding
      continue;
    }
    if (marker === 0xda) return null; // the picture itself
    const length = view.getUint16(at + 2);
    if (marker === 0xe1 && text(view, at + 4, 6) === 'Exif\0\0') return part(view, at + 10, length - 8);
    at += 2 + length;
  }
  return null;
}

function inPng(view) {
  for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at))
    if (text(view, at + 4, 4) === 'eXIf') return part(view, at + 8, view.getUint32(at));
  return null;
}

/** Its EXIF is behind the picture: only the heads of chunks are read. */
async function inWebp(file) {
  for (let at = 12, parts = 0; at + 8 <= file.size && parts < MOST_PARTS; parts++) {
    const head = await file.read(at, at + 8);
    const length = head.getUint32(4, true);
    if (text(head, 0, 4) === 'EXIF') {
      const chunk = await file.read(at + 8, at + 8 + Math.min(length, HEAD));
      return text(chunk, 0, 6) === 'Exif\0\0' ? part(chunk, 6) : chunk;
    }
    at += 8 + length + (length & 1);
  }
  return null;
}

// Items of the ISO base media file format (ISO/IEC 14496-12, 8.11; 23008-12, annex A) ----------------------------------

async function inItems(file) {
  const meta = await findMeta(file);
  const listed = meta && boxesIn(meta, 4);
  const id = listed?.iinf && exifItem(listed.iinf);
  const place = id !== undefined && listed.iloc && placeOf(listed.iloc, id);
  if (!place) return null;
  const { begin, length, isInside } = place;
  const item = isInside ? part(listed.idat, begin, length) : await file.read(begin, begin + Math.min(length, HEAD));
  return part(item, 4 + item.getUint32(0));
}

async function findMeta(file) {
  for (let at = 0, parts = 0; at + 8 <= file.size && parts < MOST_PARTS; parts++) {
    const { type, begin, length } = boxAt(await file.read(at, at + 16), 0);
    if (type === 'meta') return length <= MOST_LISTED ? file.read(at + begin, at + begin + length) : null;
    at += begin + length;
  }
  return null;
}

/** A box: its type, where its content begins, and how long that is. */
function boxAt(view, at) {
  const type = text(view, at + 4, 4);
  const size = view.getUint32(at);
  if (size === 0) return { type, begin: at + 8, length: Infinity }; // to the end
  const head = size === 1 ? 16 : 8;
  const length = (size === 1 ? Number(view.getBigUint64(at + 8)) : size) - head;
  if (length < 0) throw new RangeError('a box that is smaller than its head');
  return { type, begin: at + head, length };
}

/** The first box of each type from `at` on, by type. */
function boxesIn(view, at) {
  const boxes = {};
  while (at + 8 <= view.byteLength) {
    const { type, begin, length } = boxAt(view, at);
    boxes[type] ??= part(view, begin, length);
    at = begin + length;
  }
  return boxes;
}

/** The number of the item that is EXIF. */
function exifItem(iinf) {
  for (let at = iinf.getUint8(0) === 0 ? 6 : 8; at + 8 <= iinf.byteLength;) {
    const { type, begin, length } = boxAt(iinf, at);
    const version = iinf.getUint8(begin);
    const wide = version === 3 ? 2 : 0;
    if (type === 'infe' && version >= 2 && text(iinf, begin + 8 + wide, 4) === 'Exif')
      return wide ? iinf.getUint32(begin + 4) : iinf.getUint16(begin + 4);
    at = begin + length;
  }
  return undefined;
}

/** Where an item's first extent is: in the file, or inside the box that lists them. */
function placeOf(iloc, wanted) {
  const version = iloc.getUint8(0);
  const sizes = iloc.getUint16(4);
  const [offsetBytes, lengthBytes, baseBytes] = [12, 8, 4].map((shift) => (sizes >> shift) & 15);
  const indexBytes = version > 0 ? sizes & 15 : 0;
  let at = 6;
  const number = (bytes) => {
    at += bytes;
    if (bytes === 8) return Number(iloc.getBigUint64(at - 8));
    return bytes === 4 ? iloc.getUint32(at - 4) : bytes === 2 ? iloc.getUint16(at - 2) : 0;
  };
  const wide = version < 2 ? 2 : 4;
  for (let count = number(wide); count > 0; count--) {
    const id = number(wide);
    const method = version > 0 ? number(2) & 15 : 0;
    number(2); // in which file: this one
    const base = number(baseBytes);
    const extents = number(2);
    if (id === wanted) {
      number(indexBytes);
      const begin = base + number(offsetBytes);
      const length = number(lengthBytes) || Infinity; // to the end
      return extents === 0 || method > 1 ? null : { begin, length, isInside: method === 1 };
    }
    at += extents * (indexBytes + offsetBytes + lengthBytes);
  }
  return null;
}
