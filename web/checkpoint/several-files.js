// A checkpoint in several files, which an index names.

import { HalfclipError } from '../base/errors.js';
import { readText } from '../sources/source.js';
import { readFileDirectory } from './one-file.js';

// It is one large file to the loader: file k begins at k * FILE_SPACING.
const FILE_SPACING = 2 ** 44;
const MAX_FILES = 500;

/** @returns {Promise<object>} as of readDirectory() */
export async function readSeveralFiles(places, source, choose, limits, held) {
  const weightMap = await readWeightMap(source, limits);
  const names = [...new Set(choose(Object.keys(weightMap)).map((name) => weightMap[name]))].sort();
  if (names.length > MAX_FILES)
    throw new HalfclipError(
      'weights/format',
      `${source.name}: names ${names.length} files, expected at most ${MAX_FILES}`,
    );
  const joined = new JoinedSource(source);
  const directory = {};
  try {
    for (const [k, name] of names.entries()) {
      const file = joined.add(await source.sibling(name));
      const { tensors, source: bytes } = await readFileDirectory(places, file, held);
      joined.replace(file, bytes);
      for (const [
        tensor,
        {
          data_offsets: [begin, end],
          ...held
        },
      ] of Object.entries(tensors)) {
        if (weightMap[tensor] !== name) continue;
        directory[tensor] = { ...held, data_offsets: [begin + k * FILE_SPACING, end + k * FILE_SPACING] };
      }
    }
  } catch (error) {
    await joined.close();
    throw error;
  }
  return { json: JSON.stringify(directory), source: joined, files: names, pieces: [] };
}

async function readWeightMap(source, limits) {
  const text = await readText(source, 'weights/format', limits);
  let index;
  try {
    index = JSON.parse(text);
  } catch (error) {
    throw new HalfclipError('weights/format', `${source.name}: looks like a JSON text, but is none: ${error.message}`, {
      cause: error,
    });
  }
  const map = index?.weight_map;
  if (!map || typeof map !== 'object') {
    throw new HalfclipError(
      'weights/format',
      `${source.name}: is a JSON text without weight_map, expected a .safetensors file or the .safetensors.index.json of one in several files`,
    );
  }
  // Names come from whoever wrote the file: they must not lead elsewhere.
  const wrong = Object.values(map).find(
    (name) => typeof name !== 'string' || !/^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/.test(name),
  );
  if (wrong !== undefined)
    throw new HalfclipError(
      'weights/format',
      `${source.name}: its weight_map names the file ${JSON.stringify(wrong)}, expected a file beside it`,
    );
  return map;
}

/** Several sources as one, see FILE_SPACING. */
class JoinedSource {
  #index;
  #files = [];

  constructor(index) {
    this.#index = index;
    this.name = index.name;
    this.forward = false;
  }

  add(file) {
    this.#files.push(file);
    return file;
  }

  replace(file, by) {
    this.#files[this.#files.indexOf(file)] = by;
  }

  get size() {
    return this.#files.reduce((sum, { size }) => sum + size, 0) || undefined;
  }

  get fetched() {
    return [this.#index, ...this.#files].reduce((sum, { fetched }) => sum + fetched, 0);
  }

  get parallel() {
    return Math.min(...this.#files.map(({ parallel }) => parallel));
  }

  read(begin, end) {
    const k = Math.floor(begin / FILE_SPACING);
    return this.#files[k].read(begin - k * FILE_SPACING, end - k * FILE_SPACING);
  }

  /** Each file is of one version; together they must be, too. */
  async verify() {
    await Promise.all([this.#index, ...this.#files].map((file) => file.recheck()));
  }

  async close() {
    for (const file of [this.#index, ...this.#files]) await file.close();
  }
}
