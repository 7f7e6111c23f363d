// The page's worker: pictures, vectors and towers, so that the page's own thread only draws.
//
// What can be asked of it are the methods below; what it tells unasked are the events pictures, ready, failed, progress,
// tower, model, lost and closed.

import { loadImageEncoder, loadTextEncoder } from '../index.js';
import { VectorIndex } from '../vector-index.js';
import { openDatabase } from './database.js';
import { Indexer } from './indexer.js';
import { Library } from './library.js';
import { KNOWN, keptTowers, loadOptions, modelOf, removeTowers } from './models.js';
import { picturesBelow } from './places.js';
import { grouped } from './groups.js';
import { combine, parseQuery } from './query.js';
import { answerCalls } from './rpc.js';
import { makeThumbnail } from './thumbnails.js';
import { Threshold } from './threshold.js';
import { Towers } from './towers.js';
import { removeVectors } from './vectors.js';

/** How many pictures the page is told about at once. */
const BATCH = 500;
/** Milliseconds between two tellings of what has changed. */
const TELL_EVERY = 150;
const MOST_REMEMBERED = 500; // vectors of texts

const tell = (event, detail) => postMessage({ event, detail });

let database;
let library;
let indexer;
let towers;
let model;
let models = []; // that are not among KNOWN
let threshold;
let texts = new Map();

// What the page is told of pictures, together -----------------------------------------------------------------------

let ready = [];
let failed = [];
let telling;

function tellSoon() {
  telling ??= setTimeout(() => {
    telling = undefined;
    if (ready.length > 0) tell('ready', ready);
    if (failed.length > 0) tell('failed', failed);
    ready = [];
    failed = [];
  }, TELL_EVERY);
}

const shown = ({ id, name, path, modified, hidden, size }) => ({
  id,
  name,
  path,
  modified,
  hidden,
  size,
  ready: library.vectors.has(id),
});

function tellPictures(records) {
  for (let i = 0; i < records.length; i += BATCH) tell('pictures', records.slice(i, i + BATCH).map(shown));
}

// Models -------------------------------------------------------------------------------------------------------------

const allModels = () => [...KNOWN, ...models];

async function useModel(next) {
  await indexer.cancel();
  await rememberSpeed();
  towers?.close();
  model = next;
  threshold = new Threshold();
  texts = new Map();
  await library.useModel(model.key);
  towers = new Towers(
    {
      image: (hooks) => loadTower('image', loadImageEncoder, hooks),
      text: (hooks) => loadTower('text', loadTextEncoder, hooks),
    },
    (kind, figures) => tell('tower', { kind, ...figures }),
  );
  indexer.useTowers(towers);
  tell('model', { key: model.key, label: model.label });
}

/** Loads a tower, and remembers which of the files that the package keeps it is. */
async function loadTower(kind, load, hooks) {
  const mine = model;
  const before = new Set((await keptTowers()).map(({ name }) => name));
  const encoder = await load({ ...loadOptions(mine, kind), ...hooks });
  const made = (await keptTowers()).map(({ name }) => name).filter((name) => !before.has(name));
  const saved = (await database.all('models')).find(({ key }) => key === mine.key);
  const { key, label, options } = mine;
  const files = [...new Set([...(saved?.files ?? []), ...made])];
  await database.write({ models: { put: [{ key, label, options, files, speed: saved?.speed ?? {} }] } });
  return encoder;
}

/** Remembers how fast the chosen model is here. */
async function rememberSpeed() {
  const saved = (await database.all('models')).find(({ key }) => key === model?.key);
  if (!saved) return;
  for (const kind of ['image', 'text']) saved.speed[kind] = towers.figures(kind).milliseconds ?? saved.speed[kind];
  await database.write({ models: { put: [saved] } });
}

async function embedTexts(wanted) {
  const missing = [...new Set(wanted)].filter((text) => !texts.has(text));
  if (missing.length > 0) {
    await towers.use('text', async (encoder) => {
      const start = performance.now();
      const vectors = await encoder.embed(missing);
      towers.record('text', (performance.now() - start) / missing.length);
      if (texts.size > MOST_REMEMBERED)
        texts = new Map(wanted.filter((text) => texts.has(text)).map((text) => [text, texts.get(text)]));
      missing.forEach((text, i) => texts.set(text, vectors[i]));
    });
  }
  return wanted.map((text) => texts.get(text));
}

