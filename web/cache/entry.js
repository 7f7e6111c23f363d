// One entry of the cache: a packed tower as a shard, what is known about it, and a footer that tells whether all of it
// is there and undamaged.
//
//   the shard | metadata, JSON text | XXH64 of all before, chained block by block | length of the JSON text, uint64 |
//     "halfclip"

import { decodeText, encodeText } from '../base/bytes.js';
import { HalfclipError } from '../base/errors.js';
import { attempt } from '../base/realm.js';
import { DTYPES, TOWERS } from '../wasm/interface.js';
import { exhausted } from '../wasm/memory.js';
import { MAGIC } from './names.js';

const BLOCK = 1 << 19; // bytes that are hashed at once, and in WebAssembly's memory
const FOOTER = 24;
const MAX_METADATA = 1 << 20;

/**
 * The bytes of an entry, in pieces that are valid until the next one is asked for.
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {number} tower pointer to the encoder
 * @param {object} metadata JSON data
 */
export async function* entryPieces(wasm, tower, metadata) {
  const { exports } = wasm;
  const staging = wasm.alloc(BLOCK, 'staging');
  const hash = startHash(wasm);
  try {
    for (let at = 0, got = BLOCK; got === BLOCK; at += got) {
      got = exports.hc_wasm_shard_read(tower, at, staging, BLOCK);
      if (got < 0) throw exhausted('the shard');
      if (!got) break;
      exports.hc_wasm_xxh64(hash, staging, got);
      yield wasm.bytes(staging, got);
    }
    const text = encodeText(JSON.stringify(metadata));
    yield lastPiece(text, finishHash(wasm, hash, text));
  } finally {
    wasm.free(staging);
    wasm.free(hash);
  }
}

/** An entry that is nothing but metadata, which has no hash. */
export function bareEntry(metadata) {
  return [lastPiece(encodeText(JSON.stringify(metadata)), new Uint8Array(8))];
}

function lastPiece(text, hash) {
  const end = new Uint8Array(text.length + FOOTER);
  end.set(text);
  end.set(hash, text.length);
  new DataView(end.buffer).setBigUint64(text.length + 8, BigInt(text.length), true);
  end.set(encodeText(MAGIC), text.length + 16);
  return end;
}

/**
 * What an entry says about itself; null if it is cut off or no entry. Rejects where the reader does.
 * @param {object} reader of a storage, see tower-cache.js
 * @returns {Promise<{ metadata: object, text: Uint8Array, hash: Uint8Array, shardBytes: number } | null>}
 */
export async function readMetadata(reader) {
  if (reader.size < FOOTER) return null;
  const footer = await reader.bytes(reader.size - FOOTER, reader.size);
  const length = Number(new DataView(footer.buffer, footer.byteOffset).getBigUint64(8, true));
  const shardBytes = reader.size - FOOTER - length;
  if (decodeText(footer.subarray(16)) !== MAGIC || length > MAX_METADATA || shardBytes < 0) return null;
  const text = await reader.bytes(shardBytes, shardBytes + length);
  const metadata = attempt(() => JSON.parse(decodeText(text)));
  return Array.isArray(metadata?.versions) ? { metadata, text, hash: footer.subarray(0, 8), shardBytes } : null;
}

/**
 * Loads the tower of an entry: its blocks are read into WebAssembly's memory, to their places where these are in one
 * piece, and hashed.
 * @param {import('../wasm/instance.js').Wasm} wasm a fresh instance
 * @param {'image' | 'text' | 'video'} tower
 * @param {object} reader
 * @param {object} entry from readMetadata
 * @param {{ signal?: AbortSignal, onProgress?: Function }} hooks
 * @returns {Promise<number | null>} the pointer to the encoder; null if the entry is damaged
 */
export async function unpackTower(wasm, tower, reader, { text, hash: expected, shardBytes }, { signal, onProgress }) {
  const { exports } = wasm;
  const loader = wasm.newLoader(TOWERS[tower], 0, 0, DTYPES.auto);
  const staging = wasm.alloc(BLOCK, 'staging');
  const hash = startHash(wasm);
  exports.hc_wasm_file_size(loader, shardBytes);
  for (let at = 0; at < shardBytes;) {
    const length = Math.min(BLOCK, shardBytes - at);
    const place = at ? wasm.place(loader, at, length) : { length: 0 };
    // Most blocks are within one tensor.
    const block = place.length === length && place.pointer ? place.pointer : staging;
    const got = await reader.fill(wasm.bytes(block, length));
    signal?.throwIfAborted();
    if (got < length) return null;
    exports.hc_wasm_xxh64(hash, block, length);
    if (at === 0) {
      exports.hc_loader_header(loader, staging, length);
      wasm.startThreads(loader);
    }
    exports.hc_wasm_push(loader, at, block, length);
    if (isDamaged(wasm, loader)) return null;
    at += length;
    onProgress?.({ phase: 'cache', loaded: at, total: shardBytes });
  }
  wasm.free(staging);
  const found = finishHash(wasm, hash, text);
  wasm.free(hash);
  if (!found.every((byte, i) => byte === expected[i])) return null;
  const result = exports.hc_loader_finish(loader);
  if (isDamaged(wasm, loader)) return null;
  exports.hc_loader_free(loader);
  return result;
}

/** Whether the loader has refused the entry; that no memory is left is not the entry's fault. */
function isDamaged(wasm, loader) {
  const status = wasm.exports.hc_loader_status(loader);
  if (!status) return false;
  const code = wasm.string(wasm.exports.hc_status_code(status));
  if (code === 'memory/exhausted') throw new HalfclipError(code, wasm.string(wasm.exports.hc_loader_message(loader)));
  return true;
}

function startHash(wasm) {
  const hash = wasm.alloc(8, 'a hash');
  wasm.bytes(hash, 8).fill(0);
  return hash;
}

function finishHash(wasm, hash, text) {
  wasm.with(text, 'metadata', (pointer, length) => wasm.exports.hc_wasm_xxh64(hash, pointer, length));
  return wasm.bytes(hash, 8).slice();
}
