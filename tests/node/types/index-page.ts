// An index in a page.

import { VectorIndex } from 'halfclip/index';

export async function keep(index: VectorIndex, handle: FileSystemFileHandle, signal: AbortSignal): Promise<Blob> {
  await index.save('photos.index', { signal });
  await index.save(handle);
  await index.save(new WritableStream<Uint8Array>());
  const blob: Blob = await index.save();
  for (const source of [handle, blob, new URL('https://example.org/photos.index'), blob.stream()])
    index.merge(await VectorIndex.load(source, { signal, fetch }));
  // @ts-expect-error: the size is what it is
  index.size = 3;
  return blob;
}