/** The sentences by their vectors; null if there are none. */
async function indexOf(sentences) {
  if (sentences.length === 0) return null;
  const vectors = await embedTexts(sentences);
  const index = new VectorIndex({ dim: vectors[0].length, dtype: 'fp32' });
  sentences.forEach((sentence, i) => index.add(sentence, vectors[i]));
  return index;
}

/** The closest pairs, without looking at all pairs where there are enough that are close. */
function closestOf(index, limit) {
  let found;
  for (const above of [0.9, 0.7, 0.4, -1]) {
    found = index.duplicates({ above, limit });
    if (found.length >= limit) break;
  }
  return found;
}

// Pictures -----------------------------------------------------------------------------------------------------------

function addAll(pictures) {
  const added = pictures.map((picture) => library.add(picture)).filter(Boolean);
  tellPictures(added);
  return added;
}

const enqueueWaiting = () =>
  indexer.enqueue(library.records.filter(({ id }) => !library.vectors.has(id)).map(({ id }) => id));

const ofFile = (file, path, source = {}) => ({
  name: file.name,
  path,
  size: file.size,
  modified: file.lastModified,
  source,
  file,
});

/** Reads a folder whose handle is kept: what is new is added, what has gone leaves. */
async function readFolder(folder) {
  const before = new Set(library.records.filter(({ source }) => source.folder === folder.id).map(({ id }) => id));
  let count = 0;
  let batch = [];
  const flush = () => {
    indexer.enqueue(addAll(batch).map(({ id }) => id));
    batch = [];
  };
  const there = new Set();
  for await (const { path, handle } of picturesBelow(folder.handle)) {
    const { name, size, lastModified: modified } = await handle.getFile();
    batch.push({ name, path: `${folder.name}/${path}`, size, modified, source: { folder: folder.id, path } });
    there.add(JSON.stringify([`${folder.name}/${path}`, size, modified]));
    count++;
    if (batch.length === BATCH) flush();
  }
  flush();
  const isThere = ({ path, size, modified }) => there.has(JSON.stringify([path, size, modified]));
  const gone = [...before].filter((id) => !isThere(library.get(id)));
  if (gone.length > 0) await methods.remove(gone);
  return count;
}

async function thumbnailOf(id) {
  const record = library.get(id);
  const isMissing = () => record?.source.served && library.vectors.has(id) && !library.hasThumbnail(id);
  if (isMissing()) {
    // One at a time: photographs take much memory while they are decoded.
    making = making.then(() => isMissing() && makeServedThumbnail(record)).catch(() => {});
    await making;
  }
  return library.thumbnail(id);
}

let making = Promise.resolve();

async function makeServedThumbnail(record) {
  const file = await library.places.open(record);
  const bitmap = await createImageBitmap(file);
  library.setThumbnail(record.id, await makeThumbnail(bitmap, file.type === 'image/jpeg'));
  bitmap.close();
  commitSoon();
}

let committing;
function commitSoon() {
  committing ??= setTimeout(() => {
    committing = undefined;
    library.commit().catch(() => {}); // a full disk: they are made again
  }, 1000);
}

