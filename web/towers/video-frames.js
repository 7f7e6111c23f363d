// The frames of a video, as they are given or out of a file, and each with its neighbours.

import { framesOf } from '../video/frames.js';

/**
 * The frames of a video.
 * @param {unknown} video as given to embed()
 * @param {object} options of framesOf, for all but `{ frames }`
 * @returns {Iterable<unknown> | AsyncIterable<unknown>}
 */
export function listFrames(video, options) {
  const frames = video !== null && typeof video === 'object' ? video.frames : undefined;
  if (frames === undefined) return framesOf(video, options);
  // Not every engine iterates over streams.
  return typeof frames?.getReader === 'function' && !frames[Symbol.asyncIterator] ? readStream(frames) : frames;
}

async function* readStream(stream) {
  const reader = stream.getReader();
  let done = false;
  try {
    for (let value; ({ done, value } = await reader.read()) && !done;) yield value;
  } finally {
    if (!done) reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}

/**
 * Pixels of each frame between those of the one before and the one after, [3, 3, H, W]; beyond the first and the last
 * there are zeros.
 * @param {Iterable<{ pixels: Float32Array }> | AsyncIterable<{ pixels: Float32Array }>} frames
 */
export async function* withNeighbours(frames) {
  let before;
  let frame;
  for await (const after of frames) {
    if (frame) yield join(before, frame, after);
    [before, frame] = [frame, after];
  }
  if (frame) yield join(before, frame);
}

function join(before, frame, after) {
  const { length } = frame.pixels;
  const pixels = new Float32Array(3 * length);
  [before, frame, after].forEach((one, i) => one && pixels.set(one.pixels, i * length));
  return { ...frame, pixels };
}
