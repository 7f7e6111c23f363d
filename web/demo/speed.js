// How fast a model is going to be here that was not used yet: from one that was, or from the bundled one.
//
// What the page measures while it reads pictures is, of the bundled model, mostly their decoding. So its towers are timed
// alone, once, when they are first loaded.

/** What is timed: so many inputs at a time, so many times, of which the fastest counts. */
const BATCH = 8;
const TIMES = 5;
const TEXT = 'a photo of a red bicycle';
/**
 * How long the bundled model's towers take alone, beside the same of ViT-B-32 on one thread: their multiplications are a
 * 72nd and, of this text, a 26th of ViT-B-32's, and small towers compute at 0.6 to 0.7 of the speed of large ones. Off by
 * 6 % at most for the image towers of ViT-B-32, ViT-B-16 and ViT-L-14 and 10 % for their text towers, at int8, on an AMD
 * EPYC; where an instruction helps large matrices alone it may be off by more.
 */
const ALONE = { image: 0.019, text: 0.069 };
/** How much faster several threads are: a large tower uses them, the bundled one none. Two: 1.8 times. */
const GAIN = 0.85;
const MOST_THREADS = 8;

const threads = () =>
  globalThis.crossOriginIsolated ? Math.min(globalThis.navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;

/**
 * Milliseconds that one input takes a loaded tower, nothing else included.
 * @param {'image' | 'text'} kind
 * @param {object} encoder
 */
export async function timeAlone(kind, encoder) {
  const pixels = kind === 'image' && new Float32Array(3 * encoder.info.imageSize ** 2);
  const inputs = Array.from({ length: BATCH }, () => pixels || TEXT);
  let least = Infinity;
  for (let time = 0; time < TIMES; time++) {
    const start = performance.now();
    await (pixels ? encoder.embedPixels(inputs) : encoder.embed(inputs));
    least = Math.min(least, (performance.now() - start) / BATCH);
  }
  return least;
}

/**
 * @param {{ pace?: { image: number, text: number } }} model  see KNOWN
 * @param {{ pace?: { image: number, text: number }, speed?: { image?: number, text?: number }, alone?: { image?: number,
 *   text?: number } }[]} models  all of them, with what was measured here
 * @param {'image' | 'text'} kind
 * @param {number} [count] of threads
 * @returns {number | undefined} milliseconds
 */
export function estimateSpeed({ pace }, models, kind, count = threads()) {
  if (!pace) return undefined;
  const used = models.find(({ pace, speed }) => pace && speed?.[kind]);
  if (used) return (used.speed[kind] * pace[kind]) / used.pace[kind];
  const bundled = models.find(({ alone }) => alone?.[kind]);
  return bundled && ((bundled.alone[kind] / ALONE[kind]) * pace[kind]) / count ** GAIN;
}
