// `halfclip cache`: what Node.js keeps of towers that came by URL, and its removal.

import { listEntries, openStorage } from '../cache/tower-cache.js';

/**
 * @param {string} [dir] as of the option cache
 * @returns {Promise<object[]>} the one used last first; of a damaged entry only what its file tells
 */
export async function listCache(dir) {
  return (await listEntries(await openStorage(dir))).map(describeEntry);
}

/**
 * Removes what matches one of the patterns: a part of the URL, in which `*` stands for anything, or an entry's name;
 * without patterns, all.
 * @param {string | undefined} dir
 * @param {string[]} patterns
 * @returns {Promise<object[]>} what was removed
 */
export async function emptyCache(dir, patterns) {
  const storage = await openStorage(dir);
  const tests = patterns.map((pattern) => new RegExp(pattern.split('*').map(escape).join('.*')));
  const matches = ({ url, name }) =>
    !tests.length || patterns.includes(name) || tests.some((test) => url !== null && test.test(url));
  const chosen = (await listEntries(storage)).map(describeEntry).filter(matches);
  for (const { name } of chosen) await storage.remove(name);
  return chosen;
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

/** One line for each entry, as rows of a table, and their sum. */
export function cacheTable(entries) {
  const size = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const date = (iso) => iso.slice(0, 16).replace('T', ' ');
  const rows = entries.map(({ used, bytes, tower, dtype, url, name }) => [
    date(used),
    size(bytes),
    tower ?? '',
    dtype ?? '',
    url ?? `${name} (damaged)`,
  ]);
  const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    ['last used, UTC', 'size', 'tower', 'dtype', 'URL'],
    ...rows,
    [`${entries.length} in all`, size(total), '', '', ''],
  ];
}

const escape = (text) => text.replace(/[\\^$.|?+()[\]{}]/g, '\\$&');
