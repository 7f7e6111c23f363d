// A CommonJS module that requires LangChain's Embeddings.

import { HalfclipEmbeddings } from 'halfclip/langchain';

export const embed = (text: string): Promise<number[]> =>
  new HalfclipEmbeddings({ model: 'ViT-B-32' }).embedQuery(text);
