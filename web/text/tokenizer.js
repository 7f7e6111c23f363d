// CLIP's byte-pair encoding for one text tower: which vocabulary and cleaning its config asks for, and ids from text.

import { HalfclipError, describe } from '../base/errors.js';
import { readAsset } from '../network/assets.js';
import { CLEANS } from '../wasm/interface.js';
import { exhausted } from '../wasm/memory.js';

/**
 * CLIP's own list of merges.
 * @param {Record<string, string[]>} places from findAssets
 */
export const readClipMerges = (places) => readAsset('clip-merges.bin', places['clip-merges.bin']);

/**
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {object} textCfg OpenCLIP's text_cfg
 * @param {{ pointer: number, length: number } | null} vocabulary the merges that came with the weights, in wasm's
 *   memory
 * @param {string} name of the model, for messages
 * @param {Record<string, string[]>} places from findAssets
 */
export async function createTokenizer(wasm, textCfg, vocabulary, name, places) {
  const unsupported = (what) =>
    new HalfclipError(
      'model/unsupported',
      `${name}: its tokenizer ${what} is not CLIP's byte-pair encoding: pass token ids to embedTokens()`,
    );
  const { clean = 'lower', ...others } = textCfg.tokenizer_kwargs ?? {};
  if (textCfg.hf_tokenizer_name) throw unsupported(JSON.stringify(textCfg.hf_tokenizer_name));
  if (!(clean in CLEANS)) throw unsupported(`with clean ${JSON.stringify(clean)}`);
  for (const option of ['reduction_mask', 'additional_special_tokens', 'language']) {
    if (others[option]?.length) throw unsupported(`with ${option}`);
  }
  const { exports } = wasm;
  const make = (pointer, length) => exports.hc_tokenizer_new(pointer, length, CLEANS[clean]);
  const tokenizer = vocabulary
    ? make(vocabulary.pointer, vocabulary.length)
    : wasm.with(await readClipMerges(places), 'the vocabulary', make);
  if (!tokenizer)
    throw vocabulary
      ? new HalfclipError('weights/corrupt', `${name}: its vocabulary is not a list of merges`)
      : exhausted('the tokenizer');

  return {
    /** Int32Array(contextLength) of each text. */
    tokenize(texts, contextLength) {
      const ids = wasm.alloc(4 * contextLength, 'token ids');
      try {
        return texts.map((text) => {
          wasm.with(text, 'a text', (pointer, length) =>
            wasm.check(
              exports.hc_tokenize(tokenizer, pointer, length, ids, contextLength, 0),
              `cannot tokenize ${describe(text)}`,
            ),
          );
          return wasm.ints(ids, contextLength).slice();
        });
      } finally {
        wasm.free(ids);
      }
    },
  };
}
