// A video element, which the browser seeks. It does not say its rate: frames go by time.

import { untilAborted } from '../base/abort.js';
import { HalfclipError } from '../base/errors.js';
import { breathe } from '../base/platform.js';
import { checkReadable, newCanvas } from '../picture/canvas.js';

/** Milliseconds after which no other frame is waited for. */
const SHOWN_WITHIN = 150;

/** For each element, what settles when nobody seeks it any more. */
const busy = new WeakMap();

/**
 * @param {HTMLVideoElement} element is paused and sought, and afterwards as before
 * @param {{ name: string }} options
 * @param {AbortSignal} signal
 * @returns {Promise<import('./frames.js').Video>}
 */
export async function openElement(element, { name }, signal) {
  const before = busy.get(element);
  let release;
  busy.set(element, Promise.all([before, new Promise((resolve) => (release = resolve))]));
  try {
    await untilAborted(Promise.resolve(before), signal);
    if (element.readyState < element.HAVE_METADATA) {
      const loaded = happens(element, 'loadedmetadata', name, signal);
      if (element.preload === 'none') element.load();
      await loaded;
    }
    const { currentTime, paused, duration } = element;
    if (!(duration < Infinity))
      throw new HalfclipError(
        'input/decode',
        `${name}: the video element plays a stream without an end, which cannot be sought`,
      );
    element.pause();
    const close = () => {
      element.currentTime = currentTime;
      if (!paused) element.play().catch(() => {});
      release();
    };
    const read = async function* (moments, signal) {
      for (const moment of moments) {
        const shown = showsAnother(element);
        const sought = happens(element, 'seeked', name, signal);
        element.currentTime = moment;
        await sought;
        await shown();
        yield draw(element, name);
      }
    };
    return { name, rate: 0, count: 0, duration, certain: false, read, close };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * Notes when the element shows another frame: a busy browser may say that it has sought before it does. The function
 * that is returned waits for that, but not for long: it may be the same frame, or hidden.
 */
function showsAnother(element) {
  if (!element.requestVideoFrameCallback || document.hidden) return () => {};
  let id;
  const shown = new Promise((resolve) => (id = element.requestVideoFrameCallback(resolve)));
  return async () => {
    let timer;
    await Promise.race([shown, new Promise((resolve) => (timer = setTimeout(resolve, SHOWN_WITHIN)))]);
    clearTimeout(timer);
    element.cancelVideoFrameCallback(id);
  };
}

/** Waits for an event, or for what says that it will not come. */
async function happens(element, event, name, signal) {
  const listening = new AbortController();
  const options = { signal: listening.signal, capture: true }; // that of a <source> goes no further
  const happened = new Promise((resolve, reject) => {
    // Which source is taken is decided after an error, or after the address was set.
    const check = () => breathe().then(() => isHopeless(element) && reject(cannotPlay(element, name)));
    element.addEventListener(event, resolve, options);
    element.addEventListener('error', check, options);
    check();
  });
  return untilAborted(happened, signal).finally(() => listening.abort());
}

const isHopeless = ({ error, networkState, NETWORK_EMPTY, NETWORK_NO_SOURCE }) =>
  Boolean(error) || networkState === NETWORK_EMPTY || networkState === NETWORK_NO_SOURCE;

const cannotPlay = ({ currentSrc, error }, name) =>
  new HalfclipError(
    'input/decode',
    `${name}: ${currentSrc || 'the video element'} cannot be played${error?.message ? `: ${error.message}` : ''}`,
  );

function draw(element, name) {
  checkReadable(element, name);
  const { videoWidth: width, videoHeight: height } = element;
  const context = newCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.drawImage(element, 0, 0);
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}
