// A tower as a shard.

import { findAssets } from '../network/assets.js';
import { readClipMerges } from '../text/tokenizer.js';

const CLIP_VOCABULARY = 49408;

/**
 * What the shard of an encoder carries for its texts, besides what came with the weights: what was given, or the
 * tokenizer of Hugging Face's that its config names. Where that cannot be had the shard is one without.
 * @param {import('./encoder.js').Encoder} encoder
 * @param {Uint8Array} [given]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Uint8Array | undefined>}
 */
export async function findVocabulary(encoder, given, signal) {
  if (given || encoder.info.tower !== 'text') return given;
  try {
    return (await encoder.texts.readVocabulary(signal)) ?? undefined;
  } catch (error) {
    signal?.throwIfAborted();
    console.warn(`halfclip: the shard takes token ids only, because its tokenizer cannot be read: ${error.message}`);
    return undefined;
  }
}

/**
 * @param {import('./loaded-tower.js').LoadedTower} tower
 * @param {(piece: Uint8Array) => void} write is called with consecutive pieces, which are valid during the call only
 * @param {Uint8Array} [vocabulary] of a text tower: merges or a tokenizer, in place of what came with the weights, or
 *   else CLIP's own
 * @param {(wasm: object, vocabulary: number, length: number) => number} [produce] the function of C that writes it
 */
export function writeShard(
  tower,
  write,
  vocabulary,
  produce = (wasm, ...merges) => wasm.exports.hc_wasm_shard_write(tower.encoder, ...merges),
) {
  return tower.inTurn(undefined, async () => {
    const own = tower.vocabulary;
    const isClips = tower.info.vocabSize >= CLIP_VOCABULARY && !tower.textCfg.hf_tokenizer_name;
    if (!vocabulary && !own && isClips) vocabulary = await readClipMerges(findAssets());
    const wasm = tower.wasm();
    const withMerges = (pointer, length) => wasm.check(produce(wasm, pointer, length), 'no memory left for the shard');
    wasm.write = write;
    if (vocabulary) wasm.with(vocabulary, 'the vocabulary', withMerges);
    else withMerges(own?.pointer ?? 0, own?.length ?? 0);
  });
}
