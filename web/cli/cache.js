// halfclip cache: the towers that are kept.

import { HalfclipError } from '../node/index.js';
import { cacheTable, emptyCache, listCache } from './cache-entries.js';
import { UsageError, atOption } from './options.js';
import { columns } from './table.js';
import { print } from './terminal.js';

export const summary = 'lists or removes the towers that are kept';

export const help = `halfclip cache ls: the towers that are kept, so that loading them again fetches nothing
halfclip cache rm --all | PATTERN...: removes those whose URL has the pattern in it; * stands for anything

  --json                                 JSON lines
  --cache-dir FOLDER                     where (default: halfclip in XDG_CACHE_HOME or ~/.cache)
`;

export const options = { json: { type: 'boolean' }, all: { type: 'boolean' }, 'cache-dir': { type: 'string' } };

export async function run(values, inputs) {
  try {
    await listOrRemove(values, inputs);
  } catch (error) {
    throw atOption('cache-dir', values['cache-dir'] ?? error.path, error);
  }
}

async function listOrRemove({ 'cache-dir': dir, json, all }, [action, ...patterns]) {
  if (action === 'ls' && !patterns.length && !all) {
    const entries = await listCache(dir);
    for (const line of json ? entries.map((entry) => JSON.stringify(entry)) : columns(cacheTable(entries)))
      await print(line);
  } else if (action === 'rm' && Boolean(all) !== patterns.length > 0) {
    const removed = await emptyCache(dir, patterns);
    for (const line of json
      ? removed.map((entry) => JSON.stringify(entry))
      : removed.map(({ url, name }) => url ?? name))
      await print(line);
    if (!removed.length && !all)
      throw new HalfclipError('weights/not-found', `no tower is kept whose URL has ${patterns.join(' or ')} in it`);
  } else {
    throw new UsageError('cache needs ls, rm --all, or rm and patterns');
  }
}
