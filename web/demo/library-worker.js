// The page's worker: pictures, vectors and towers, so that the page's own thread only draws.
//
// What can be asked of it are the methods below; what it tells unasked are the events pictures, ready, failed, progress,
// tower, model, lost, clips and stopped.

import { ChosenModel } from './chosen-model.js';
import { openDatabase } from './database.js';
import { LateThumbnails, readFolder, takeServed } from './gathering.js';
import { grouped } from './groups.js';
import { Indexer } from './indexer.js';
import { Library } from './library.js';
import { combine, parseQuery } from './query.js';
import { answerCalls } from './rpc.js';
import { compareTexts, nearestTexts } from './texts.js';

/** How many pictures the page is told about at once. */
const BATCH = 500;
/** Milliseconds between two tellings of what has changed. */
const TELL_EVERY = 150;

const tell = (event, detail) => postMessage({ event, detail });

let library;
let indexer;
let model;
let thumbnails;
let givenKey; // of the model that the page was opened with

// What the page is told of pictures, together -----------------------------------------------------------------------

let ready = [];
let failed = [];
let telling;

function tellSoon() {
  telling ??= setTimeout(() => {
    telling = undefined;
    if (ready.length > 0)
      tell(
        'ready',
        ready.map((id) => ({ id, taken: library.get(id)?.taken })),
      );
    if (failed.length > 0) tell('failed', failed);
    ready = [];
    failed = [];
  }, TELL_EVERY);
}

const shown = ({ id, name, path, modified, taken, hidden, size, source: { clip, time } }) => ({
  id,
  name,
  path,
  modified,
  taken,
  hidden,
  size,
  clip,
  time,
  ready: library.vectors.has(id),
});

function tellPictures(records) {
  for (let i = 0; i < records.length; i += BATCH) tell('pictures', records.slice(i, i + BATCH).map(shown));
}

// Pictures -----------------------------------------------------------------------------------------------------------

function addAll(pictures) {
  const added = pictures.map((picture) => library.add(picture)).filter(Boolean);
  tellPictures(added);
  return added;
}

const enqueueWaiting = () =>
  indexer.enqueue(library.records.filter(({ id }) => !library.vectors.has(id)).map(({ id }) => id));

const ofFile = ({ file, path, source = {}, size = file.size }) => ({
  name: file.name,
  path,
  size,
  modified: file.lastModified,
  source,
  file,
});

async function readKept(folder) {
  const { count, gone, clips } = await readFolder(library, folder, (pictures) =>
    indexer.enqueue(addAll(pictures).map(({ id }) => id)),
  );
  if (gone.length > 0) await methods.remove(gone);
  if (clips.length > 0) tell('clips', clips);
  return count;
}

// What can be asked --------------------------------------------------------------------------------------------------

const methods = {
  /** Opens what is kept. The page then knows the model, and of all pictures. */
  async open({ given }) {
    const database = await openDatabase();
    library = await Library.open(database);
    thumbnails = new LateThumbnails(library);
    indexer = new Indexer(library, {
      ready: (id) => (ready.push(id), tellSoon()),
      failed: (id, message) => (failed.push({ id, message }), tellSoon()),
      progress: (figures) => tell('progress', figures),
      stopped: ({ name, message, code }) => tell('stopped', { name, message, code }),
    });
    model = await ChosenModel.open({ database, library, indexer, tell }, given);
    givenKey = given && model.key;
    tellPictures(library.records);
    return { isKept: library.isKept, closed: await library.places.closedFolders() };
  },

  /** From here on this page's thread writes: what waits is embedded. */
  async begin() {
    await library.sweep();
    enqueueWaiting();
  },

  /** Files with their paths: { file, path, source? }, and of frames of a clip the clip's size. */
  async add(pictures) {
    const added = addAll(pictures.map(ofFile));
    indexer.enqueue(added.map(({ id }) => id));
    return added.length;
  },

  /** Whether the frames of a clip are there: { path, size, modified } of its file. */
  async hasClip({ path, size, modified }) {
    return library.idOf({ path: `${path}#t=0`, size, modified }) !== undefined;
  },

  /** The file of the clip that a picture is a frame of, or null where it cannot be had. */
  async clip(id) {
    const record = library.get(id);
    return record ? library.places.openClip(record).catch(() => null) : null;
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
    return readKept(await library.addFolder(handle));
  },

  /** Reads kept folders again, those that may be read. */
  async readFolders() {
    const closed = new Set((await library.places.closedFolders()).map(({ id }) => id));
    for (const folder of library.places.folders) if (!closed.has(folder.id)) await readKept(folder);
    enqueueWaiting();
  },

  /**
   * Takes over what Node.js has read of a folder. Once that is all, pictures that it could not read are read here.
   * @param {{ folder: string, index: string | null, list: string, isDone: boolean }} served  its name, and addresses
   */
  async takeServed(served) {
    const { added, taken, gone } = await takeServed(library, served, model.key === givenKey);
    tellPictures(added);
    if (taken.length > 0)
      tell(
        'ready',
        taken.map((id) => ({ id })),
      );
    if (gone.length > 0) await methods.remove(gone);
    if (served.isDone) enqueueWaiting();
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
  thumbnails: (ids) => Promise.all(ids.map((id) => thumbnails.of(id).catch(() => null))),

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
    const vectors = new Map((await (all.length > 0 ? model.embedTexts(all) : [])).map((vector, i) => [all[i], vector]));
    const like = [];
    if (picture !== undefined && library.vectors.has(picture)) like.push(library.vectors.get(picture));
    if (image) like.push(await model.embedPicture(image));
    if (wanted) like.push(vectors.get(wanted));
    const away = unwanted.map((text) => vectors.get(text));
    if (library.vectors.size === 0 || like.length + away.length === 0)
      return { ids: new Int32Array(0), scores: new Float32Array(0) };
    const isWords = picture === undefined && !image;
    const least = isWords ? await model.leastScore() : undefined;
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

  compareTexts: (sentences, options) => compareTexts(sentences, options, model.embedTexts),
  nearestTexts: (text, sentences, limit) => nearestTexts(text, sentences, limit, model.embedTexts),

  models: () => model.list(),

  /** Pictures stay, and are embedded again in the background. */
  async chooseModel(given) {
    try {
      await model.choose(given);
    } finally {
      tellPictures(library.records);
      enqueueWaiting();
    }
  },

  cancelLoads: () => model.cancelLoads(),
  pauseLoads: () => model.pauseLoads(),
  resumeLoads: () => model.resumeLoads(),
  removeModel: (key) => model.remove(key),

  async storage() {
    const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
    return { usage, quota, isKept: library.isKept };
  },

  /** Forgets everything that the page has kept. */
  async removeEverything() {
    await indexer.cancel();
    await library.removeAll(model.key);
    await model.removeAll();
  },
};

addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
  if (violatedDirective === 'connect-src') tell('blocked', blockedURI);
});

answerCalls(globalThis, methods);
