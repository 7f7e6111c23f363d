// Embeds the pictures that have no vector yet, at the speed of embedAll: while one is computed the next ones are opened,
// decoded and made small.

import { takenAt } from '../exif.js';
import { makeThumbnail } from './thumbnails.js';

/** How many pictures are being opened at a time besides those that embedAll asks for ahead. */
const OPENING = 2;
/** Milliseconds between two commits, at least; a commit that takes long makes pauses longer. */
const COMMIT_EVERY = 3000;
const COMMIT_SHARE = 10;
/** What has the encoder's own reader, pixel by pixel as OpenCLIP's: given as it is, not as the browser decodes it. */
const OWN_READER = /^image\/(png|gif|bmp)$/;
const HEIC = /\.hei[cf]$/i;
const NO_HEIC =
  'this browser does not read HEIC. Safari does; elsewhere save it as JPEG first (an iPhone takes JPEG with Settings, Camera, Formats, Most Compatible)';

// The decoding that loadImageEncoder documents for files: what the pixels are must not depend on the screen.
const decode = (blob) => createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });

export class Indexer {
  #library;
  #towers;
  #on;
  #queue = [];
  #queued = new Set();
  #running = null;
  #stop = null;
  #begun = 0; // of this run
  #done = 0;
  #total = 0;
  #pace; // milliseconds a picture
  #isPaused = false;
  #isUnwritten = false; // the disk was full

  /**
   * @param {import('./library.js').Library} library
   * @param {{ ready(id: number): void, failed(id: number, message: string): void, progress(figures: object): void,
   *   stopped(error: Error): void }} on  what is told to the page
   */
  constructor(library, on) {
    this.#library = library;
    this.#on = on;
  }

  useTowers(towers) {
    this.#towers = towers;
  }

  /** Pictures that wait for their turn, these included. */
  enqueue(ids) {
    for (const id of ids) {
      if (this.#queued.has(id)) continue;
      this.#queued.add(id);
      this.#queue.push(id);
      this.#total++;
    }
    this.#start();
  }

  pause() {
    this.#isPaused = true;
    this.#stop?.abort();
    this.#towers.pauseLoads(['image']);
    this.#tell();
  }

  resume() {
    this.#isPaused = false;
    this.#towers.resumeLoads(['image']);
    this.#start();
  }

  /** Ends the run. @returns {Promise<number[]>} the pictures that were waiting */
  async cancel() {
    this.#isPaused = true; // until the one that is under way has ended
    this.#stop?.abort();
    this.#towers?.cancelLoads(['image']); // or it would be waited for
    await this.#running;
    const waiting = this.#queue;
    this.#queue = [];
    for (const id of waiting) this.#queued.delete(id);
    this.#isPaused = false;
    this.#finish();
    return waiting;
  }

  #start() {
    if (!this.#isPaused && !this.#running && (this.#queue.length > 0 || this.#isUnwritten)) {
      this.#begun = performance.now() - this.#done * (this.#pace ?? 0);
      this.#running = this.#run().finally(() => {
        this.#running = null;
        this.#start();
      });
    }
    this.#tell();
  }

  async #run() {
    const { signal } = (this.#stop = new AbortController());
    try {
      if (this.#queue.length > 0) {
        await this.#towers.use('image', async (encoder) => {
          signal.throwIfAborted();
          await this.#embed(encoder, signal);
        });
      }
      await this.#library.commit();
      this.#isUnwritten = false;
      this.#finish();
    } catch (error) {
      await this.#library.commit().catch(() => (this.#isUnwritten = true));
      if (signal.aborted) return;
      this.#isPaused = true; // until the visitor says to go on
      this.#on.stopped(error);
      this.#tell();
    }
  }

  async #embed(encoder, signal) {
    const jobs = new Map();
    const taken = [];
    let committed = performance.now();
    let pause = COMMIT_EVERY;
    try {
      let last = performance.now();
      for await (const { index, vector, error } of encoder.embedAll(this.#sources(jobs, taken), { signal })) {
        const { id, bitmap } = jobs.get(index);
        jobs.delete(index);
        taken.splice(taken.indexOf(id), 1);
        bitmap?.close();
        if (error) this.#fail(id, error);
        else this.#finishOne(id, vector);
        this.#towers.record('image', performance.now() - last);
        last = performance.now();
        if (last - committed > pause) {
          await this.#library.commit();
          committed = performance.now();
          pause = Math.max(COMMIT_EVERY, COMMIT_SHARE * (committed - last));
          last = committed;
        }
      }
    } finally {
      for (const { bitmap } of jobs.values()) bitmap?.close();
      this.#queue.unshift(...taken); // what was begun is begun again
    }
  }

  #finishOne(id, vector) {
    if (this.#library.get(id)) {
      this.#library.vectors.set(id, vector);
      if (!this.#library.get(id).isRead) this.#library.update(id, { isRead: true });
      this.#on.ready(id);
    }
    this.#leave(id);
  }

  #fail(id, error) {
    this.#on.failed(id, HEIC.test(this.#library.get(id)?.name) ? NO_HEIC : error.message);
    this.#leave(id);
  }

  #leave(id) {
    this.#queued.delete(id);
    this.#done++;
    this.#pace = (performance.now() - this.#begun) / this.#done;
    this.#tell();
  }

  /** What embedAll reads: bitmaps, or files that the encoder reads better itself. */
  async *#sources(jobs, taken) {
    const opening = [];
    let index = 0;
    while (this.#queue.length > 0 || opening.length > 0) {
      while (opening.length <= OPENING && this.#queue.length > 0) {
        const id = this.#queue.shift();
        taken.push(id);
        opening.push(
          this.#open(id).then(
            (opened) => ({ id, opened }),
            (error) => ({ id, error }),
          ),
        );
      }
      const { id, opened, error } = await opening.shift();
      if (error) {
        taken.splice(taken.indexOf(id), 1);
        this.#fail(id, error);
      } else if (!opened) {
        taken.splice(taken.indexOf(id), 1);
        this.#leave(id);
      } else {
        jobs.set(index++, { id, bitmap: opened.bitmap });
        yield opened.source;
      }
    }
  }

  /** A picture's file, or else its thumbnail; null if the picture was removed meanwhile. */
  async #open(id) {
    const record = this.#library.get(id);
    if (!record) return null;
    const original = await this.#library.places.open(record);
    const file = original ?? (await this.#library.thumbnail(id));
    if (!file) throw new Error('the file cannot be opened any more, and there is no small copy of it yet');
    if (original && !record.source.clip) {
      const date = await takenAt(file);
      const taken = date === null ? undefined : Date.parse(date); // of no zone: where the visitor is
      if (taken !== record.taken) this.#library.update(id, { taken });
    }
    let bitmap;
    try {
      bitmap = await decode(file);
    } catch {
      return { source: file }; // the encoder refuses it in words that name the reason
    }
    if (!this.#library.hasThumbnail(id))
      this.#library.setThumbnail(id, await makeThumbnail(bitmap, file.type === 'image/jpeg'));
    if (!OWN_READER.test(file.type)) return { source: bitmap, bitmap };
    bitmap.close();
    return { source: file };
  }

  #finish() {
    if (this.#queue.length > 0 || this.#queued.size > 0) return;
    this.#done = this.#total = 0;
    this.#tell();
  }

  #tell() {
    this.#on.progress({
      done: this.#done,
      total: this.#total,
      milliseconds: this.#pace,
      state: this.#queued.size === 0 ? 'idle' : this.#isPaused ? 'paused' : 'running',
    });
  }
}
