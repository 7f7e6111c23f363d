// A loaded tower on this thread: one WebAssembly instance and what it computes. Calls are queued and done in order;
// long ones go in pieces, between which they can be aborted.

import { pausing, untilAborted } from '../base/abort.js';
import { HalfclipError } from '../base/errors.js';
import { breathe } from '../base/platform.js';
import { TowerCache } from '../cache/tower-cache.js';
import { loadTower } from '../load/load-tower.js';
import { findAssets } from '../network/assets.js';
import { completeLimits } from '../network/limits.js';
import { completeRetry } from '../network/retry.js';
import { readPicture } from '../picture/read.js';
import { openWeights } from '../sources/open.js';
import { createTokenizer, readClipMerges } from '../text/tokenizer.js';
import { Wasm } from '../wasm/instance.js';
import { detectDot } from '../wasm/simd.js';

const CLIP_VOCABULARY = 49408;
const DTYPES = [, 'fp32', 'fp16', 'int8', 'int4'];
const DOTS = { pairs: 0, quads: 1 };

// As in src/tower/encoder.c, where the next larger numbers of 32 bits count as infinite.
const LARGEST_PIXEL = Math.fround(3.4e38);

// Threads would outlive an encoder that was dropped without dispose().
const forgotten =
  typeof FinalizationRegistry === 'function' ? new FinalizationRegistry((threads) => threads.stop()) : null;

export class Encoder {
  #wasm;
  #encoder;
  #config;
  #input; // pointers to the encoder's own memory for inputs and vectors of a batch
  #output;
  #batch;
  #tokenizer;
  #network; // how pictures are fetched, for readPicture
  #reading = 0; // how many pictures are being read
  #apart = null; // the instance for large ones among them
  #read = new Set(); // pictures that wait for their turn, as embedPicture() keeps them
  #places;
  #tail = Promise.resolve(); // settles when every call so far is done

  /**
   * @param {object} options
   * @param {'image' | 'text'} options.tower
   * @param {string | null} options.model its name, for messages and `info`
   * @param {string | null} options.config JSON text of an open_clip_config.json, or null: the file is a shard
   * @param {object} options.weights from describeWeights
   * @param {string} options.dtype 'auto' | 'fp32' | 'fp16' | 'int8' | 'int4'
   * @param {RequestCache} [options.cache] for requests
   * @param {object} [options.keep] from completeCache: where towers are kept; without it, nowhere
   * @param {object} [options.retry] see index.d.ts
   * @param {object} [options.limits] the same
   * @param {string} [options.integrity]
   * @param {Record<string, string[]>} [options.places] from findAssets
   * @param {string} [options.assets] from assetsFolder
   * @param {WebAssembly.Module | BufferSource | string} [options.wasm]
   * @param {'relaxed' | 'simd128'} [options.simd]
   * @param {'pairs' | 'quads'} [options.dot]
   * @param {{ fetch?: typeof fetch, signal?: AbortSignal, onProgress?: Function }} hooks
   */
  static async load(options, hooks) {
    const starting = Wasm.create(options);
    starting.catch(() => {}); // reported when it is awaited, after the file was opened
    const towers = await TowerCache.open(options);
    hooks.signal?.throwIfAborted();
    const loading = Encoder.#load(options, starting, towers, hooks);
    const { encoder, versions } = await untilAborted(loading, hooks.signal).catch((error) => {
      loading.then(
        ({ encoder }) => encoder.dispose(),
        () => {},
      ); // it may have been too late to stop it
      throw error;
    });
    try {
      if (towers && !encoder.info.cached) await encoder.#keep(towers, versions, hooks.signal);
    } catch (error) {
      encoder.dispose();
      throw error;
    }
    return encoder;
  }

