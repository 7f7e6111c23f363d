// What is kept of towers that came by URL, as others see it: a list, and its removal.

import { decodeText } from '../base/bytes.js';
import { HalfclipError, describe } from '../base/errors.js';
import { isNode } from '../base/platform.js';
import { attempt } from '../base/realm.js';
import { HEAD } from './part.js';
import { completeCache, metadataOf, openStorage } from './tower-cache.js';

/** All entries, the one used last first: { name, size, used, metadata }, metadata null where it cannot be read. */
async function listEntries(storage) {
  const entries = await storage.list();
  for (const entry of entries)
    entry.metadata = (await metadataOf(storage, entry.name)) ?? (await partMetadata(storage, entry));
  return entries.sort((a, b) => b.used - a.used);
}

/** What is known of a file of which a part has come, see part.js. */
async function partMetadata(storage, { name, size }) {
  const reader = await storage.open(name).catch(() => null);
  const head = await reader?.bytes(0, HEAD).catch(() => null);
  await reader?.close();
  const about = head && attempt(() => JSON.parse(decodeText(head).replace(/\0+$/, '')));
  return about?.halfclip === 1 ? { ...about, fetchedBytes: size - HEAD } : null;
}

/** Where entries are; null where a browser has no place for them, as in a private window. */
async function placeOf({ dir, ...others } = {}) {
  completeCache({ dir, ...others }); // says what is wrong with it
  try {
    return await openStorage(dir);
  } catch (error) {
    if (isNode) throw error;
    return null;
  }
}

/**
 * @param {{ dir?: string }} [options] as those of the option cache
 * @returns {Promise<import('../index.js').KeptTower[]>} the one used last first
 */
export async function keptTowers(options) {
  const storage = await placeOf(options);
  return storage ? (await listEntries(storage)).map(describeEntry) : [];
}

/**
 * @param {'all' | Iterable<string | { name: string }>} which  names of entries, or entries
 * @param {{ dir?: string }} [options]
 * @returns {Promise<import('../index.js').KeptTower[]>} what was removed
 */
export async function removeKeptTowers(which, options) {
  const names = which === 'all' ? null : namesOf(which);
  const storage = await placeOf(options);
  if (!storage) return [];
  const chosen = (await listEntries(storage)).map(describeEntry).filter(({ name }) => names?.has(name) ?? true);
  const removed = [];
  for (const entry of chosen) {
    try {
      await storage.remove(entry.name);
      removed.push(entry);
    } catch (error) {
      if (isNode) throw error; // else another tab reads it just now, or has removed it
    }
  }
  return removed;
}

function namesOf(which) {
  const isList = which !== null && typeof which === 'object' && typeof which[Symbol.iterator] === 'function';
  const names = isList ? Array.from(which, (entry) => entry?.name ?? entry) : [undefined];
  for (const name of names) {
    if (typeof name !== 'string')
      throw new HalfclipError(
        'input/type',
        `removeKeptTowers() got ${isList ? `a list with ${describe(name)}` : describe(which)}, expected 'all', or a list of kept towers or of their names`,
      );
  }
  return new Set(names);
}

function describeEntry({ name, size, used, metadata }) {
  const known = (key, type) => (typeof metadata?.[key] === type ? metadata[key] : null);
  const text = (key) => known(key, 'string');
  const integrity = text('integrity');
  return {
    name,
    url: text('url'),
    model: text('model'),
    tower: text('tower'),
    dtype: text('dtype'),
    ...(integrity && { integrity }),
    bytes: size,
    fileBytes: known('fileBytes', 'number'),
    fetchedBytes: known('fetchedBytes', 'number'),
    stored: text('stored'),
    used: new Date(used).toISOString(),
  };
}
