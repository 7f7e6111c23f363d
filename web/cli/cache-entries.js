// `halfclip cache`: what Node.js keeps of towers that came by URL, and its removal.

import { keptTowers, removeKeptTowers } from '../cache/kept.js';

/**
 * @param {string} [dir] as of the option cache
 * @returns {Promise<object[]>} the one used last first; of a damaged entry only what its file tells
 */
export const listCache = (dir) => keptTowers({ dir });

/**
 * Removes what matches one of the patterns: a part of the URL, in which `*` stands for anything, or an entry's name;
 * without patterns, all.
 * @param {string | undefined} dir
 * @param {string[]} patterns
 * @returns {Promise<object[]>} what was removed
 */
export async function emptyCache(dir, patterns) {
  if (!patterns.length) return removeKeptTowers('all', { dir });
  const tests = patterns.map((pattern) => new RegExp(pattern.split('*').map(escape).join('.*')));
  const matches = ({ url, name }) => patterns.includes(name) || tests.some((test) => url !== null && test.test(url));
  return removeKeptTowers((await keptTowers({ dir })).filter(matches), { dir });
}

/** One line for each entry, as rows of a table, and their sum. */
export function cacheTable(entries) {
  const size = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const date = (iso) => iso.slice(0, 16).replace('T', ' ');
  const rows = entries.map(({ used, stored, bytes, tower, dtype, url, name }) => [
    date(used),
    size(bytes),
    tower ?? '',
    dtype ?? (url && !stored ? 'in part' : ''),
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