  static async #load(options, starting, towers, { fetch, signal, onProgress }) {
    const { cache, integrity } = options;
    const network = { fetch, retry: completeRetry(options.retry), limits: completeLimits(options.limits) };
    const kept = await towers?.load(starting, { fetch, signal, onProgress });
    if (kept) {
      const { wasm, encoder, fetchedBytes, fileBytes } = kept;
      return { encoder: new Encoder(wasm, encoder, options, { fetchedBytes, fileBytes, cached: true }, network) };
    }
    const file = await openWeights(options.weights, {
      ...network,
      cache: towers?.outdated ? 'no-cache' : cache,
      signal,
      whole: integrity !== undefined || options.config === null,
    });
    let wasm;
    try {
      wasm = towers ? (await starting).spawn() : await starting;
      signal?.throwIfAborted();
      const { encoder, fetched, size } = await loadTower(wasm, options, file, { signal, onProgress });
      const sizes = { fetchedBytes: fetched, fileBytes: size ?? null, cached: false };
      return { encoder: new Encoder(wasm, encoder, options, sizes, network), versions: file.versions };
    } catch (error) {
      wasm?.release();
      throw error;
    } finally {
      await file.close();
    }
  }

  constructor(wasm, encoder, { tower, model, dot = detectDot(), places = findAssets() }, sizes, network) {
    this.#wasm = wasm;
    this.#places = places;
    this.#encoder = encoder;
    this.#network = network;
    this.#config = JSON.parse(wasm.string(wasm.exports.hc_encoder_config(encoder)));
    wasm.exports.hc_encoder_set_dot(encoder, DOTS[dot]);
    const out = wasm.alloc(96, 'info');
    wasm.exports.hc_wasm_info(encoder, out);
    const [, dtype, dim, tokensOut, contextLength, vocabSize, height, width, , batch, parameters] = wasm.doubles(
      out,
      12,
    );
    wasm.exports.hc_wasm_buffers(encoder, out);
    [this.#input, this.#output] = wasm.ints(out, 2);
    wasm.free(out);
    this.#batch = batch;
    this.info = {
      model,
      tower,
      dtype: DTYPES[dtype],
      dim,
      tokensOut,
      quickGelu: Boolean((this.#config.model_cfg ?? this.#config).quick_gelu),
      ...(tower === 'text' ? { contextLength, vocabSize } : { imageSize: height === width ? height : [height, width] }),
      parameters,
      memoryBytes: wasm.memoryBytes,
      ...sizes,
      simd: wasm.flavour,
      threads: wasm.threads?.count ?? 1,
    };
    if (wasm.threads) {
      const { info } = this;
      wasm.threads.onLost = () => info.threads--;
      forgotten?.register(this, wasm.threads, this);
    }
  }

  async #keep(towers, versions, signal) {
    const { dtype, fetchedBytes, fileBytes } = this.info;
    await towers.store(this.#wasm, this.#encoder, { versions, dtype, fetchedBytes, fileBytes }, signal);
    this.info.memoryBytes = this.#wasm.memoryBytes;
  }

  /** The vector of each text. */
  embed(texts, options = {}) {
    return this.#enqueue(options.signal, () =>
      this.#embedAll(texts, options, (texts) => this.#tokenize(texts), ': the vocabulary does not fit the model'),
    );
  }

  /**
   * The vector of a picture that was captured, see capturePicture. It is read at once, and computed when its turn
   * comes.
   * @param {object} options
   * @param {string} options.name how messages call it
   * @param {boolean} [options.normalize]
   * @param {AbortSignal} [options.signal]
   * @param {boolean} [options.own] whether it is closed once it is read
   * @param {'exif' | 'none'} [options.orientation] see index.d.ts
   * @param {number} [options.maxPixels] the same
   */
  async embedPicture(source, options) {
    const { normalize = true, name, signal } = options;
    const job = { pixels: await this.#readPicture(source, options), normalize, name, vector: null };
    this.#read.add(job);
    try {
      await this.#enqueue(signal, async () => {
        if (job.vector) return;
        await breathe(); // more may be read by then
        this.#check(signal);
        await this.#embedWith(job, signal);
      });
      return job.vector;
    } finally {
      this.#read.delete(job);
    }
  }

  /** What the tower gets of a picture, Float32Array [3, H, W]; with the options of embedPicture. */
  async preprocessPicture(source, options) {
    const pixels = await this.#readPicture(source, options);
    this.#check(options.signal);
    return pixels;
  }

  /** Int32Array(contextLength) of each text. */
  tokenize(texts, { signal } = {}) {
    return this.#enqueue(signal, async () => {
      const ids = [];
      for await (const chunk of this.#chunks(texts, signal)) ids.push(...(await this.#tokenize(chunk)));
      return ids;
    });
  }

  /** One vector for each Int32Array(contextLength). */
  embedTokens(ids, options = {}) {
    return this.#enqueue(options.signal, () => this.#embedAll(ids, options));
  }

  /** One vector for each Float32Array [3, H, W]. */
  embedPixels(pixels, options = {}) {
    return this.#enqueue(options.signal, () => this.#embedAll(pixels, options));
  }

  /**
   * The tower as a shard.
   * @param {(piece: Uint8Array) => void} write is called with consecutive pieces, which are valid during the call only
   * @param {Uint8Array} [vocabulary] of a text tower: merges, in place of those that came with the weights, or else
   *   CLIP's own
   */
  writeShard(write, vocabulary) {
    return this.#enqueue(undefined, async () => {
      const wasm = this.#wasm;
      const own = this.#vocabulary();
      const { vocabSize } = this.info;
      if (!vocabulary && !own && vocabSize >= CLIP_VOCABULARY && !this.#textCfg.hf_tokenizer_name)
        vocabulary = await readClipMerges(this.#places);
      const produce = (pointer, length) =>
        wasm.check(wasm.exports.hc_wasm_shard_write(this.#encoder, pointer, length), 'no memory left for the shard');
      wasm.write = write;
      if (vocabulary) wasm.with(vocabulary, 'the vocabulary', produce);
      else produce(own?.pointer ?? 0, own?.length ?? 0);
    });
  }

  dispose() {
    this.#wasm?.release();
    forgotten?.unregister(this);
    this.#wasm = null;
    this.#tokenizer = null;
  }

  #check(signal) {
    signal?.throwIfAborted();
    if (!this.#wasm) throw disposed();
  }

  /** Runs `work` after everything before it; an abort while it waits rejects at once. */
  async #enqueue(signal, work) {
    this.#check(signal);
    const turn = this.#tail.then(() => {
      this.#check(signal);
      return work();
    });
    this.#tail = turn.catch(() => {});
    return untilAborted(turn, signal);
  }

  /** As many at a time as one call of C takes. */
  async *#chunks(items, signal) {
    for (let at = 0; at < items.length; at += this.#batch) {
      if (at) await breathe();
      this.#check(signal);
      yield items.slice(at, at + this.#batch);
    }
  }

  /**
   * @param {unknown[]} items
   * @param {{ normalize?: boolean, signal?: AbortSignal, many?: boolean, first?: number }} options first: the number of
   *   the first item, for messages
   * @param {(chunk: unknown[]) => Promise<unknown[]> | unknown[]} [prepare] makes ids or pixels of what is to be
   *   embedded
   * @param {string} [hint] see #run
   */
  async #embedAll(items, { normalize = true, signal, many = true, first = 0 }, prepare = (chunk) => chunk, hint) {
    const vectors = [];
    for await (const chunk of this.#chunks(items, signal)) {
      const inputs = await prepare(chunk);
      this.#check(signal);
      const nameOf = (i) => nameInput(first + vectors.length + i, many);
      inputs.forEach((input, i) => this.#put(input, i, nameOf(i)));
      vectors.push(...(await this.#run(inputs.length, { normalize, signal }, nameOf, hint)));
    }
    return vectors;
  }

  /** Reads a picture; when no picture is being read any more, what is there for large ones goes. */
  async #readPicture(source, { name, own, ...options }) {
    const { signal } = options;
    const apart = () => (this.#apart ??= this.#wasm.spawn());
    const read = async () => {
      this.#reading++;
      try {
        this.#check(signal);
        return await readPicture(source, name, {
          ...this.#network,
          ...options,
          wasm: this.#wasm,
          apart,
          config: JSON.stringify(this.#config),
        });
      } finally {
        if (--this.#reading === 0) this.#apart = null;
        if (own) source.close?.();
      }
    };
    return untilAborted(read(), signal);
  }

  /** Embeds a picture that is read, and with it others that are, as many as one call of C takes. */
  async #embedWith(job, signal) {
    const others = [...this.#read]
      .filter((other) => other !== job && other.normalize === job.normalize)
      .slice(0, this.#batch - 1);
    const jobs = [job, ...others];
    jobs.forEach(({ pixels, name }, i) => this.#put(pixels, i, name));
    const vectors = await this.#run(jobs.length, { normalize: job.normalize, signal }, (i) => jobs[i].name);
    jobs.forEach((job, i) => {
      job.vector = vectors[i];
      this.#read.delete(job);
    });
  }

  async #tokenize(texts) {
    if (!this.#tokenizer) {
      const tokenizer = await createTokenizer(
        this.#wasm,
        this.#textCfg,
        this.#vocabulary(),
        this.info.model ?? 'the model',
        this.#places,
      );
      this.#check();
      this.#tokenizer = tokenizer;
    }
    return this.#tokenizer.tokenize(texts, this.info.contextLength);
  }

  get #textCfg() {
    return (this.#config.model_cfg ?? this.#config).text_cfg ?? {};
  }

  /** The merges that came with the weights, in WebAssembly's memory, or null. */
  #vocabulary() {
    const wasm = this.#wasm;
    const out = wasm.alloc(4, 'a length');
    const pointer = wasm.exports.hc_encoder_vocabulary(this.#encoder, out) >>> 0;
    const length = wasm.ints(out, 1)[0];
    wasm.free(out);
    return pointer ? { pointer, length } : null;
  }

  /** The encoder's input of `count` inputs of `length` numbers, ids or pixels. */
  #inputs(count, length) {
    return this.info.tower === 'text'
      ? this.#wasm.ints(this.#input, count * length)
      : this.#wasm.floats(this.#input, count * length);
  }

  /** How many numbers an input of the tower has. */
  get #inputLength() {
    const { tower, contextLength, imageSize } = this.info;
    if (tower === 'text') return contextLength;
    const [height, width] = [imageSize, imageSize].flat();
    return 3 * height * width;
  }

  /** Puts ids or pixels into the encoder's input with index i. */
  #put(input, i, name) {
    const length = this.#inputLength;
    if (input.length !== length) throw changedMeanwhile(name);
    this.#inputs(i + 1, length).set(input, i * length);
  }

  /**
   * The vectors of `count` inputs that were put in place.
   * @param {(i: number) => string} nameOf how messages call input i
   * @param {string} [hint] ends the message about a token id that is out of range
   */
  async #run(count, { normalize, signal }, nameOf, hint = '') {
    const wasm = this.#wasm;
    const { dim, tokensOut } = this.info;
    const length = dim * tokensOut;
    const status = wasm.exports.hc_embed_begin(this.#encoder, this.#input, count, normalize ? 1 : 0, this.#output);
    if (status) wasm.check(status, this.#offender(count, nameOf, hint));
    const pause = pausing(signal);
    while (wasm.exports.hc_wasm_embed_step(this.#encoder)) {
      await pause();
      this.#check(signal);
    }
    this.info.memoryBytes = wasm.memoryBytes;
    const vectors = wasm.floats(this.#output, count * length);
    return Array.from({ length: count }, (_, i) => vectors.slice(i * length, (i + 1) * length));
  }

  /** What is wrong with the first input that the tower cannot take. */
  #offender(count, nameOf, hint) {
    const { tower, vocabSize } = this.info;
    const isBad = tower === 'text' ? (id) => id < 0 || id >= vocabSize : (pixel) => !(Math.abs(pixel) <= LARGEST_PIXEL);
    const length = this.#inputLength;
    const inputs = this.#inputs(count, length);
    const bad = inputs.findIndex(isBad);
    const [i, at] = [Math.floor(bad / length), bad % length];
    if (tower === 'text')
      return `${nameOf(i)}: token id ${inputs[bad]} at position ${at}, expected 0 to ${vocabSize - 1}${hint}`;
    return `${nameOf(i)}: pixel value ${inputs[bad]} at position ${at}, expected a finite number`;
  }
}

/** How messages call the input with index `i`, of an array or alone. */
export const nameInput = (i, many) => (many ? `input ${i}` : 'the input');

function changedMeanwhile(name) {
  return new HalfclipError('input/type', `${name}: its memory was transferred or resized before it was read`);
}

export function disposed() {
  return new HalfclipError('state/disposed', 'this encoder was disposed of: load another one');
}
