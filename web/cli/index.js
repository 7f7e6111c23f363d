// halfclip index: the pictures or videos of a folder as an index that lasts.

import { open, stat } from 'node:fs/promises';
import path from 'node:path';

import { takenFrom } from '../exif/taken.js';
import { loadImageEncoder, loadVideoEncoder } from '../node/index.js';
import { VectorIndex } from '../search/vector-index.js';
import { LOAD_HELP, LOAD_OPTIONS, UsageError, fileProblem, loadOptions, oneOf, positiveOf } from './options.js';
import {
  TEXT_WEIGHTS,
  loadIfThere,
  loadPictureIndex,
  momentOf,
  momentsByFilm,
  sameTower,
  towerOf,
} from './picture-index.js';
import { isFolder, picturesBelow } from './pictures.js';
import { checkFailed, runOver } from './run.js';
import { Counter, complain, print } from './terminal.js';
import { FilmEncoder, VIDEO_HELP, VIDEO_OPTIONS, checkVideoOptions, rangeOptions, videoOptions } from './videos.js';

export const summary = 'the pictures or videos of a folder as an index for halfclip search';

export const help = `halfclip index FOLDER --out FILE: the vectors of all pictures below a folder, in a file for halfclip search

  With --tower video it is the videos below it, each with its vector and those of the frames that were looked at (search --moments).
  Again: only pictures that are new or changed (by path, size and time) are embedded, and those that are gone leave the index. Of an
  interrupted run, what is done is kept.

  --out FILE                             the index, an ordinary .safetensors file
  --tower image|video                    what it is an index of (default: image)
  --moments SECONDS                      of films, the vectors of a frame every so often, in place of those that were looked at
  --text-weights FILE                    for halfclip search, where --weights is a shard of the image tower
  --fp32                                 hold vectors as floats, not as bytes: four times the size
  --json                                 a JSON object {"pictures" or "videos", "new", "changed", "gone", "failed"}
  --decode exact|fast                    fast lets large JPEG and WebP files be shrunk while they are decoded, which changes vectors a
                                         little (default: exact)
  --fail-fast                            stop at the first picture that fails; else it is reported, the others go on, and the exit
                                         status is 1 at the end
${LOAD_HELP}${VIDEO_HELP}
  Model and weights need to be said only once: the index remembers them. With others, all pictures are embedded again.
`;

export const options = {
  ...LOAD_OPTIONS,
  ...TEXT_WEIGHTS,
  ...VIDEO_OPTIONS,
  tower: { type: 'string' },
  moments: { type: 'string' },
  out: { type: 'string' },
  fp32: { type: 'boolean' },
  json: { type: 'boolean' },
  'fail-fast': { type: 'boolean' },
  decode: { type: 'string' },
};

const SAVE_EVERY = 60_000; // milliseconds
const ATTEMPTS = 5; // to save what others save at the same time

export async function run(values, args, signal) {
  const { out, json } = values;
  if (out === undefined) throw new UsageError('index needs --out and the name of a file');
  if (args.length !== 1) throw new UsageError(`index takes one folder, got ${args.length}`);
  const decode = oneOf('decode', values.decode, 'exact', 'fast');
  const folder = path.resolve(args[0]);
  if (!(await isFolder(folder))) throw new UsageError(`${args[0]} is no folder`);

  oneOf('tower', values.tower, 'image', 'video');

  const before = await loadIfThere(out, signal);
  const tower = await towerOf(values, before?.tower);
  if (decode && tower.tower === 'video')
    throw new UsageError('--decode is for pictures: expected --tower image with it');
  checkVideoOptions(values, tower.tower);
  const embedding = tower.tower === 'video' ? rangeOptions(tower) : { decode };
  const difference = before && differenceOf(before, { folder, tower, fp32: values.fp32 });
  const fits = difference === null && before !== null;
  if (difference) await complain(`${out}: is of another ${difference}: everything is embedded again`);
  const work = new Work(out, { folder, tower, dtype: values.fp32 ? 'fp32' : 'int8' }, fits ? before.index : null);
  const { items, gone } = await compare(folder, fits ? before.index : null, tower.tower);
  for (const id of gone) work.remove(id);

  let result = { done: 0, failed: 0 };
  let changed = 0;
  let size;
  try {
    if (items.length) {
      const encoder = await load(tower, await loadOptions({ ...values, ...tower }, signal));
      try {
        const counter = new Counter(values.quiet, async () => items.length);
        const failFast = values['fail-fast'];
        result = await runOver(
          encoder,
          items,
          { embedding, failFast, signal, counter },
          async (item, vector, { frames }) => {
            changed += Number(item.known);
            const taken = frames ? null : await takenOf(item.record.input);
            await work.replace(item.id, vector, { ...item.data, ...(taken && { taken }) }, frames);
          },
        );
      } finally {
        encoder.dispose();
      }
    }
  } finally {
    size = await work.finish(); // also of what was interrupted
  }
  const counts = { new: result.done - result.failed - changed, changed, gone: gone.length, failed: result.failed };
  await print(report(out, { [NOUNS[tower.tower ?? 'image']]: size, ...counts }, json));
  checkFailed(result);
}

async function load(tower, options) {
  if (tower.tower !== 'video') return loadImageEncoder(options);
  const every = positiveOf('moments', tower.moments);
  return new FilmEncoder(await loadVideoEncoder({ ...options, ...videoOptions(tower) }), every);
}

