// The model that pictures and words are read with, in the page's worker: its towers, what it has made of texts, and which
// other models there are.

import { keptTowers, loadImageEncoder, loadTextEncoder, removeKeptTowers } from '../index.js';
import { KNOWN, loadOptions, modelOf } from './models.js';
import { Threshold } from './threshold.js';
import { Towers } from './towers.js';
import { removeVectors } from './vectors.js';

const MOST_REMEMBERED = 500; // vectors of texts
const LOADERS = { image: loadImageEncoder, text: loadTextEncoder };

export class ChosenModel {
  #database;
  #library;
  #indexer;
  #tell;
  #others; // models that are not among KNOWN
  #model;
  #towers;
  #threshold;
  #texts;

  /**
   * Opens the given model (see modelOf), else the one that was chosen last.
   * @param {object} parts
   * @param {(event: string, detail: any) => void} parts.tell  the events model and tower
   * @param {object | null} given
   */
  static async open({ database, library, indexer, tell }, given) {
    const chosen = new ChosenModel();
    chosen.#database = database;
    chosen.#library = library;
    chosen.#indexer = indexer;
    chosen.#tell = tell;
    chosen.#others = (await database.all('models')).filter(({ key }) => !KNOWN.some((known) => known.key === key));
    const last = (await database.all('settings')).find(({ key }) => key === 'model')?.value;
    await chosen.#use(given ? modelOf(given) : (chosen.#find(last) ?? KNOWN[0]));
    return chosen;
  }

  get key() {
    return this.#model.key;
  }

  get label() {
    return this.#model.label;
  }

  get #all() {
    return [...KNOWN, ...this.#others];
  }

  #find(key) {
    return this.#all.find((model) => model.key === key);
  }

  async #use(model) {
    await this.#indexer.cancel();
    await this.#rememberSpeed();
    this.#towers?.close();
    this.#model = model;
    this.#threshold = new Threshold();
    this.#texts = new Map();
    await this.#library.useModel(model.key);
    const load = (kind) => (hooks, download) => this.#load(model, kind, hooks, download);
    this.#towers = new Towers({ image: load('image'), text: load('text') }, (kind, figures) =>
      this.#tell('tower', { kind, ...figures }),
    );
    this.#indexer.useTowers(this.#towers);
    this.#tell('model', { key: model.key, label: model.label });
  }

  /** Loads a tower, and remembers which of those that the package keeps it is. */
  async #load(model, kind, hooks, download) {
    const names = async () => (await keptTowers()).map(({ name }) => name);
    const before = new Set(await names());
    const encoder = await LOADERS[kind]({ ...loadOptions(model, kind, download), ...hooks });
    const made = (await names()).filter((name) => !before.has(name));
    const { files = [], speed = {} } = await this.#saved(model.key);
    const { key, label, options } = model;
    const entry = { key, label, options, files: [...new Set([...files, ...made])], speed };
    await this.#database.write({ models: { put: [entry] } });
    return encoder;
  }

  async #saved(key) {
    return (await this.#database.all('models')).find((entry) => entry.key === key) ?? {};
  }

  /** Remembers how fast the chosen model is here. */
  async #rememberSpeed() {
    const saved = await this.#saved(this.#model?.key);
    if (!saved.key) return;
    for (const kind of ['image', 'text'])
      saved.speed[kind] = this.#towers.figures(kind).milliseconds ?? saved.speed[kind];
    await this.#database.write({ models: { put: [saved] } });
  }

  /** Vectors of texts, which are remembered. */
  embedTexts = async (wanted) => {
    const missing = [...new Set(wanted)].filter((text) => !this.#texts.has(text));
    if (missing.length > 0) {
      await this.#towers.use('text', async (encoder) => {
        const start = performance.now();
        const vectors = await encoder.embed(missing);
        this.#towers.record('text', (performance.now() - start) / missing.length);
        if (this.#texts.size > MOST_REMEMBERED)
          this.#texts = new Map([...this.#texts].filter(([text]) => wanted.includes(text)));
        missing.forEach((text, i) => this.#texts.set(text, vectors[i]));
      });
    }
    return wanted.map((text) => this.#texts.get(text));
  };

  embedPicture(image) {
    return this.#towers.use('image', (encoder) => encoder.embed(image));
  }

  /** The least score of a picture that fits words. */
  leastScore() {
    return this.#threshold.of(this.#library.vectors, this.embedTexts);
  }

  /** All models, as the page lists them. */
  async list() {
    await this.#rememberSpeed();
    const kept = new Map((await keptTowers()).map(({ name, bytes }) => [name, bytes]));
    const saved = await this.#database.all('models');
    return this.#all.map(({ key, label, about, size }) => {
      const { files = [], speed } = saved.find((entry) => entry.key === key) ?? {};
      const bytes = files.reduce((sum, name) => sum + (kept.get(name) ?? 0), 0);
      return { key, label, about, size, bytes, speed, chosen: key === this.key };
    });
  }

  /** Chooses a model by its key, or as modelOf() takes it. If it cannot be loaded, the one before stays. */
  async choose({ key, ...given }) {
    const next = key ? this.#find(key) : modelOf(given);
    const isNew = !this.#find(next.key);
    if (isNew) this.#others.push(next);
    const before = this.#model;
    await this.#use(next);
    try {
      await this.#towers.use('text', () => {}); // so that what cannot be loaded is said now
    } catch (error) {
      if (isNew) this.#others = this.#others.filter((model) => model !== next);
      await this.#use(before);
      throw error;
    }
    await this.#database.write({ settings: { put: [{ key: 'model', value: this.key }] } });
  }

  cancelLoads() {
    this.#towers.cancelLoads();
  }

  pauseLoads() {
    this.#towers.pauseLoads();
  }

  resumeLoads() {
    this.#towers.resumeLoads();
  }

  /** Removes what is kept of a model: its towers, and the vectors that it made. */
  async remove(key) {
    const { files = [] } = await this.#saved(key);
    await removeKeptTowers(files);
    await removeVectors(key);
    await this.#database.write({ models: { remove: [key] } });
    this.#others = this.#others.filter((model) => model.key !== key);
  }

  /** Forgets all models; the bundled one is chosen. */
  async removeAll() {
    this.#towers.close();
    await removeKeptTowers('all');
    await this.#database.write({ models: { clear: true }, settings: { clear: true } });
    this.#others = [];
    await this.#use(KNOWN[0]);
  }
}
