// The host of Node.js, Deno and Bun: files, threads, optional packages.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker as Thread } from 'node:worker_threads';

import { HalfclipError } from '../base/errors.js';
import { ASSETS } from '../network/assets.js';
import { decoderWith } from './pictures.js';

export { bytesOfDataUrl } from './data-url.js';
export { fetchOver } from './http-fetch.js';
export { openFile } from './file-source.js';
export { openFolder } from './cache-folder.js';
export { readPicture } from './pictures.js';
export { openVideo } from './videos.js';
export { changeFile, keepFile, replaceFile, wholeName } from './replace-file.js';

// A bundler may have taken this code elsewhere.
const own = import.meta.url?.startsWith('file:') ? fileURLToPath(import.meta.url) : null;

/** What `look` finds with a require() from this file, or else from where the program runs. */
function requireWith(look) {
  let failure;
  for (const from of [() => own, () => path.join(process.cwd(), 'index.js')]) {
    try {
      return look(createRequire(from()));
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** See pictures.js. */
export const decodePicture = decoderWith((name) => requireWith((require) => require(name)));

/**
 * The same Blob or File, of Node.js's own class: other environments' are read by other means, and no thread can be sent
 * them.
 */
export async function ownBlob(blob) {
  if (blob instanceof Blob) return blob;
  const bytes = await (blob.arrayBuffer ? blob.arrayBuffer() : readWhole(blob));
  return blob.name === undefined ? new Blob([bytes]) : new File([bytes], blob.name);
}

/** The same for pictures, which are read whole: Blobs of openAsBlob() cannot be sent either. */
export async function pictureBlob(blob) {
  const own = await ownBlob(blob);
  try {
    structuredClone(own);
    return own;
  } catch {
    const bytes = await own.arrayBuffer().catch(() => null); // who reads it says what is wrong with it
    return bytes ? Object.assign(new Blob([bytes]), { name: own.name }) : own;
  }
}

/** Of an older jsdom, whose Blobs have no other way. */
function readWhole(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(new Uint8Array(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsArrayBuffer(blob);
  });
}

export const countCores = () => cpus().length;

/** The URL of a path, or of a file: URL. */
export const fileUrl = (place) => (place.startsWith('file:') ? place : pathToFileURL(path.resolve(place)).href);

let folder;

/** The package's folder dist/. */
function findFolder() {
  const beside = own && path.dirname(own);
  if (beside && existsSync(path.join(beside, ASSETS[0]))) return beside;
  try {
    return path.dirname(requireWith((require) => require.resolve('halfclip')));
  } catch {
    return beside ?? process.cwd();
  }
}

const inFolder = (name) => pathToFileURL(path.join((folder ??= findFolder()), name)).href;

export function neighbours() {
  return Object.fromEntries(ASSETS.map((name) => [name, [inFolder(name)]]));
}

export function workers() {
  const place = inFolder('node-worker.js');
  // Flags of the program's own, such as --input-type, are not for a file.
  return [{ place, make: () => new Thread(new URL(place), { name: 'halfclip', execArgv: [] }) }];
}

/** The bytes of a file of the package, by its URL. */
export async function readAsset(place) {
  try {
    return await readFile(new URL(place));
  } catch (error) {
    throw new HalfclipError(
      'http/network',
      `${fileURLToPath(place)}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
      { cause: error },
    );
  }
}
