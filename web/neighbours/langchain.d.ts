/** LangChain.js: the two towers of a model as its Embeddings. */

import { Embeddings, type EmbeddingsParams } from '@langchain/core/embeddings';
import type { EmbedOptions, ImageSource, ImageTower, LoadOptions, PictureOptions, TextTower } from 'halfclip';

/**
 * What both towers are loaded with, and how often LangChain may call at once; vectors are computed here, so that it never
 * has to repeat a call.
 */
export interface HalfclipEmbeddingsOptions extends LoadOptions, EmbeddingsParams {
  /**
   * A text encoder that is loaded, which stays the caller's to dispose of; or options that the text tower has otherwise
   * than both, such as a shard of its own.
   */
  text?: TextTower | LoadOptions | undefined;
  /** The same of the image encoder. */
  image?: ImageTower | LoadOptions | undefined;
}

/**
 * Texts and pictures as vectors of length 1 in one space. A tower is loaded by the first call that needs it: who embeds
 * only texts never loads the other.
 */
export class HalfclipEmbeddings extends Embeddings {
  constructor(options?: HalfclipEmbeddingsOptions);
  embedDocuments(documents: string[]): Promise<number[][]>;
  embedQuery(document: string): Promise<number[]>;
  /** For a store's `addVectors(vectors, documents)`. */
  embedImages(images: readonly ImageSource[], options?: EmbedOptions & PictureOptions): Promise<number[][]>;
  /** For a store's `similaritySearchVectorWithScore(vector, k)`. */
  embedImageQuery(image: ImageSource, options?: EmbedOptions & PictureOptions): Promise<number[]>;
  /** Frees the towers that were loaded here; later calls reject with `state/disposed`. */
  dispose(): void;
  [Symbol.dispose](): void;
}
