// The model that pictures and words are read with, in the page's worker: its towers, what it has made of texts, and which
// other models there are.

import { keptTowers, loadImageEncoder, loadTextEncoder, removeKeptTowers } from '../index.js';
import { KNOWN, loadOptions, modelOf } from './models.js';
import { timeAlone } from './speed.js';
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

  /** Loads a tower, and remembers which of those that the package keeps it is, from its first byte on. */
  async #load(model, kind, hooks, download) {
    const names = async () => (await keptTowers()).filter(({ stored }) => stored).map(({ name }) => name);
    const before = new Set(await names());
    let begun;
    const onProgress = (progress) => {
      hooks.onProgress(progress);
      const { phase, total } = progress;
      if (phase === 'fetch' && total) begun ??= this.#remember(model, kind, { total, urls: [...download.asked] });
    };
    try {
      const encoder = await LOADERS[kind]({ ...loadOptions(model, kind, download), ...hooks, onProgress });
      const made = (await names()).filter((name) => !before.has(name));
      await begun;
      const alone = model.isBundled && (await this.#timeOnce(model, kind, encoder));
      begun = this.#remember(model, kind, undefined, { made, alone });
      return encoder;
    } finally {
      await begun;
    }
  }

  /**
   * Remembers a model: the towers that were made for it, and of one that is being loaded, what is asked for.
   * @param {'image' | 'text'} kind
   * @param {{ total: number, urls: string[] } | undefined} loading
   * @param {{ made?: string[], alone?: object }} [known]  towers that were made, and how long they take alone
   */
  async #remember({ key, label, options }, kind, loading, { made = [], alone } = {}) {
    const { files = [], speed = {}, begun, ...before } = await this.#saved(key);
    const entry = { key, label, options, speed, alone: alone || before.alone };
    entry.files = [...new Set([...files, ...made])];
    entry.begun = { ...begun, [kind]: loading };
    await this.#database.write({ models: { put: [entry] } });
  }

  /** How long the towers of a model take alone: this one is timed where it was not yet. */
  async #timeOnce({ key }, kind, encoder) {
    const { alone } = await this.#saved(key);
    return alone?.[kind] ? alone : { ...alone, [kind]: await timeAlone(kind, encoder) };
  }

  /** What has come of towers whose loads were cut off, of those that are kept. */
  #partsOf({ begun = {} }, kept) {
    return kept.filter(({ stored, tower, url }) => stored === null && begun[tower]?.urls.includes(url));
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
    const kept = await keptTowers();
    const saved = await this.#database.all('models');
    return this.#all.map(({ key, label, about, size, pace }) => {
      const entry = saved.find((entry) => entry.key === key) ?? {};
      const { files = [], speed, begun, alone } = entry;
      const sum = (towers, figure) => towers.reduce((all, tower) => all + tower[figure], 0);
      const bytes = sum(
        kept.filter(({ name }) => files.includes(name)),
        'bytes',
      );
      const isLoading = (kind) => key === this.key && this.#towers.figures(kind).state === 'loading';
      const parts = this.#partsOf(entry, kept).filter(({ tower }) => !isLoading(tower));
      const totals = [...new Set(parts.map(({ tower }) => tower))].map((kind) => begun[kind]);
      const part = parts.length > 0 && { loaded: sum(parts, 'fetchedBytes'), total: sum(totals, 'total') };
      return { key, label, about, size, pace, bytes, part, speed, alone, chosen: key === this.key };
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
      if (isNew && this.#partsOf(await this.#saved(next.key), await keptTowers()).length === 0)
        await this.#forget(next);
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
    const saved = await this.#saved(key);
    await removeKeptTowers([...(saved.files ?? []), ...this.#partsOf(saved, await keptTowers())]);
    await removeVectors(key);
    await this.#forget({ key });
  }

  async #forget({ key }) {
    await this.#database.write({ models: { remove: [key] } });
    this.#others = this.#others.filter((model) => model.key !== key);
  }

  /** Forgets all models; the bundled one is chosen. */
  async removeAll() {
    await this.#towers.close();
    await removeKeptTowers('all');
    await this.#database.write({ models: { clear: true }, settings: { clear: true } });
    this.#others = [];
    await this.#use(KNOWN[0]);
  }
}
