// LangChain's Embeddings, with towers and without.

import type { EmbeddingsInterface } from '@langchain/core/embeddings';
import { loadImageEncoder } from 'halfclip';
import { HalfclipEmbeddings, type HalfclipEmbeddingsOptions } from 'halfclip/langchain';

export async function vectors(files: Uint8Array[]): Promise<number[][]> {
  const image = await loadImageEncoder({ weights: 'image.safetensors' });
  const options: HalfclipEmbeddingsOptions = { model: 'ViT-B-32', text: { weights: 'text.safetensors' }, image };
  const embeddings = new HalfclipEmbeddings({ ...options, maxConcurrency: 2 });
  const general: EmbeddingsInterface = embeddings;
  const query: number[] = await general.embedQuery('a cat');
  const pictures: number[][] = await embeddings.embedImages(files, { orientation: 'none' });
  const picture: number[] = await embeddings.embedImageQuery('owl.jpg');
  embeddings.dispose();
  return [query, picture, ...pictures, ...(await embeddings.embedDocuments(['a']))];
}

// @ts-expect-error: documents come in arrays
new HalfclipEmbeddings().embedDocuments('a');

// @ts-expect-error: an option that does not exist
new HalfclipEmbeddings({ modle: 'ViT-B-32' });
