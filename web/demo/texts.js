// Sentences among each other, by the vectors that a model makes of them.

import { VectorIndex } from '../vector-index.js';
import { grouped } from './groups.js';

/** The sentences by their vectors; null if there are none. */
async function indexOf(sentences, embed) {
  if (sentences.length === 0) return null;
  const vectors = await embed(sentences);
  const index = new VectorIndex({ dim: vectors[0].length, dtype: 'fp32' });
  sentences.forEach((sentence, i) => index.add(sentence, vectors[i]));
  return index;
}

/** The closest pairs, without looking at all pairs where there are enough that are close. */
function closestOf(index, limit) {
  let found;
  for (const above of [0.9, 0.7, 0.4, -1]) {
    found = index.duplicates({ above, limit });
    if (found.length >= limit) break;
  }
  return found;
}

/**
 * @param {string[]} sentences
 * @param {{ above: number, pairs: number, vectors: number }} options  the least score of two of a group, and how many of the
 *   closest pairs, and of the first sentences' vectors, are wanted
 * @param {(texts: string[]) => Promise<Float32Array[]>} embed
 */
export async function compareTexts(sentences, { above, pairs, vectors }, embed) {
  const index = await indexOf(sentences, embed);
  const closest = index ? closestOf(index, pairs) : [];
  return {
    pairs: closest.map(({ ids, score }) => ({ texts: ids, score })),
    groups: grouped(index?.duplicates({ above }) ?? [], sentences),
    vectors: await embed(sentences.slice(0, vectors)),
  };
}

/** The sentences that are nearest to a text. */
export async function nearestTexts(text, sentences, limit, embed) {
  const index = await indexOf(sentences, embed);
  const [vector] = await embed([text]);
  return index?.search(vector, { limit }) ?? [];
}
