// halfclip search: pictures of an index, by words or by a picture.

import path from 'node:path';

import { printable } from '../base/errors.js';
import { HalfclipError, loadImageEncoder, loadTextEncoder } from '../node/index.js';
import { LOAD_HELP, LOAD_OPTIONS, UsageError, countOf, loadOptions } from './options.js';
import { loadPictureIndex, readPictureMetadata } from './picture-index.js';
import { print } from './terminal.js';
import { openPicture } from './viewer.js';

export const summary = 'pictures of an index, by words or by a picture';

export const help = `halfclip search INDEX TEXT: the pictures of an index that fit a text best
halfclip search INDEX --picture FILE|URL: those that are nearest to a picture

  --limit N                              how many (default: 10; with --open 1)
  --json                                 JSON lines {"input", "score"}
  --open                                 also opens them in the viewer of the system
${LOAD_HELP}
  The index remembers the model and the weights; --weights names those of the text tower where it was made with a shard of the image
  tower.
`;

export const options = {
  ...LOAD_OPTIONS,
  picture: { type: 'string' },
  limit: { type: 'string' },
  json: { type: 'boolean' },
  open: { type: 'boolean' },
};

export async function run(values, args, signal) {
  const { picture, json, open } = values;
  const [file, query, ...more] = args;
  if (file === undefined || more.length || (query === undefined) === (picture === undefined))
    throw new UsageError('search needs an index and either a text, in quotes, or --picture');
  const limit = countOf('limit', values.limit, open ? 1 : 10);

  const { folder, tower } = await readPictureMetadata(file);
  const [vector, { index }] = await Promise.all([
    embedOne({ text: query, picture }, values, tower, signal),
    loadPictureIndex(file, signal),
  ]);
  if (vector.length !== index.dim)
    throw new HalfclipError(
      'weights/mismatch',
      `${file}: holds vectors of ${index.dim} numbers, this tower makes vectors of ${vector.length}: expected the one that the index was made with`,
    );
  for (const { id, score } of index.search(vector, { limit })) {
    const input = path.join(folder, String(id));
    await print(json ? JSON.stringify({ input, score }) : `${score.toFixed(4)}  ${printable(input)}`);
    if (open) await openPicture(input);
  }
}

/** The vector of a text or a picture, by the tower that an index remembers. */
async function embedOne({ text, picture }, values, { 'text-weights': textWeights, ...tower }, signal) {
  const isText = picture === undefined;
  if (isText && textWeights !== undefined) tower.weights = textWeights;
  // One input is computed sooner than more threads have started.
  const options = await loadOptions({ threads: '1', ...tower, ...values }, signal);
  const load = isText ? loadTextEncoder : loadImageEncoder;
  const encoder = await load(options);
  try {
    return await encoder.embed(text ?? picture, { signal });
  } finally {
    encoder.dispose();
  }
}
