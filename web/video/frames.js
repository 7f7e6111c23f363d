// The frames of a video, whatever it comes in.

import { untilAborted } from '../base/abort.js';
import { HalfclipError } from '../base/errors.js';
import { hasTag } from '../base/realm.js';
import { openElement } from './element.js';
import { openFile } from './file.js';
import { checkRange, sampleMoments } from './sampling.js';

/**
 * @typedef {object} Video
 * @property {string} name for messages
 * @property {number} rate frames a second; 0 where they come at no steady rate, or nobody knows
 * @property {number} count how many frames there are, if the rate is known
 * @property {number} duration in seconds
 * @property {boolean} certain whether the file itself says so; else it may end earlier
 * @property {(moments: number[], signal: AbortSignal) => AsyncGenerator<{ data: Uint8Array | Uint8ClampedArray, width:
 *   number, height: number }>} read the pictures that are shown at ascending moments, in seconds from the first frame;
 *   fewer where the file ends before
 * @property {() => void} close
 */

/**
 * The frames of a video that a tower looks at, one after the other, while the next ones are decoded.
 * @param {unknown} source a video's URL, Blob or bytes, a video element, or in Node.js also a path
 * @param {object} options fps, maxFrames, sampling, start, end: as for sampleFrames
 * @param {string} options.name how messages call the source
 * @param {object} [options.mediabunny] the library, which decodes in place of the platform's own way
 * @param {typeof fetch} [options.fetch] and `retry`, `limits`: for a URL
 * @param {AbortSignal} [options.signal]
 * @returns {AsyncGenerator<{ data: Uint8Array | Uint8ClampedArray, width: number, height: number, time: number }>} time:
 *   when the frame is shown, in seconds from the first one
 */
export async function* framesOf(source, { signal = new AbortController().signal, ...options }) {
  checkRange(options);
  signal.throwIfAborted();
  const open = hasTag(source, 'HTMLVideoElement') ? openElement : openFile;
  const video = await open(source, options, signal);
  try {
    const moments = sampleMoments(video, options);
    const pictures = video.read(distinct(moments), signal);
    let i = 0;
    try {
      while (i < moments.length) {
        signal.throwIfAborted();
        const { done, value } = await untilAborted(pictures.next(), signal);
        if (done) break;
        const { at } = moments[i];
        for (; moments[i]?.at === at; i++) {
          signal.throwIfAborted();
          yield { ...value, time: moments[i].time };
        }
      }
    } finally {
      pictures.return().catch(() => {});
    }
    if (i < moments.length && !(i && mayEndAt(moments[i], video))) throw cutOff(video, moments[i]);
  } finally {
    video.close();
  }
}

/** Whether it is no wonder that there is no such frame: a length that was computed of a rounded one may be too long. */
const mayEndAt = ({ time }, { certain, duration, rate }) => !certain || time >= duration - 2 / (rate || 10);

/** Where fewer frames are there than are wanted, each is read once. */
const distinct = (moments) => [...new Set(moments.map(({ at }) => at))];

const cutOff = ({ name, duration }, { time }) =>
  new HalfclipError(
    'input/decode',
    `${name}: there is no frame at ${time.toFixed(3)} s, though the file says that it lasts ${duration.toFixed(3)} s: ` +
      'it is cut off or damaged; option end leaves out what is missing',
  );
