// The cache of packed towers. What is kept is not the checkpoint but what was made of it: an entry is read into place
// in a fraction of a second, where a first load has to fetch and quantise. Nothing that goes wrong here makes a load
// fail: an entry that cannot be read is fetched again, one that cannot be written is dropped.
//
// A storage (node/cache-folder.js, origin-files.js) has open(name), write(name, pieces, signal), grow(name, create),
// touch(name), list(), sweep() and remove(name). open() gives a reader: `size`; bytes(begin, end); fill(view), which puts
// the next bytes from the entry's start into a view and says how many there were; close(). grow() gives one that has
// write(bytes, at) too, where it can, of an entry that is made if `create` is given.

import { encodeText } from '../base/bytes.js';
import { HalfclipError, describe } from '../base/errors.js';
import { CACHE_OPTIONS, readOptions } from '../base/options.js';
import { getHost, isNode, isPage } from '../base/platform.js';
import { isSibling, keyOfUrl, publicUrl, withQueryOf } from '../network/public-url.js';
import { HEAD, familiesOfShard } from '../wasm/families.js';
import { bareEntry, entryPieces, readMetadata, unpackTower } from './entry.js';
import { openOriginFiles } from './origin-files.js';
import { Part } from './part.js';
import { compareVersions, isUnreachable } from './revalidate.js';

// Another number wherever the same file would now give another shard, or an entry is laid out differently.
const FORMAT = 2;

const DEFAULT_MAX_BYTES = isNode ? 8e9 : 2e9;
const UNREADABLE = Symbol('unreadable');
const UNASKED = Promise.resolve({ same: true, fetched: 0 });

/**
 * The option `cache`, completed; see index.d.ts.
 * @returns {{ mode: 'default' | 'no-store' | 'reload', dir?: string, maxBytes: number, persist: boolean }}
 */
export function completeCache(cache = 'default') {
  const given = typeof cache === 'string' ? { mode: cache } : cache;
  const {
    mode = 'default',
    dir,
    maxBytes = DEFAULT_MAX_BYTES,
    persist = false,
  } = readOptions(given, CACHE_OPTIONS, 'cache');
  if (dir !== undefined && !isNode)
    throw new HalfclipError(
      'input/type',
      `option cache.dir is ${describe(dir)}, expected nothing: only Node.js has folders`,
    );
  return { mode, dir, maxBytes, persist };
}

/** Where entries are kept. */
export async function openStorage(dir) {
  return isNode ? getHost().openFolder(dir) : openOriginFiles();
}

