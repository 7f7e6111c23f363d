// A project for Node.js, without the libraries of a page.

import { HalfclipError, cosineSimilarity, loadImageEncoder, loadTextEncoder } from 'halfclip';
import type { EmbedAllOptions, ErrorCode, ImageSource, ImageTower, LoadOptions, TextTower, Weights } from 'halfclip';

const weights: Weights[] = ['a.safetensors', new ArrayBuffer(8), new Uint8Array(8)];
const options: LoadOptions = {
  model: 'ViT-B-32',
  weights: weights[0]!,
  dtype: 'int8',
  cache: { dir: 'towers' },
  retry: { attempts: 2 },
  hub: 'https://example.org',
};

export async function search(query: string, pictures: string[]): Promise<number[]> {
  const text: TextTower = await loadTextEncoder(options);
  const image: ImageTower = await loadImageEncoder(options);
  const sources: ImageSource[] = [...pictures, new Uint8Array(8), { data: new Uint8Array(4), width: 1, height: 1 }];
  const all: EmbedAllOptions = { ahead: 2 };
  const vectors: Float32Array[] = [];
  for await (const { vector } of image.embedAll(sources, all)) if (vector) vectors.push(vector);
  const wanted = await text.embed(query);
  text.dispose();
  return vectors.map((vector) => cosineSimilarity(wanted, vector));
}

export const codeOf = (error: unknown): ErrorCode | undefined =>
  error instanceof HalfclipError ? error.code : undefined;

// @ts-expect-error: an option that does not exist
loadTextEncoder({ ...options, modle: 'ViT-B-32' });

// @ts-expect-error: a number is no picture
loadImageEncoder(options).then((image) => image.embed(7));

// @ts-expect-error: a string is no fetch
loadTextEncoder({ ...options, fetch: 'fetch' });
