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

/**
 * How many are under way at most, so that each thread has one to compute and one is decoded meanwhile, and how many are
 * looked at ahead of the one that is waited for: those that are done count, too, while an earlier one takes longer.
 */
function windowFor(threads, ahead) {
  if (ahead !== undefined) return { most: ahead + 1, ahead };
  return threads > 1 ? { most: threads + 1, ahead: 2 * threads } : { most: PICTURES_AHEAD + 1, ahead: PICTURES_AHEAD };
}

/** An image tower. Each call takes one input or an array, and gives one output or an array in the same order. */
export class ImageTower extends Tower {
  #gate = new Gate();

  /** Vectors of pictures. */
  embed(sources, options) {
    return this.#each(embedPicture, sources, options, { ...EMBED_OPTIONS, ...PICTURE_OPTIONS });
  }

  /** Vectors of pictures as they come, and what is wrong with those that have none. */
  async *embedAll(sources, options = {}) {
    const { ahead: given, ...others } = readOptions(options, { ...EMBED_ALL_OPTIONS, ...PICTURE_OPTIONS });
    const { most, ahead } = windowFor(this.info.threads, given);
    const embed = (source, index, options) =>
      this.#send(embedPicture, source, { ...options, together: most, name: nameInput(index, true) }, most);
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
    const inputs = listOf(input);
    const { most, ahead } = windowFor(call === embedPicture ? this.info.threads : 1);
    const together = Math.min(most, inputs.length);
    const each = (source, i, signal) =>
      this.#send(call, source, { ...options, together, signal, name: nameInput(i, true) }, most);
    const outputs = [];
    for await (const output of this[IN_ORDER](inputs, each, ahead, signal)) outputs.push(output);
    return outputs;
  }

  /** As #send, but what may change, as a canvas does, is read now, however many calls are under way. */
  async #one(call, source, options) {
    const named = { ...options, name: nameInput(0, false) };
    const captured = hasTag(source, 'HTMLImageElement') ? undefined : await capturePicture(source, named.name, options);
    return this.#send(call, source, named, windowFor(this.info.threads).most, captured);
  }

  /** What the encoder makes of a picture. Few are read at a time, however many calls there are. */
  #send(call, source, options, most, captured = undefined) {
    return this.#gate.pass(most, async () => {
      if (!captured) options.signal.throwIfAborted();
      const picture = captured ?? (await capturePicture(source, options.name, options));
      const { together = this.#gate.size } = options; // other calls
      return this[CALL](call, picture, { ...options, together, own: picture !== source });
    });
  }
}
