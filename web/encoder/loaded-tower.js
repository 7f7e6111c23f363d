// A tower in the memory of a WebAssembly instance: inputs are put into it, a batch at a time, and vectors come out.
// Calls are queued and done in order; long ones go in pieces, between which they can be aborted.

import { pausing, untilAborted } from '../base/abort.js';
import { HalfclipError } from '../base/errors.js';
import { breathe } from '../base/platform.js';
import { DOTS, readInfo, readVideo } from '../wasm/interface.js';
import { Joined } from '../wasm/instance.js';
import { exhausted } from '../wasm/memory.js';
import { detectDot } from '../wasm/simd.js';
import { disposed, nameInput } from './messages.js';

// As in src/tower/encoder.c, where the next larger numbers of 32 bits count as infinite.
const LARGEST_PIXEL = Math.fround(3.4e38);

// Threads would outlive a tower that was dropped without release().
const forgotten =
  typeof FinalizationRegistry === 'function' ? new FinalizationRegistry((threads) => threads.stop()) : null;

/** Pointers to the encoder's own memory for inputs and vectors of a batch. */
function buffersOf(wasm, encoder) {
  const out = wasm.alloc(8, 'pointers');
  wasm.exports.hc_wasm_buffers(encoder, out);
  const pointers = [...wasm.ints(out, 2)];
  wasm.free(out);
  return pointers;
}

/** What an encoder is, as LoadedTower keeps it; with the options of LoadedTower.of. */
function describe(wasm, encoder, { tower, model, dot = detectDot() }, sizes) {
  const config = JSON.parse(wasm.string(wasm.exports.hc_encoder_config(encoder)));
  wasm.exports.hc_encoder_set_dot(encoder, DOTS[dot]);
  const { contextLength, vocabSize, imageHeight, imageWidth, batch, ...fields } = readInfo(wasm, encoder);
  const { dtype, dim, tokensOut, parameters } = fields;
  const info = {
    model,
    tower,
    dtype,
    dim,
    tokensOut,
    quickGelu: Boolean((config.model_cfg ?? config).quick_gelu),
    ...(tower === 'text'
      ? { contextLength, vocabSize }
      : { imageSize: imageHeight === imageWidth ? imageHeight : [imageHeight, imageWidth] }),
    ...(tower === 'video' && readVideo(wasm, encoder)),
    parameters,
    memoryBytes: wasm.memoryBytes,
    ...sizes,
    simd: wasm.flavour,
    threads: wasm.threads?.count ?? 1,
  };
  return { config, info, batch, buffers: buffersOf(wasm, encoder) };
}

export class LoadedTower {
  #wasm;
  #encoder;
  #input; // see buffersOf
  #output;
  #batch;
  #tail = Promise.resolve(); // settles when every call so far is done

  /**
   * @param {import('../wasm/instance.js').Wasm} wasm
   * @param {number} encoder pointer
   * @param {{ tower: 'image' | 'text' | 'video', model: string | null, dot?: 'pairs' | 'quads' }} options
   * @param {{ fetchedBytes: number, fileBytes: number | null, cached: boolean }} sizes
   */
  static of(wasm, encoder, options, sizes) {
    const tower = new LoadedTower(wasm, encoder, describe(wasm, encoder, options, sizes));
    if (wasm.threads) {
      const { info } = tower;
      wasm.threads.onLost = () => info.threads--;
      forgotten?.register(tower, wasm.threads, tower);
    }
    return tower;
  }

  /**
   * The tower once more, on a thread of its own: see twin().
   * @param {{ place: object, encoder: number, parts: object }} twin
   */
  static join({ place, encoder, parts }) {
    return new LoadedTower(new Joined(place), encoder, parts);
  }

