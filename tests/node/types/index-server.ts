// An index in Node.js, without the DOM library.

import { HalfclipError, VectorIndex, type Id, type Pair, type Result } from 'halfclip/index';

export async function search(path: string, query: Float32Array): Promise<Id[]> {
  const index = new VectorIndex({ dim: 512, dtype: 'int8', metadata: { model: 'ViT-B-32' } });
  index.add('IMG_0001.jpg', query, { data: { size: 12 } });
  index.replace(7, [1, 2, 3]);
  if (index.has(7) && index.remove(7)) index.merge(await VectorIndex.load(path));
  const found: Result[] = index.search(query, { limit: 20, filter: (id) => typeof id === 'string' });
  const pairs: Pair[] = index.duplicates({ above: 0.97 });
  await index.save(path);
  const blob = await index.save();
  const back = await VectorIndex.load(blob, { salvage: true });
  const vector: Float32Array | undefined = back.get('IMG_0001.jpg')?.vector;
  return vector ? [...index.ids(), ...found.map(({ id }) => id), ...pairs.flatMap(({ ids }) => ids)] : [];
}

export const codeOf = (error: unknown): string | undefined => (error instanceof HalfclipError ? error.code : undefined);

// @ts-expect-error: vectors have a length
new VectorIndex({ dtype: 'int8' });

// @ts-expect-error: an option that does not exist
VectorIndex.load('photos.index', { repair: true });
