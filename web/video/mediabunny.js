// Files that the library mediabunny reads and the platform's WebCodecs decode. The caller gives the library: what this
// package imported itself, bundlers would look for in every page.

import { HalfclipError, messageOf } from '../base/errors.js';
import { newCanvas } from '../picture/canvas.js';
import { readBytes } from '../sources/source.js';

const PACKETS = 120; // that tell at which rate frames come
const REORDERED = 16; // of them, at the end, between which others may be shown
const ROUNDED = 0.0011; // seconds: WebM has time stamps in milliseconds

/**
 * @param {typeof import('mediabunny')} mediabunny
 * @param {object} source of web/sources
 * @param {AbortSignal} signal
 * @returns {Promise<import('./frames.js').Video>}
 */
export async function openWithMediabunny(
  { Input, CustomSource, ALL_FORMATS, VideoSampleSink, EncodedPacketSink },
  source,
  signal,
) {
  let failure; // of reading, which mediabunny has its own words for
  const input = new Input({
    formats: ALL_FORMATS,
    source: new CustomSource({
      getSize: () => source.size,
      read: (begin, end) =>
        readBytes(source, begin, end).catch((error) => {
          failure ??= error;
          throw error;
        }),
      prefetchProfile: 'network',
      handleUnhandledError: () => {},
    }),
  });
  const close = () => {
    input.dispose();
    source.close();
  };
  const explained = (error) => {
    if (signal.aborted) return signal.reason;
    if (failure) return failure;
    if (error instanceof HalfclipError) return error;
    return new HalfclipError('input/decode', `${source.name}: cannot be read as a video: ${messageOf(error)}`, {
      cause: error,
    });
  };
  try {
    const track = await videoTrack(input, source);
    const { begin, rate, duration } = await timing(track, new EncodedPacketSink(track));
    const sink = new VideoSampleSink(track);
    const read = async function* (moments) {
      try {
        for await (const sample of sink.samplesAtTimestamps(moments.map((moment) => begin + moment))) {
          if (!sample) return;
          try {
            yield draw(sample);
          } finally {
            sample.close();
          }
        }
      } catch (error) {
        throw explained(error);
      }
    };
    return { name: source.name, rate, count: Math.round(duration * rate), duration, certain: true, read, close };
  } catch (error) {
    close();
    throw explained(error);
  }
}

async function videoTrack(input, { name, size }) {
  if (size === 0) throw new HalfclipError('input/decode', `${name}: is empty`);
  const track = await input.getPrimaryVideoTrack();
  if (!track) throw new HalfclipError('input/decode', `${name}: has no video, only sound`);
  if (!(await track.canDecode())) {
    const codec = (await track.getCodecParameterString()) ?? 'an unknown codec';
    throw new HalfclipError('input/decode', `${name}: holds ${codec}, which this browser does not decode`);
  }
  return track;
}

/** When the first frame is shown, in the file's time, and the rate and the length. */
async function timing(track, packets) {
  const begin = Math.max(0, await track.getFirstTimestamp()); // what lies before 0 is not shown
  const duration = (await track.computeDuration()) - begin;
  const times = [];
  for await (const { timestamp } of packets.packets(undefined, undefined, { metadataOnly: true }))
    if (times.push(timestamp) === PACKETS) break;
  times.sort((a, b) => a - b);
  if (times.length === PACKETS) times.length -= REORDERED;
  return { begin, duration, rate: steadyRate(times) || (times.length === 1 && duration > 0 ? 1 / duration : 0) };
}

/** Frames a second; 0 if they do not come at a steady rate. */
function steadyRate(times) {
  const interval = (times.at(-1) - times[0]) / (times.length - 1);
  if (!(interval > 0) || times.some((time, i) => Math.abs(time - times[0] - i * interval) > ROUNDED)) return 0;
  const [rate, whole] = [1 / interval, Math.round(1 / interval)];
  // Time stamps are rounded; these rates are usual.
  return [whole, whole / 1.001].find((usual) => Math.abs(rate / usual - 1) < 4e-4) ?? rate;
}

/** What is shown of a frame: turned, with square pixels. */
function draw(sample) {
  const { displayWidth: width, displayHeight: height } = sample;
  const context = newCanvas(width, height).getContext('2d', { willReadFrequently: true });
  sample.draw(context, 0, 0);
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}
