// Clips: of each, frames are taken by the browser's own <video>, which needs no library, and each frame is found like a
// picture, so that a clip can be played from the one that fits. (loadVideoEncoder makes one vector of a clip, which
// finds the clip and not the place in it.) Frames are called by a media fragment: `clip.mp4#t=5`.

import { formatDuration } from './format.js';

/** Seconds between two frames, more where there would be too many. */
const EVERY = 1;
const MOST = 60;
/** Long side of a frame in pixels: more than towers take. */
const SIDE = 640;

const happens = (target, name) =>
  new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener('error', () => reject(new Error('This browser cannot play it.')), { once: true });
  });

/**
 * Frames of a clip: one a second.
 * @param {File} file
 * @returns {Promise<{ time: number, blob: Blob }[]>} seconds, and a JPEG
 */
async function framesOf(file) {
  const video = document.createElement('video');
  video.muted = true;
  video.preload = 'auto';
  video.src = URL.createObjectURL(file);
  try {
    await happens(video, 'loadeddata');
    const { duration, videoWidth, videoHeight } = video;
    if (!Number.isFinite(duration) || videoWidth === 0) throw new Error('It has no pictures, or no end.');
    const scale = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
    const canvas = document.createElement('canvas');
    canvas.width = Math.max(1, Math.round(videoWidth * scale));
    canvas.height = Math.max(1, Math.round(videoHeight * scale));
    const context = canvas.getContext('2d');
    const frames = [];
    const step = Math.max(EVERY, duration / MOST);
    for (let time = 0; time < duration; time += step) {
      if (time > 0) {
        video.currentTime = time;
        await happens(video, 'seeked');
      }
      context.drawImage(video, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.9));
      frames.push({ time: Math.round(time * 1000) / 1000, blob });
    }
    return frames;
  } finally {
    URL.revokeObjectURL(video.src);
    video.removeAttribute('src');
    video.load(); // gives its decoder back
  }
}

/**
 * @param {object} parts
 * @param {object} parts.library  what library-worker.js answers
 * @returns {{ add(clips: { file: File, path: string, source?: object }[]): Promise<number>, fileOf(picture: object):
 *   Promise<File | null> }}
 */
export function createClips({ library, notices }) {
  const files = new Map(); // by path, those that came without a handle
  let adding = Promise.resolve();

  async function addClip({ file, path, source = {} }) {
    if (!source.handle && !source.folder) files.set(path, file);
    const { size, lastModified } = file;
    if (await library.hasClip({ path, size, modified: lastModified })) return;
    notices.show('clips', `Pictures are taken out of “${file.name}”.`);
    try {
      const frames = await framesOf(file);
      await library.add(
        frames.map(({ time, blob }) => ({
          file: new File([blob], `${file.name} ${formatDuration(1000 * time)}`, { type: blob.type, lastModified }),
          path: `${path}#t=${time}`,
          size,
          source: { ...source, clip: path, time },
        })),
      );
      notices.clear('clips');
    } catch ({ message }) {
      notices.show('clips', `“${file.name}” cannot be read. ${message}`);
    }
  }

  return {
    /** One after the other: each takes a decoder. */
    async add(clips) {
      for (const clip of clips) adding = adding.then(() => addClip(clip));
      await adding;
      return clips.length;
    },

    /** The clip that a frame is of, where its file can still be had. */
    fileOf: async ({ id, clip }) => files.get(clip) ?? (await library.clip(id)),
  };
}
