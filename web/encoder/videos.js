// What an encoder does with videos: one vector of those of the frames.

/**
 * The vector of each video.
 * @param {import('./loaded-tower.js').LoadedTower} tower
 * @param {Float32Array[]} videos the vectors of a video's frames, one after the other, not normalised
 * @param {{ normalize?: boolean, name: string, signal?: AbortSignal }} options name: how messages call it
 */
export function embedVideos(tower, videos, { normalize = true, name, signal }) {
  return tower.inTurn(signal, async () => {
    const vectors = [];
    for (const frames of videos) {
      const wasm = tower.wasm(signal);
      const count = frames.length / tower.info.dim;
      const place = wasm.alloc(frames.byteLength, 'the vectors of frames');
      try {
        wasm.floats(place, frames.length).set(frames);
        const status = wasm.exports.hc_embed_video_begin(tower.encoder, place, count, +normalize, tower.output);
        wasm.check(status, name);
        vectors.push(...(await tower.finish(1, signal)));
      } finally {
        wasm.free(place);
      }
    }
    return vectors;
  });
}
