// What an encoder does with videos: one vector of those of the frames.

/**
 * Puts the vectors of a video's frames into the tower's memory and begins to make one of them; `work` goes on.
 * @template T
 * @param {import('./loaded-tower.js').LoadedTower} tower in whose turn this is
 * @param {Float32Array} frames one after the other, not normalised
 * @param {{ normalize: boolean, name: string, signal?: AbortSignal }} options
 * @param {() => Promise<T>} work
 */
export async function withFrames(tower, frames, { normalize, name, signal }, work) {
  const wasm = tower.wasm(signal);
  const place = wasm.alloc(frames.byteLength, 'the vectors of frames');
  try {
    wasm.floats(place, frames.length).set(frames);
    const count = frames.length / tower.info.dim;
    wasm.check(wasm.exports.hc_embed_video_begin(tower.encoder, place, count, +normalize, tower.output), name);
    return await work();
  } finally {
    wasm.free(place);
  }
}

/**
 * The vector of each video.
 * @param {import('./loaded-tower.js').LoadedTower} tower
 * @param {Float32Array[]} videos the vectors of a video's frames, one after the other, not normalised
 * @param {{ normalize?: boolean, name: string, signal?: AbortSignal }} options name: how messages call it
 */
export function embedVideos(tower, videos, { normalize = true, name, signal }) {
  return tower.inTurn(signal, async () => {
    const vectors = [];
    for (const frames of videos)
      vectors.push(...(await withFrames(tower, frames, { normalize, name, signal }, () => tower.finish(1, signal))));
    return vectors;
  });
}