const methods = {
  /** Opens what is kept. The page then knows the model, and of all pictures. */
  async open({ given }) {
    database = await openDatabase();
    library = await Library.open(database);
    models = (await database.all('models')).filter(({ key }) => !KNOWN.some((known) => known.key === key));
    indexer = new Indexer(library, {
      ready: (id) => (ready.push(id), tellSoon()),
      failed: (id, message) => (failed.push({ id, message }), tellSoon()),
      progress: (figures) => tell('progress', figures),
      stopped: ({ name, message, code }) => tell('stopped', { name, message, code }),
    });
    const settings = await database.all('settings');
    const last = settings.find(({ key }) => key === 'model')?.value;
    await useModel(given ? modelOf(given) : (allModels().find(({ key }) => key === last) ?? KNOWN[0]));
    tellPictures(library.records);
    return { isKept: library.isKept, closed: await library.places.closedFolders() };
  },

  /** From here on this page's thread writes: what waits is embedded. */
  async begin() {
    await library.sweep();
    enqueueWaiting();
  },

  /** Files with their paths: { file, path, source? }. */
  async add(pictures) {
    const added = addAll(pictures.map(({ file, path, source }) => ofFile(file, path, source)));
    indexer.enqueue(added.map(({ id }) => id));
    return added.length;
  },

  /** Pictures at addresses: { name, path, url }. */
  async addUrls(pictures) {
    const added = addAll(
      pictures.map(({ name, path, url }) => ({ name, path, size: 0, modified: 0, source: { url } })),
    );
    indexer.enqueue(added.map(({ id }) => id));
    return added.length;
  },

  /** All pictures below a folder whose handle the visitor gave. */
  async addFolder(handle) {
    return readFolder(await library.addFolder(handle));
  },

  /** Reads kept folders again, those that may be read. */
  async readFolders() {
    const closed = new Set((await library.places.closedFolders()).map(({ id }) => id));
    for (const folder of library.places.folders) if (!closed.has(folder.id)) await readFolder(folder);
    enqueueWaiting();
  },

  /**
   * Takes over what Node.js has read of a folder. Once that is all, pictures that it could not read are read here.
   * @param {{ folder: string, index: string | null, list: string, isDone: boolean }} served  its name, and addresses
   */
  async takeServed({ folder, index: place, list, isDone }) {
    const index = place && (await VectorIndex.load(new URL(place)));
    const names = (await (await fetch(list)).text()).split('\n').filter(Boolean);
    const there = new Set();
    const added = [];
    const taken = [];
    for (const name of names) {
      const entry = index?.has(name) ? index.get(name) : null;
      if (!entry && !isDone) continue;
      const { size = 0, time: modified = 0 } = entry?.data ?? {};
      const url = new URL(name.split('/').map(encodeURIComponent).join('/'), list).href;
      const picture = { name: name.split('/').at(-1), path: `${folder}/${name}`, size, modified };
      const record = library.add({ ...picture, source: { url, served: folder } });
      if (record) added.push(record);
      const id = record?.id ?? library.idOf(picture);
      there.add(id);
      if (!entry || library.vectors.has(id)) continue;
      library.vectors.set(id, entry.vector);
      taken.push(id);
    }
    tellPictures(added);
    if (taken.length > 0) tell('ready', taken);
    if (isDone) {
      const gone = library.records.filter(({ id, source }) => source.served === folder && !there.has(id));
      if (gone.length > 0) await methods.remove(gone.map(({ id }) => id));
      enqueueWaiting();
    }
    await library.commit();
  },

  async closedFolders() {
    return library.places.closedFolders();
  },

  async remove(ids) {
    await library.remove(ids);
    tell('lost', ids);
  },

  async hide(ids, hidden) {
    for (const id of ids) library.update(id, { hidden });
    await library.commit();
  },

  async removeAll() {
    await indexer.cancel();
    await library.removeAll(model.key);
    texts.clear();
  },

  pause: () => indexer.pause(),
  resume: () => indexer.resume(),

  /** Ends indexing. Pictures that no model has read yet leave again, others stay. */
  async cancel() {
    const waiting = await indexer.cancel();
    const unread = waiting.filter((id) => !library.get(id)?.isRead);
    await methods.remove(unread);
    return { removed: unread.length };
  },

  /** Small copies; of pictures that were read elsewhere they are made when they are first seen. */
  thumbnails: (ids) => Promise.all(ids.map((id) => thumbnailOf(id).catch(() => null))),

  /** A picture's own file, or null where only the small copy is left. */
  async original(id) {
    const record = library.get(id);
    return record ? library.places.open(record).catch(() => null) : null;
  },

  /**
   * All pictures, best first, and where they begin not to fit.
   * @param {{ words?: string, picture?: number, image?: Blob }} query
   * @returns {Promise<{ ids: Int32Array, scores: Float32Array, threshold?: number }>}
   */
  async search({ words = '', picture, image, limit }) {
    const { wanted, unwanted } = parseQuery(words);
    const all = [wanted, ...unwanted].filter(Boolean);
    const vectors = new Map((await (all.length > 0 ? embedTexts(all) : [])).map((vector, i) => [all[i], vector]));
    const like = [];
    if (picture !== undefined && library.vectors.has(picture)) like.push(library.vectors.get(picture));
    if (image) like.push(await towers.use('image', (encoder) => encoder.embed(image)));
    if (wanted) like.push(vectors.get(wanted));
    const away = unwanted.map((text) => vectors.get(text));
    if (library.vectors.size === 0 || like.length + away.length === 0)
      return { ids: new Int32Array(0), scores: new Float32Array(0) };
    const isWords = picture === undefined && !image;
    const least = isWords ? await threshold.of(library.vectors, embedTexts) : undefined;
    const results = library.vectors.search(combine(like, away), { limit });
    return {
      ids: Int32Array.from(results, ({ id }) => id),
      scores: Float32Array.from(results, ({ score }) => score),
      threshold: least,
    };
  },

  /** Groups of pictures that are nearly the same, the largest first. */
  duplicates: (above) => grouped(library.vectors.duplicates(above)),

  exportIndex: (entries) => library.vectors.subset(entries, { model: model.label }),

  // Sentences

  /**
   * @param {string[]} sentences
   * @param {{ above: number, pairs: number, vectors: number }} options  the least score of two of a group, and how many of
   *   the closest pairs, and of the first sentences' vectors, are wanted
   */
  async compareTexts(sentences, { above, pairs, vectors }) {
    const index = await indexOf(sentences);
    const closest = index ? closestOf(index, pairs) : [];
    return {
      pairs: closest.map(({ ids, score }) => ({ texts: ids, score })),
      groups: grouped(index?.duplicates({ above }) ?? [], sentences),
      vectors: await embedTexts(sentences.slice(0, vectors)),
    };
  },

  async nearestTexts(text, sentences, limit) {
    const index = await indexOf(sentences);
    const [vector] = await embedTexts([text]);
    return index?.search(vector, { limit }) ?? [];
  },

  // Models and storage

  async models() {
    await rememberSpeed();
    const kept = new Map((await keptTowers()).map(({ name, size }) => [name, size]));
    const saved = await database.all('models');
    return allModels().map(({ key, label, about, size }) => {
      const { files = [], speed } = saved.find((entry) => entry.key === key) ?? {};
      const bytes = files.reduce((sum, name) => sum + (kept.get(name) ?? 0), 0);
      return { key, label, about, size, bytes, speed, chosen: key === model.key };
    });
  },

  /** Chooses a model by its key, or as modelOf() takes it. Pictures stay, and are embedded again in the background. */
  async chooseModel({ key, ...given }) {
    const next = key ? allModels().find((known) => known.key === key) : modelOf(given);
    if (!allModels().some((known) => known.key === next.key)) models.push(next);
    const before = model;
    await useModel(next);
    try {
      await towers.use('text', () => {}); // so that what cannot be loaded is said now
    } catch (error) {
      models = models.filter((known) => known !== next || KNOWN.includes(known));
      await useModel(before);
      enqueueWaiting();
      throw error;
    } finally {
      tellPictures(library.records);
    }
    await database.write({ settings: { put: [{ key: 'model', value: model.key }] } });
    enqueueWaiting();
  },

  cancelLoads: () => towers.cancelLoads(),

  async removeModel(key) {
    const saved = (await database.all('models')).find((entry) => entry.key === key);
    await removeTowers(saved?.files ?? []);
    await removeVectors(key);
    await database.write({ models: { remove: [key] } });
    models = models.filter((known) => known.key !== key);
  },

  async storage() {
    const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
    return { usage, quota, isKept: library.isKept };
  },

  /** Forgets everything that the page has kept. */
  async removeEverything() {
    await methods.removeAll();
    towers.close();
    await removeTowers();
    await database.write({ models: { clear: true }, settings: { clear: true } });
    models = [];
    await useModel(KNOWN[0]);
  },
};

addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
  if (violatedDirective === 'connect-src') tell('blocked', blockedURI);
});

answerCalls(globalThis, methods);
