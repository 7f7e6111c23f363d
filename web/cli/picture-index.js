// An index of a folder's pictures or videos, and what it remembers of the tower that made it: `index` writes it, `search` reads it.

import path from 'node:path';

import { openFile } from '../node/file-source.js';
import { HalfclipError } from '../node/index.js';
import { readMetadata } from '../search/read-index.js';
import { VectorIndex } from '../search/vector-index.js';
import { exists } from './pictures.js';
import { complain } from './terminal.js';

/** Options that say which tower it is. */
const REMEMBERED = [
  ...['model', 'weights', 'text-weights', 'hub', 'dtype', 'image-size'],
  ...['tower', 'temporal', 'max-frames', 'fps', 'sampling', 'start', 'end', 'moments'],
];
const PLACES = ['model', 'weights', 'text-weights'];

export const TEXT_WEIGHTS = { 'text-weights': { type: 'string' } };

/**
 * Loads an index. What is whole of a damaged one is taken.
 * @param {string} file
 * @param {AbortSignal} signal
 * @returns {Promise<{ index: VectorIndex, folder: string, tower: Record<string, string> }>}
 */
export async function loadPictureIndex(file, signal) {
  const index = await VectorIndex.load(file, { signal, salvage: true });
  if (index.damage) await complain(`weights/corrupt: ${index.damage.message}, and are taken`);
  return { index, ...checkMetadata(file, index.metadata) };
}

/** What such an index says of itself, without its vectors. */
export async function readPictureMetadata(file) {
  const source = await openFile(file);
  try {
    return checkMetadata(file, await readMetadata(source));
  } finally {
    await source.close();
  }
}

function checkMetadata(file, { folder, tower }) {
  if (typeof folder !== 'string' || tower === null || typeof tower !== 'object')
    throw new HalfclipError('weights/format', `${file}: is an index, but not of pictures that halfclip index made`);
  return { folder, tower };
}

/** The same, or null where there is no such file. */
export const loadIfThere = async (file, signal) => ((await exists(file)) ? loadPictureIndex(file, signal) : null);

/**
 * What a command line says of the tower, with places that do not depend on the working folder; what it does not say is
 * as an index remembers it.
 * @param {Record<string, string | boolean | undefined>} values
 * @param {Record<string, string>} [remembered]
 * @returns {Promise<Record<string, string>>}
 */
export async function towerOf(values, remembered = {}) {
  const names = [values.model, values.weights].some((value) => value !== undefined) ? REMEMBERED : [];
  const tower = {};
  for (const name of REMEMBERED) {
    // A model or weights of another kind, and nothing of the former ones applies.
    const value = values[name] ?? (names.includes(name) ? undefined : remembered[name]);
    if (value !== undefined) tower[name] = PLACES.includes(name) ? await fixed(value) : value;
  }
  return tower;
}

async function fixed(value) {
  const [, scheme, folder] = /^(local-dir:)([^]*)$/.exec(value) ?? [];
  if (scheme) return scheme + path.resolve(folder);
  return (await exists(value)) ? path.resolve(value) : value;
}

/** What an index knows of the moment of a film whose vector it holds: in which file, and when, in seconds. */
export const momentOf = (data) => (data?.of === undefined ? null : { of: data.of, time: data.time });

/** The ids of a film's moments, by the film's id. */
export function momentsByFilm(index) {
  const films = new Map();
  for (const id of index?.ids() ?? []) {
    const moment = momentOf(index.get(id).data);
    if (moment) films.set(moment.of, [...(films.get(moment.of) ?? []), id]);
  }
  return films;
}

/** Whether two towers are the same one. */
export const sameTower = (a, b) =>
  REMEMBERED.every((name) => name === 'text-weights' || name === 'hub' || a[name] === b[name]);
