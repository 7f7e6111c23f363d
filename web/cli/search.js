// halfclip search: pictures or videos of an index, by words or by another one.

import path from 'node:path';

import { printable } from '../base/errors.js';
import { HalfclipError, loadImageEncoder, loadTextEncoder, loadVideoEncoder } from '../node/index.js';
import { LOAD_HELP, LOAD_OPTIONS, UsageError, countOf, loadOptions } from './options.js';
import { loadPictureIndex, momentOf, readPictureMetadata } from './picture-index.js';
import { print } from './terminal.js';
import { clock, videoOptions } from './videos.js';
import { openPicture } from './viewer.js';

export const summary = 'pictures or videos of an index, by words or by another one';

export const help = `halfclip search INDEX TEXT: the pictures or videos of an index that fit a text best
halfclip search INDEX --picture FILE|URL: those that are nearest to a picture
halfclip search INDEX --video FILE|URL: those that are nearest to a video

  --moments                              of an index of videos: the seconds of films that fit best
  --limit N                              how many (default: 10; with --open 1)
  --json                                 JSON lines {"input", "score"}, of moments also "time", in seconds
  --open                                 also opens them in the viewer of the system
${LOAD_HELP}
  The index remembers the model and the weights; --weights names those of the text tower where it was made with a shard of the image
  tower.
`;

export const options = {
  ...LOAD_OPTIONS,
  picture: { type: 'string' },
  video: { type: 'string' },
  moments: { type: 'boolean' },
  limit: { type: 'string' },
  json: { type: 'boolean' },
  open: { type: 'boolean' },
};

const LOAD = {
  text: loadTextEncoder,
  image: loadImageEncoder,
  video: (options, tower) => loadVideoEncoder({ ...options, ...videoOptions(tower) }),
};

export async function run({ moments = false, ...values }, args, signal) {
  const { picture, video, json, open } = values;
  const [file, query, ...more] = args;
  const [given, ...others] = Object.entries({ text: query, image: picture, video }).filter(
    ([, what]) => what !== undefined,
  );
  if (file === undefined || more.length || !given || others.length)
    throw new UsageError('search needs an index and either a text, in quotes, --picture or --video');
  const limit = countOf('limit', values.limit) ?? (open ? 1 : 10);

  const { folder, tower } = await readPictureMetadata(file);
  const isOfFilms = tower.tower === 'video';
  if (moments && !isOfFilms) throw new UsageError(`${file}: is no index of videos, which have moments`);
  const [vector, { index }] = await Promise.all([
    embedOne(given, values, tower, signal),
    loadPictureIndex(file, signal),
  ]);
  if (vector.length !== index.dim)
    throw new HalfclipError(
      'weights/mismatch',
      `${file}: holds vectors of ${index.dim} numbers, this tower makes vectors of ${vector.length}: expected the one that the index was made with`,
    );
  const filter = isOfFilms ? (id, data) => Boolean(momentOf(data)) === moments : undefined;
  for (const { id, score, data } of index.search(vector, { limit, filter })) {
    const { of = id, time } = momentOf(data) ?? {};
    const input = path.join(folder, String(of));
    const when = time === undefined ? '' : `  ${clock(time)}`;
    await print(json ? JSON.stringify({ input, score, time }) : `${score.toFixed(4)}  ${printable(input)}${when}`);
    if (open) await openPicture(input);
  }
}

/** The vector of what is looked for, by the tower that an index remembers. */
async function embedOne([asking, query], values, { 'text-weights': textWeights, ...tower }, signal) {
  if (asking === 'text' && textWeights !== undefined) tower.weights = textWeights;
  // One input is computed sooner than more threads have started.
  const options = await loadOptions({ threads: '1', ...tower, ...values }, signal);
  const encoder = await LOAD[asking](options, tower);
  try {
    return await encoder.embed(query, { signal });
  } finally {
    encoder.dispose();
  }
}