/** In what an index is of no use for a run; null if it is of use. */
function differenceOf({ index, ...before }, { folder, tower, fp32 }) {
  if (before.folder !== folder) return 'folder';
  if (!sameTower(tower, before.tower)) return 'tower';
  return fp32 && index.dtype !== 'fp32' ? 'dtype' : null;
}

const NOUNS = { image: 'pictures', video: 'videos' };

const report = (out, counts, json) => {
  if (json) return JSON.stringify(counts);
  const [[kind, size], ...others] = Object.entries(counts);
  const parts = others.map(([name, count]) => `${count} ${name}`);
  return `${out}: ${size} ${kind.slice(0, size === 1 ? -1 : undefined)} (${parts.join(', ')})`;
};

/**
 * What has to be embedded of a folder, and which entries of its index are gone.
 * @param {string} folder
 * @param {VectorIndex | null} index
 * @param {'image' | 'video'} [kind]
 */
async function compare(folder, index, kind) {
  const items = [];
  const seen = new Set();
  const unknown = []; // what could not be looked at is not gone
  for await (const { input, source, error } of picturesBelow(folder, kind)) {
    const id = path.relative(folder, input).split(path.sep).join('/');
    const item = { record: { input }, id };
    seen.add(id);
    if (error) {
      unknown.push(id);
      items.push({ ...item, error: new Error(`${input}: ${fileProblem(error)}`) });
      continue;
    }
    const { size, mtimeMs } = await stat(input).catch(() => ({ size: null, mtimeMs: null })); // a name that is no text
    const data = { size, time: mtimeMs };
    const known = index?.get(id)?.data;
    if (known && known.size === size && known.time === mtimeMs && size !== null) continue;
    items.push({
      ...item,
      data,
      known: Boolean(known),
      source: typeof source === 'function' ? await source() : source,
    });
  }
  const isUnder = (id) => unknown.some((place) => place === '' || id.startsWith(`${place}/`));
  const gone = index
    ? [...index.ids()].filter((id) => !seen.has(id) && !isUnder(id) && !momentOf(index.get(id).data))
    : [];
  return { items, gone };
}

/** When a picture was taken, as its file says; null where it does not, or is gone by now. */
async function takenOf(place) {
  const file = await open(place).catch(() => null);
  if (!file) return null;
  try {
    const { size } = await file.stat();
    const read = async (begin, end) => {
      const { buffer, bytesRead } = await file.read(new Uint8Array(end - begin), 0, end - begin, begin);
      return buffer.subarray(0, bytesRead);
    };
    return await takenFrom({ size, read });
  } catch {
    return null; // the picture itself could be read
  } finally {
    await file.close();
  }
}

/** What a run changes, and the file that it changes, which is saved at times. */
class Work {
  #out;
  #about;
  #changes = new Map(); // since the last time: id to what is there now, or null
  #saved = performance.now();
  #index;
  #moments; // of films: id to the ids of their moments

  /**
   * @param {string} out
   * @param {{ folder: string, tower: object, dtype: 'int8' | 'fp32' }} about
   * @param {VectorIndex | null} index what is in the file, where it is to be kept
   */
  constructor(out, about, index) {
    this.#out = out;
    this.#about = about;
    this.#index = index;
    this.#moments = about.tower.tower === 'video' ? momentsByFilm(index) : new Map();
  }

  remove(id) {
    for (const gone of [id, ...(this.#moments.get(id) ?? [])]) this.#changes.set(gone, null);
  }

  /** @param {{ time: number, vector: Float32Array }[]} [frames] of a film */
  async replace(id, vector, data, frames = []) {
    this.remove(id);
    this.#changes.set(id, { vector, data });
    for (const { time, vector } of frames)
      this.#changes.set(`${id}#t=${Number(time.toFixed(3))}`, { vector, data: { of: id, time } });
    if (performance.now() - this.#saved < SAVE_EVERY) return;
    await this.#save();
  }

  /** Saves what there is, and returns how many pictures or films that are; of none at all no file is made. */
  async finish() {
    const { folder, tower } = this.#about;
    const index = this.#index;
    const isSame = index && !index.damage && JSON.stringify(index.metadata) === JSON.stringify({ folder, tower });
    if (this.#changes.size || (index && !isSame)) await this.#save();
    const size = this.#index?.size ?? 0;
    return tower.tower === 'video' ? size - [...momentsByFilm(this.#index).values()].flat().length : size;
  }

  async #save() {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#applied()?.save(this.#out);
        break;
      } catch (error) {
        if (error.code !== 'weights/changed' || attempt === ATTEMPTS) throw error;
        ({ index: this.#index } = await loadPictureIndex(this.#out));
      }
    }
    this.#changes.clear();
    this.#saved = performance.now();
  }

  /** The index with all changes; null where there is nothing. */
  #applied() {
    const { folder, tower, dtype } = this.#about;
    for (const [id, entry] of this.#changes) {
      if (!entry) this.#index?.remove(id);
      else {
        this.#index ??= new VectorIndex({ dim: entry.vector.length, dtype });
        this.#index.replace(id, entry.vector, { data: entry.data });
      }
    }
    if (this.#index) this.#index.metadata = { folder, tower };
    return this.#index;
  }
}
