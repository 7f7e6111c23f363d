// What loadImageEncoder() gives.

import { underSignal, untilAborted } from '../base/abort.js';
import { CALL_OPTIONS, EMBED_ALL_OPTIONS, EMBED_OPTIONS, PICTURE_OPTIONS, readOptions } from '../base/options.js';
import { hasTag, isArray } from '../base/realm.js';
import { embedPicture, embedPixels, preprocessPicture } from '../encoder/calls.js';
import { nameInput } from '../encoder/messages.js';
import { capturePicture } from '../picture/capture.js';
import { Gate } from './gate.js';
import { ALL, CALL, EACH, IN_ORDER, Tower, arrayChecker, listOf } from './tower.js';

// How many pictures are under way besides the one that is waited for, unless the caller says. One of 12 megapixels
// takes 48 MB while it is.
const PICTURES_AHEAD = 2;

/** An image tower. Each call takes one input or an array, and gives one output or an array in the same order. */
export class ImageTower extends Tower {
  #gate = new Gate();

  /** Vectors of pictures. */
  embed(sources, options) {
    return this.#each(embedPicture, sources, options, { ...EMBED_OPTIONS, ...PICTURE_OPTIONS });
  }

  /** Vectors of pictures as they come, and what is wrong with those that have none. */
  async *embedAll(sources, options = {}) {
    const { ahead = PICTURES_AHEAD, ...others } = readOptions(options, { ...EMBED_ALL_OPTIONS, ...PICTURE_OPTIONS });
    const embed = (source, index, options) =>
      this.#send(embedPicture, source, { ...options, name: nameInput(index, true) }, ahead);
    yield* this[ALL](sources, embed, { ...others, ahead });
  }

  /** What the tower gets of pictures: Float32Array [3, H, W]. */
  preprocess(sources, options) {
    return this.#each(preprocessPicture, sources, options, { ...CALL_OPTIONS, ...PICTURE_OPTIONS });
  }

  /** Vectors of what preprocess() gives. */
  embedPixels(pixels, options) {
    const { imageSize } = this.info;
    const [height, width] = Array.isArray(imageSize) ? imageSize : [imageSize, imageSize];
    return this[EACH](embedPixels, pixels, arrayChecker(Float32Array, 3 * height * width), options);
  }

  async #each(call, input, given = {}, known) {
    const { signal, ...options } = readOptions(given, known);
    if (!isArray(input))
      return underSignal(signal, (signal) => untilAborted(this.#one(call, input, { ...options, signal }), signal));
    const each = (source, i, signal) => this.#send(call, source, { ...options, signal, name: nameInput(i, true) });
    const outputs = [];
    for await (const output of this[IN_ORDER](listOf(input), each, PICTURES_AHEAD, signal)) outputs.push(output);
    return outputs;
  }

  /** As #send, but what may change, as a canvas does, is read now, however many calls are under way. */
  async #one(call, source, options) {
    const named = { ...options, name: nameInput(0, false) };
    const captured = hasTag(source, 'HTMLImageElement') ? undefined : await capturePicture(source, named.name, options);
    return this.#send(call, source, named, PICTURES_AHEAD, captured);
  }

  /** What the encoder makes of a picture. Few are read at a time, however many calls there are. */
  #send(call, source, options, ahead = PICTURES_AHEAD, captured = undefined) {
    return this.#gate.pass(ahead + 1, async () => {
      if (!captured) options.signal.throwIfAborted();
      const picture = captured ?? (await capturePicture(source, options.name, options));
      return this[CALL](call, picture, { ...options, own: picture !== source });
    });
  }
}
