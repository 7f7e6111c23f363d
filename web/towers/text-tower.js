// What loadTextEncoder() gives.

import { HalfclipError, describe, isFatal } from '../base/errors.js';
import { CALL_OPTIONS, EMBED_ALL_OPTIONS, readOptions } from '../base/options.js';
import { embedTexts, embedTokens, tokenize } from '../encoder/calls.js';
import { nameInput } from '../encoder/messages.js';
import { batched } from './batched.js';
import { ALL, CALL, EACH, Tower, arrayChecker } from './tower.js';

// How many texts are under way besides the one that is waited for, unless the caller says.
const TEXTS_AHEAD = 127;

/** A text tower. Each method takes one input or an array, and gives one output or an array in the same order. */
export class TextTower extends Tower {
  /** Vectors of texts. */
  embed(texts, options) {
    return this[EACH](embedTexts, texts, checkText, options);
  }

  /** Vectors of texts as they come, and what is wrong with those that have none. */
  async *embedAll(texts, options = {}) {
    const { ahead = TEXTS_AHEAD, ...others } = readOptions(options, EMBED_ALL_OPTIONS);
    // Many are sent at once. If that fails, embedding each alone tells which of them it was.
    const send = batched(Math.ceil((ahead + 1) / 2), (items) => {
      const together = this[CALL](
        embedTexts,
        items.map(({ text }) => text),
        { ...items[0].options, many: true },
      );
      const alone = async ({ text, index, options }) =>
        (await this[CALL](embedTexts, [text], { ...options, many: true, first: index }))[0];
      const mayBeOthers = (error) => {
        if (isFatal(error)) throw error;
      };
      return items.map(async (item, i) => (await together.catch(mayBeOthers))?.[i] ?? alone(item));
    });
    yield* this[ALL](
      texts,
      async (text, index, options) => send({ text: checkText(text, nameInput(index, true)), index, options }),
      { ...others, ahead },
    );
  }

  /** Token ids of texts, as OpenCLIP's tokenizer gives them. */
  tokenize(texts, options) {
    return this[EACH](tokenize, texts, checkText, options, CALL_OPTIONS);
  }

  /** Vectors of token ids. */
  embedTokens(ids, options) {
    return this[EACH](embedTokens, ids, arrayChecker(Int32Array, this.info.contextLength), options);
  }
}

function checkText(text, name) {
  if (typeof text !== 'string')
    throw new HalfclipError('input/type', `${name} is ${describe(text)}, expected a string`);
  return text;
}