/** The name of what is kept under a key, which is JSON data. */
async function nameOf(key) {
  const digest = await crypto.subtle.digest('SHA-256', encodeText(JSON.stringify([FORMAT, ...key])));
  return Array.from(new Uint8Array(digest, 0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * What a model's name stands for: the hub is asked each time, and where it is out of reach, what it said last holds.
 * @param {object | undefined} keep from completeCache
 * @param {{ model: string, tower: string, hub: string }} key
 * @param {object} retry
 * @param {(retry: object) => Promise<object>} resolve asks the hub; the result is JSON data
 */
export async function resolveKept(keep, key, retry, resolve) {
  const storage = keep && keep.mode !== 'no-store' ? await openStorage(keep.dir).catch(() => null) : null;
  if (!storage) return resolve(retry);
  const name = await nameOf(['name', key]);
  const kept = keep.mode === 'default' ? ((await metadataOf(storage, name))?.resolved ?? null) : null;
  let resolved;
  try {
    resolved = await resolve(kept ? { ...retry, attempts: 1 } : retry);
  } catch (error) {
    if (!kept || !isUnreachable(error)) throw error;
    return kept;
  }
  if (JSON.stringify(resolved) === JSON.stringify(kept)) return resolved;
  const metadata = {
    name,
    url: key.model,
    model: key.model,
    tower: key.tower,
    versions: [],
    resolved,
    stored: new Date().toISOString(),
  };
  await storage.write(name, bareEntry(metadata)).catch(() => {});
  return resolved;
}

/** What an entry says about itself; null where there is none, or none that can be read. */
export async function metadataOf(storage, name) {
  const reader = await storage.open(name).catch(() => null);
  const entry = reader && (await readMetadata(reader).catch(() => null));
  await reader?.close();
  return entry?.metadata ?? null;
}

/** Why a tower is not kept whose server says nothing by which a version of the file is known again. */
export const NOT_KEPT =
  'the tower is not kept, because the server sends neither ETag nor Last-Modified, by which the file would be known again: the option integrity ' +
  'would do, too';

export const hasValidators = (versions) => versions.every(({ etag, modified }) => etag || modified);

/** The cache's side of one load. */
export class TowerCache {
  /**
   * Whether an entry was found that is not of what the servers have now: then no other cache on the way to them is to
   * be trusted.
   */
  outdated = false;
  #storage;
  #name;
  #urls;
  #options;
  #parts = new Map(); // promises, by URL

  /**
   * @param {object} options of loadEncoder
   * @returns {Promise<TowerCache | null>} null where nothing is kept: not of paths, Blobs, bytes and the bundled model,
   *   and not without a place for it
   */
  static async open(options) {
    const { weights, tower, config, dtype, imageSize, temporal, keep } = options;
    const urls = (weights.any ?? [weights]).map(({ url }) => url);
    if (!keep || keep.mode === 'no-store' || weights.bundled || !urls.every((url) => /^https?:/i.test(url ?? '')))
      return null;
    try {
      const storage = await openStorage(keep.dir);
      const key = [urls.map(keyOfUrl), tower, dtype, config, ...[imageSize, temporal].filter(Boolean)];
      return new TowerCache(storage, await nameOf(key), urls, options);
    } catch {
      return null;
    }
  }

  constructor(storage, name, urls, options) {
    this.#storage = storage;
    this.#name = name;
    this.#urls = urls;
    this.#options = options;
  }

  /**
   * The tower, if there is an entry of what the servers have now.
   * @param {(families: 'vit' | 'all') => Promise<import('../wasm/instance.js').Wasm>} start gives an instance, which is
   *   of no use any more when this ends otherwise
   * @returns {Promise<{ wasm: import('../wasm/instance.js').Wasm, encoder: number, fetchedBytes: number, fileBytes:
   *   number | null } | null>}
   */
  async load(start, { fetch, signal, onProgress }) {
    const { tower, integrity, keep } = this.#options;
    if (keep.mode === 'reload') return null;
    const reader = await this.#storage.open(this.#name).catch(() => null);
    if (!reader) return null;
    let found = null;
    let starting = null;
    try {
      // What cannot be read is not damaged: a browser refuses a file that another tab has just replaced.
      const entry = await readMetadata(reader).catch(() => UNREADABLE);
      if (entry === UNREADABLE) return null;
      if (entry?.metadata.name !== this.#name) return await this.#discard(reader);
      // Where the caller names the bytes, an entry of these bytes is right whatever the server has.
      const { versions, integrity: verified, fileBytes } = entry.metadata;
      if (integrity === undefined ? !versions.length : integrity !== verified) return null;
      if (!versions.every((version) => isSibling(version?.url, this.#urls[0]))) return await this.#discard(reader);
      const present = versions.map((version) => ({ ...version, url: withQueryOf(version.url, this.#urls[0]) }));
      const comparing = integrity === undefined ? compareVersions(present, { fetch, signal }) : UNASKED;
      comparing.catch(() => {}); // reported by the await below, after the tower was read
      const touching = this.#storage.touch(this.#name).catch(() => {});
      const head = await reader.bytes(0, Math.min(HEAD, entry.shardBytes)).catch(() => UNREADABLE);
      if (head === UNREADABLE) return null;
      starting = start(familiesOfShard(head));
      const wasm = await starting;
      const encoder = await unpackTower(wasm, tower, reader, entry, { signal, onProgress }).catch((error) => {
        signal?.throwIfAborted();
        if (error instanceof HalfclipError) throw error;
        return UNREADABLE;
      });
      if (encoder === UNREADABLE) return null;
      if (!encoder) return await this.#discard(reader);
      const { same, fetched } = await comparing;
      this.outdated = !same;
      if (!same) return null;
      await touching;
      found = { wasm, encoder, fetchedBytes: fetched, fileBytes };
      return found;
    } finally {
      if (!found)
        starting?.then(
          (wasm) => wasm.release(),
          () => {},
        );
      await reader.close();
    }
  }

  /** Throws a damaged entry away. */
  async #discard(reader) {
    await reader.close(); // first, because some file systems keep what is open
    await this.#storage.remove(this.#name).catch(() => {});
    return null;
  }

  /**
   * What came of one of its files when a load was cut off, and comes now.
   * @param {string} url
   */
  part = (url) => {
    const { model, tower, keep } = this.#options;
    const open = async () => {
      const name = await nameOf(['part', this.#name, keyOfUrl(url)]);
      const about = { url: publicUrl(url), model, tower };
      return Part.open(this.#storage, name, about, keep.maxBytes, keep.mode === 'reload');
    };
    if (!this.#parts.has(url)) this.#parts.set(url, open());
    return this.#parts.get(url);
  };

  /**
   * Lets go of them after a load.
   * @param {unknown} failure of it; undefined where there is a tower
   */
  async endParts(failure) {
    const isUseless = !failure || /^(weights|integrity)/.test(failure.code);
    for (const part of this.#parts.values()) await (await part).end(isUseless);
  }

  /**
   * Keeps a tower that was just loaded.
   * @param {import('../wasm/instance.js').Wasm} wasm
   * @param {number} encoder
   * @param {{ versions: object[], dtype: string, fileBytes: number | null, fetchedBytes: number }} about versions: of
   *   all files that were read
   * @param {AbortSignal} [signal]
   */
  async store(wasm, encoder, { versions, dtype, fileBytes, fetchedBytes }, signal) {
    const { model, tower, integrity, keep } = this.#options;
    // Without a validator nobody could tell later whether the file is still the same, unless its bytes were named.
    const isKnown = hasValidators(versions);
    if (!isKnown && integrity === undefined)
      console.warn(`halfclip: ${publicUrl(versions[0]?.url ?? this.#urls[0])}: ${NOT_KEPT}`);
    const known = isKnown ? versions.map((version) => ({ ...version, url: publicUrl(version.url) })) : [];
    if (!known.length && integrity === undefined) return;
    const url = publicUrl(versions[0]?.url ?? this.#urls[0]);
    const stored = new Date().toISOString();
    const metadata = {
      name: this.#name,
      url,
      model,
      tower,
      dtype,
      versions: known,
      integrity,
      fileBytes,
      fetchedBytes,
      stored,
    };
    try {
      await this.#storage.write(this.#name, limit(entryPieces(wasm, encoder, metadata), keep.maxBytes), signal);
      await evict(this.#storage, keep.maxBytes);
    } catch {
      signal?.throwIfAborted(); // else the disk is full, or may not be written
    }
  }
}

async function* limit(pieces, maxBytes) {
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > maxBytes) throw new RangeError('larger than the cache may be');
    yield piece;
  }
}

/** Removes the entries that were not used for longest, until the rest is within the limit. */
async function evict(storage, maxBytes) {
  await storage.sweep();
  const entries = (await storage.list()).sort((a, b) => b.used - a.used);
  let bytes = 0;
  for (const { name, size } of entries) {
    bytes += size;
    if (bytes > maxBytes) await storage.remove(name).catch(() => {});
  }
}

/** Asks the browser not to drop what the origin has stored, where the caller wants that. */
export function askToPersist({ persist }) {
  if (persist && isPage) navigator.storage?.persist?.().catch(() => {});
}
