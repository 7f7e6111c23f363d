// Which architecture a checkpoint is of: to say what is wrong with a model's name, and for reports.

import { HalfclipError } from '../base/errors.js';
import { withContents } from '../checkpoint/contents.js';
import { Wasm } from '../wasm/instance.js';
import { architectures } from './architectures.js';

const TOWERS = ['image', 'text'];

/**
 * All architectures of OpenCLIP, the closest to a file first, and of several that are alike (…-quickgelu) the one with
 * the shortest name.
 * @param {{ distanceTo: (tower: string, config: string) => number | null }} contents see withContents
 * @returns {{ name: string, distance: number, distances: Record<string, number> }[]} distances: to each tower that the
 *   file holds; distance: their sum, 0 if all of them fit; no architecture if the file holds no tower
 */
export function rankArchitectures(contents) {
  const ranked = Object.entries(architectures).map(([name, config]) => {
    const text = JSON.stringify(config);
    const distanceTo = (tower) => contents.distanceTo(tower, text) ?? 1;
    return { name, all: Object.fromEntries(TOWERS.map((tower) => [tower, distanceTo(tower)])) };
  });
  const held = TOWERS.filter((tower) => ranked.some(({ all }) => all[tower] < 1));
  if (!held.length) return [];
  return ranked
    .map(({ name, all }) => {
      const distances = Object.fromEntries(held.map((tower) => [tower, all[tower]]));
      return { name, distances, distance: Object.values(distances).reduce((a, b) => a + b) };
    })
    .sort((a, b) => a.distance - b.distance || a.name.length - b.name.length);
}

/**
 * Does `work`, and says which architecture a file is of where it does not fit the model's name or config.
 * @template T
 * @param {object} options of loadEncoder(), for an instance that compares
 * @param {() => Promise<T>} work whose error may have the directory that load/tower-loader.js found in the file
 * @returns {Promise<T>}
 */
export async function explaining(options, work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof HalfclipError && error.directory ? await explainMismatch(error, options) : error;
  }
}

async function explainMismatch(error, options) {
  const { directory } = error;
  delete error.directory;
  const wasm = await Wasm.create(options).catch(() => null); // what was wrong before counts more
  const hint = wasm && withContents(wasm, directory, 'the file', (contents) => hintAt(contents, options));
  return hint ? new HalfclipError(error.code, `${error.message}; ${hint}`, { cause: error }) : error;
}

/** What a file is that does not fit; null where no architecture fits better than what was asked for. */
function hintAt(contents, { tower, config }) {
  const [best] = rankArchitectures(contents);
  const compared = tower === 'text' ? tower : 'image';
  const asked = contents.distanceTo(compared, config);
  if (asked === null || !(best?.distances[compared] < asked)) return null;
  return best.distance === 0
    ? `the file has the tensors of ${best.name}`
    : `of OpenCLIP's architectures ${best.name} is the closest to the file`;
}
