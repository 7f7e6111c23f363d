// Which tensors a source holds, and where: the formats that are not one .safetensors file. Each ends in a directory,
// JSON text like a safetensors header, and a source in whose address space its offsets count.

import { readPyTorch } from './pytorch.js';
import { readSeveralFiles } from './several-files.js';

/**
 * Reads the directory of a file of another format than safetensors.
 * @param {Record<string, string[]> | undefined} places from findAssets, for the reader of PyTorch files
 * @param {object} source see source.js
 * @param {'pytorch' | 'index'} format
 * @param {(names: string[]) => string[]} choose of a checkpoint in several files the tensors that are wanted
 * @param {object} limits from completeLimits
 * @returns {Promise<{ json: string, source: object, files: string[], pieces: { begin: number, bytes: Uint8Array }[] }>}
 *   json: the directory; source: where its tensors are; files: names of all files; pieces: the bytes of `source` that
 *   the directory was made of
 */
export async function readDirectory(places, source, format, choose, limits) {
  const held = { bytes: 0, limit: limits.whole };
  return format === 'pytorch'
    ? readPyTorch(places, source, held)
    : readSeveralFiles(places, source, choose, limits, held);
}
