// A folder whose pictures `serve` shows: indexed here, in Node.js, and only searched in the page. What the page is told
// lies in a temporary folder: the names of the pictures, and in served.json how far the index is.

import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { printable } from '../base/errors.js';
import { run as index } from './index.js';
import { UsageError } from './options.js';
import { exists, picturesBelow } from './pictures.js';
import { FailedInputs } from './run.js';
import { complain } from './terminal.js';

const TELL_EVERY = 500; // milliseconds

export class ServedFolder {
  #place;
  #folder;
  #values;
  #index;
  /** How many pictures there are. */
  count = 0;

  /**
   * @param {string} folder
   * @param {Record<string, any>} values  options of the command line: the tower's as of `index`, and `index`, the file that
   *   is kept
   */
  static async open(folder, values) {
    const served = new ServedFolder();
    served.#folder = path.resolve(folder);
    served.#values = values;
    served.#place = await mkdtemp(path.join(tmpdir(), 'halfclip-'));
    served.#index = path.resolve(values.index ?? path.join(served.#place, 'pictures.index'));
    await served.#list();
    await served.#tell({ isDone: false });
    return served;
  }

  /** The names of the pictures as the page reads them, one a line; those that the server does not give away are left out. */
  async #list() {
    const names = [];
    for await (const { input, source, error } of picturesBelow(this.#folder)) {
      const name = path.relative(this.#folder, input).split(path.sep).join('/');
      if (error) await complain(printable(`${input}: ${error.message}`));
      else if (typeof source === 'string' && !/(^|\/)\.|[\0-\x1f\\]/.test(name)) names.push(name);
    }
    this.count = names.length;
    await writeFile(path.join(this.#place, 'index.txt'), names.map((name) => `${name}\n`).join(''));
  }

  async #tell(state) {
    const { model, weights, 'text-weights': textWeights, dtype, hub } = this.#values;
    const given = { model: model ?? (weights ? undefined : 'halfclip-emoji'), dtype, hub };
    given.weights = await placeOf('weights', weights);
    given.textWeights = await placeOf('text-weights', textWeights);
    const text = JSON.stringify({
      folder: path.basename(this.#folder),
      model: given,
      hasIndex: existsSync(this.#index),
      ...state,
    });
    const file = path.join(this.#place, 'served.json');
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file); // whoever reads it reads all of it
  }

  /** What the server shows, by URL path. */
  get roots() {
    const roots = {
      '/demo/served.json': path.join(this.#place, 'served.json'),
      '/demo/pictures/': this.#folder,
      '/demo/pictures/index.txt': path.join(this.#place, 'index.txt'),
      '/demo/pictures.index': this.#index,
    };
    for (const name of ['weights', 'text-weights']) {
      const file = this.#values[name];
      if (file && existsSync(file)) roots[`/demo/${name}/${path.basename(file)}`] = path.resolve(file);
    }
    return roots;
  }

  /** Reads the pictures that are not in the index. Failures are reported, and do not end the server. */
  async read(signal) {
    const timer = setInterval(() => this.#tell({ isDone: false }).catch(() => {}), TELL_EVERY);
    try {
      const { index: _, port: _port, connect: _connect, ...tower } = this.#values;
      await index({ ...tower, out: this.#index }, [this.#folder], signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof FailedInputs)) throw error;
      await complain(error.message);
    } finally {
      clearInterval(timer);
    }
    await this.#tell({ isDone: true });
  }

  close() {
    return rm(this.#place, { recursive: true, force: true });
  }
}

/** Weights as the page finds them: a file by where the server shows it, else as they were given. */
async function placeOf(option, weights) {
  if (weights === undefined || !(await exists(weights))) return weights;
  const name = path.basename(weights);
  if (name.startsWith('.')) throw new UsageError(`--${option} is ${weights}: the server does not show hidden files`);
  return `${option}/${encodeURIComponent(name)}`;
}
