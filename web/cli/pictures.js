// The pictures or videos in a folder and below it, told by how their files begin, in an order that does not change.

import { lstat, open, readdir, readFile, stat } from 'node:fs/promises';

const HEAD = 192; // bytes: of MPEG-TS, more than one packet

const beginning = (...patterns) => new RegExp(`^(${patterns.join('|')})`);

const MAGIC = {
  /** SVG is none of them, which has no pixels of its own. */
  image: beginning(
    '\\xff\\xd8\\xff', // JPEG
    '\\x89PNG\\r\\n\\x1a\\n',
    'GIF8[79]a',
    'RIFF[^]{4}WEBP',
    'BM[^]{4}\\0{4}[^]{4}[\\x0c\\x28\\x34\\x38\\x40\\x6c\\x7c]\\0{3}',
    'II\\*\\0|MM\\0\\*|II\\+\\0|MM\\0\\+', // TIFF
    '[^]{4}ftyp(avif|avis|hei[cfmsx]|hev[cmsx]|mif1|msf1)',
  ),
  /** Files of sound alone may begin so, too. */
  video: beginning(
    '[^]{4}ftyp(?!avi[fs]|he[iv]|mif1|msf1|M4[AB] )', // MP4, MOV
    '[^]{4}(moov|mdat|wide|free|skip)', // older MOV
    '\\x1aE\\xdf\\xa3', // Matroska, WebM
    'RIFF[^]{4}AVI ',
    'FLV\\x01',
    'G[^]{187}G', // MPEG-TS
    '\\0\\0\\x01[\\xba\\xb3]', // MPEG
    '0&\\xb2u\\x8ef\\xcf\\x11', // WMV
    'OggS[^]*theora',
  ),
};

const SLASH = Buffer.from('/');
const join = (folder, name) => Buffer.concat(folder.at(-1) === SLASH[0] ? [folder, name] : [folder, SLASH, name]);

/** A path as text; names that are no UTF-8 lose what is none. */
const asText = (path) => path.toString('utf8');

/** @typedef {'image' | 'video'} Kind for which tower a file is */

/**
 * The pictures of a folder as paths, or its videos, and what cannot be read as errors. Names are in the order of their bytes, and a
 * folder's files stand where its name does; links to folders are not followed.
 * @param {string | Buffer} folder
 * @param {Kind} [kind]
 * @returns {AsyncGenerator<{ input: string, source?: string | (() => Promise<Buffer>), error?: Error }>} source: a
 *   path, or what reads a file whose name is no text
 */
export async function* picturesBelow(folder, kind = 'image') {
  const here = Buffer.from(folder);
  let names;
  try {
    names = (await readdir(here, { encoding: 'buffer' })).sort(Buffer.compare);
  } catch (error) {
    yield { input: asText(here), error };
    return;
  }
  for (const name of names) {
    const path = join(here, name);
    const input = asText(path);
    try {
      const found = await kindOf(path, kind);
      if (found === 'folder') yield* picturesBelow(path, kind);
      else if (found) yield { input, source: Buffer.from(input).equals(path) ? input : () => readFile(path) };
    } catch (error) {
      yield { input, error };
    }
  }
}

// Files that are looked at while counting: one after the other, each would wait behind what decodes pictures.
const AT_ONCE = 16;

/** How many picturesBelow() gives. */
export async function countPictures(folder, kind = 'image') {
  const here = Buffer.from(folder);
  const names = await readdir(here, { encoding: 'buffer' }).catch(() => null);
  if (!names) return 1; // an error
  let count = 0;
  const look = async (path) => {
    const found = await kindOf(path, kind).catch(() => kind);
    if (found === 'folder') folders.push(path);
    else if (found) count++;
  };
  const folders = [];
  for (let i = 0; i < names.length; i += AT_ONCE)
    await Promise.all(names.slice(i, i + AT_ONCE).map((name) => look(join(here, name))));
  for (const path of folders) count += await countPictures(path, kind);
  return count;
}

/** What a path is: 'folder', what is looked for, or null. */
async function kindOf(path, kind) {
  const found = await lstat(path);
  if (found.isDirectory()) return 'folder';
  return MAGIC[kind].test((await readHead(path, found)).toString('latin1')) ? kind : null;
}

/** The first bytes of a file; none of what is no file, such as a pipe, which might never answer. */
async function readHead(path, found) {
  if (found.isSymbolicLink()) found = await stat(path).catch(() => found); // one that leads nowhere holds nothing
  if (!found.isFile()) return Buffer.alloc(0);
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * Whether a path is a file that begins as a picture does, or as a video.
 * @param {string} path
 * @param {Kind} kind
 */
export const isFileOf = async (path, kind) => (await kindOf(path, kind).catch(() => null)) === kind;

/** Whether a path is a folder. */
export const isFolder = async (path) => (await stat(path).catch(() => null))?.isDirectory() ?? false;

/** Whether there is a file or folder of that name. */
export const exists = async (path) =>
  path !== '' && !path.includes('\0') && Boolean(await stat(path).catch(() => null));