  /** @param {ReturnType<typeof describe>} parts */
  constructor(wasm, encoder, { config, info, batch, buffers }) {
    this.#wasm = wasm;
    this.#encoder = encoder;
    /** The config in force, as in an open_clip_config.json. */
    this.config = config;
    this.info = info;
    this.#batch = batch;
    [this.#input, this.#output] = buffers;
  }

  /** What another thread needs to compute with these weights, at the same time: can be sent to a worker. */
  twin() {
    const wasm = this.wasm();
    const encoder = wasm.exports.hc_encoder_twin(this.#encoder) >>> 0;
    if (!encoder) throw exhausted('another thread');
    const { config, info } = this;
    const parts = { config, info, batch: this.#batch, buffers: buffersOf(wasm, encoder) };
    const place = wasm.share();
    info.memoryBytes = wasm.memoryBytes;
    return { place, encoder, parts };
  }

  /** The instance; throws if it was given back, or the caller has aborted. */
  wasm(signal) {
    signal?.throwIfAborted();
    if (!this.#wasm) throw disposed();
    return this.#wasm;
  }

  /** The pointer to the encoder in the instance's memory. */
  get encoder() {
    return this.#encoder;
  }

  /** OpenCLIP's text_cfg. */
  get textCfg() {
    return (this.config.model_cfg ?? this.config).text_cfg ?? {};
  }

  /** The pointer to where vectors come out. */
  get output() {
    return this.#output;
  }

  /** The merges that came with the weights, in WebAssembly's memory, or null. */
  get vocabulary() {
    const wasm = this.wasm();
    const out = wasm.alloc(4, 'a length');
    const pointer = wasm.exports.hc_encoder_vocabulary(this.#encoder, out) >>> 0;
    const length = wasm.ints(out, 1)[0];
    wasm.free(out);
    return pointer ? { pointer, length } : null;
  }

  /** How many inputs one call of C takes. */
  get batch() {
    return this.#batch;
  }

  /** Gives the memory back; what is under way and what comes later rejects. */
  release() {
    this.#wasm?.release();
    forgotten?.unregister(this);
    this.#wasm = null;
  }

  /** Runs `work` after everything before it; an abort while it waits rejects at once. */
  async inTurn(signal, work) {
    this.wasm(signal);
    const turn = this.#tail.then(() => {
      this.wasm(signal);
      return work();
    });
    this.#tail = turn.catch(() => {});
    return untilAborted(turn, signal);
  }

  /** As many at a time as one call of C takes. */
  async *batches(items, signal) {
    for (let at = 0; at < items.length; at += this.#batch) {
      if (at) await breathe();
      this.wasm(signal);
      yield items.slice(at, at + this.#batch);
    }
  }

  /**
   * The vectors of many inputs, in turn.
   * @param {unknown[]} items
   * @param {{ normalize?: boolean, signal?: AbortSignal, many?: boolean, first?: number }} options first: the number of
   *   the first item, for messages
   * @param {(batch: unknown[]) => Promise<unknown[]> | unknown[]} [prepare] makes ids or pixels of what is to be
   *   embedded
   * @param {string} [hint] see run()
   */
  embedAll(items, { normalize = true, signal, many = true, first = 0 }, prepare = (batch) => batch, hint) {
    return this.inTurn(signal, async () => {
      const vectors = [];
      for await (const batch of this.batches(items, signal)) {
        const inputs = await prepare(batch);
        this.wasm(signal);
        const nameOf = (i) => nameInput(first + vectors.length + i, many);
        vectors.push(...(await this.run(inputs, { normalize, signal }, nameOf, hint)));
      }
      return vectors;
    });
  }

  /**
   * The vectors of a batch of inputs, ids or pixels, now: in turn is whoever calls.
   * @param {(Int32Array | Float32Array)[]} inputs
   * @param {(i: number) => string} nameOf how messages call input i
   * @param {string} [hint] ends the message about a token id that is out of range
   */
  async run(inputs, { normalize, signal }, nameOf, hint) {
    this.begin(inputs, normalize, nameOf, hint);
    return this.finish(inputs.length, signal);
  }

  /** The vectors of so many inputs, once hc_embed_begin or hc_embed_video_begin has begun with them. */
  async finish(count, signal) {
    const wasm = this.wasm(signal);
    const pause = pausing(signal);
    while (wasm.exports.hc_wasm_embed_step(this.#encoder)) {
      await pause();
      this.wasm(signal);
    }
    this.info.memoryBytes = wasm.memoryBytes;
    const { dim, tokensOut } = this.info;
    const length = dim * tokensOut;
    const vectors = wasm.floats(this.#output, count * length);
    return Array.from({ length: count }, (_, i) => vectors.slice(i * length, (i + 1) * length));
  }

  /** Puts inputs in their place, as run() takes them, and begins to compute; returns the instance. */
  begin(inputs, normalize, nameOf, hint = '') {
    const wasm = this.wasm();
    const count = inputs.length;
    inputs.forEach((input, i) => this.#put(input, i, nameOf(i)));
    const status = wasm.exports.hc_embed_begin(this.#encoder, this.#input, count, normalize ? 1 : 0, this.#output);
    if (status) wasm.check(status, this.#offender(count, nameOf, hint));
    return wasm;
  }

  /** How many numbers an input of the tower has. */
  get inputLength() {
    const { tower, contextLength, imageSize, seen = 1 } = this.info;
    if (tower === 'text') return contextLength;
    const [height, width] = [imageSize, imageSize].flat();
    return 3 * seen * height * width;
  }

  /** The encoder's own memory for `count` inputs. */
  #inputs(count) {
    const length = count * this.inputLength;
    return this.info.tower === 'text' ? this.#wasm.ints(this.#input, length) : this.#wasm.floats(this.#input, length);
  }

  /** Puts ids or pixels into the encoder's input with index i. */
  #put(input, i, name) {
    const length = this.inputLength;
    if (input.length !== length) {
      throw new HalfclipError('input/type', `${name}: its memory was transferred or resized before it was read`);
    }
    this.#inputs(i + 1).set(input, i * length);
  }

  /** What is wrong with the first input that the tower cannot take. */
  #offender(count, nameOf, hint) {
    const { tower, vocabSize } = this.info;
    const isBad = tower === 'text' ? (id) => id < 0 || id >= vocabSize : (pixel) => !(Math.abs(pixel) <= LARGEST_PIXEL);
    const length = this.inputLength;
    const inputs = this.#inputs(count);
    const bad = inputs.findIndex(isBad);
    const [i, at] = [Math.floor(bad / length), bad % length];
    if (tower === 'text') {
      return `${nameOf(i)}: token id ${inputs[bad]} at position ${at}, expected 0 to ${vocabSize - 1}${hint}`;
    }
    return `${nameOf(i)}: pixel value ${inputs[bad]} at position ${at}, expected a finite number`;
  }
}
