// A tower as a shard.

import { findAssets } from '../network/assets.js';
import { readClipMerges } from '../text/tokenizer.js';

const CLIP_VOCABULARY = 49408;

/**
 * @param {import('./loaded-tower.js').LoadedTower} tower
 * @param {(piece: Uint8Array) => void} write is called with consecutive pieces, which are valid during the call only
 * @param {Uint8Array} [vocabulary] of a text tower: merges, in place of those that came with the weights, or else
 *   CLIP's own
 */
export function writeShard(tower, write, vocabulary) {
  return tower.inTurn(undefined, async () => {
    const own = tower.vocabulary;
    const isClips = tower.info.vocabSize >= CLIP_VOCABULARY && !tower.textCfg.hf_tokenizer_name;
    if (!vocabulary && !own && isClips) vocabulary = await readClipMerges(findAssets());
    const wasm = tower.wasm();
    const produce = (pointer, length) => {
      const status = wasm.exports.hc_wasm_shard_write(tower.encoder, pointer, length);
      wasm.check(status, 'no memory left for the shard');
    };
    wasm.write = write;
    if (vocabulary) wasm.with(vocabulary, 'the vocabulary', produce);
    else produce(own?.pointer ?? 0, own?.length ?? 0);
  });
}
