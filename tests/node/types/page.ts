// A page's project: every part of the interface used as intended, and misuse that must not compile.

import { HalfclipError, cosineSimilarity, loadImageEncoder, loadTextEncoder } from 'halfclip';
import type {
  CacheOptions,
  EmbedProgress,
  ErrorCode,
  ImageInfo,
  ImageSource,
  ImageTower,
  LoadOptions,
  Outcome,
  Progress,
  TextInfo,
  TextTower,
  Weights,
} from 'halfclip';

const weights: Weights[] = [
  'a.safetensors',
  new URL('https://example.org/a'),
  new Blob([]),
  new ArrayBuffer(8),
  new Uint8Array(8),
];

const options: LoadOptions = {
  model: 'ViT-B-32',
  weights: weights[0],
  dtype: 'int8',
  threads: 'auto',
  worker: true,
  cache: 'no-store',
  integrity: 'sha256-',
  signal: new AbortController().signal,
  onProgress({ phase, loaded, total }: Progress) {
    console.log(phase, loaded / (total ?? 1));
  },
  fetch,
};

const cache: CacheOptions = { mode: 'reload', dir: 'towers', maxBytes: 1e9, persist: true };
const kept: LoadOptions[] = [
  { cache },
  { cache: 'reload' },
  { cache: {} },
  { limits: { json: 1e6, tokenizer: 1e8, picture: 1e6, whole: 1e6, weights: 1e9 } },
  { tokenizer: 'https://example.org/tokenizer.json', language: 'eng_Latn' },
  { tokenizer: new Blob([]) },
  { tokenizer: { model: { type: 'BPE' } } },
];

export async function texts(): Promise<number> {
  const text: TextTower = await loadTextEncoder(options);
  const one: Float32Array = await text.embed('a cat');
  const many: Float32Array[] = await text.embed(['a cat', 'a dog'], { normalize: false, signal: options.signal });
  const ids: Int32Array = await text.tokenize('a cat');
  const same: Float32Array[] = await text.embedTokens([ids]);
  const info: TextInfo = text.info;
  const cached: boolean = info.cached;
  console.log(info.contextLength, many, same, cached, kept);
  text.dispose();
  return cosineSimilarity(one, many[0]!);
}

export async function pictures(element: HTMLImageElement, bitmap: ImageBitmap): Promise<void> {
  const image: ImageTower = await loadImageEncoder({
    model: { model_cfg: {}, preprocess_cfg: {} },
    weights: weights[1],
  });
  const sources: ImageSource[] = [
    element,
    bitmap,
    new Blob([]),
    { data: new Uint8ClampedArray(4), width: 1, height: 1 },
    'a.png',
    new ImageData(1, 1),
  ];
  const vectors: Float32Array[] = await image.embed(sources);
  const pixels: Float32Array = await image.preprocess(element);
  const turned: Float32Array[] = await image.embed([element], {
    orientation: 'none',
    maxPixels: 1e9,
    normalize: false,
  });
  console.log(turned);
  const vector: Float32Array = await image.embedPixels(pixels);
  const info: ImageInfo = image.info;
  const size: number | [number, number] = info.imageSize;
  console.log(vectors, vector, size);
}

export async function streams(
  image: ImageTower,
  text: TextTower,
  files: AsyncIterable<File>,
): Promise<HalfclipError[]> {
  const errors: HalfclipError[] = [];
  const onProgress = ({ phase, loaded, total }: EmbedProgress) => console.log(phase, loaded, total ?? '?');
  for await (const outcome of image.embedAll(files, {
    ahead: 4,
    normalize: false,
    signal: options.signal,
    onProgress,
  })) {
    const file: File = outcome.source;
    if (outcome.error) errors.push(outcome.error);
    else console.log(outcome.index, file.name, outcome.vector.length);
  }
  for await (const { vector, error } of text.embedAll(new Set(['a cat']))) console.log(vector ?? error.code);
  const outcomes: Outcome<string>[] = [];
  for await (const outcome of text.embedAll(['a cat'])) outcomes.push(outcome);
  return errors;
}

export function codeOf(error: unknown): ErrorCode | number | undefined {
  return error instanceof HalfclipError ? (error.status ?? error.code) : undefined;
}

// @ts-expect-error: an option that does not exist
loadTextEncoder({ ...options, quantized: true });

// @ts-expect-error: an option of the cache that does not exist
loadTextEncoder({ ...options, cache: { directory: 'towers' } });

// @ts-expect-error: an unknown dtype
loadTextEncoder({ ...options, dtype: 'fp8' });

// @ts-expect-error: an unknown mode of the cache
loadTextEncoder({ ...options, cache: 'force-cache' });

export async function misuse(text: TextTower, image: ImageTower): Promise<void> {
  // @ts-expect-error: a number is no text
  await text.embed(7);
  // @ts-expect-error: an option that does not exist
  await text.embed('a', { normalise: false });
  // @ts-expect-error: an option that makes nothing of token ids
  await text.tokenize('a', { normalize: false });
  // @ts-expect-error: numbers are no texts
  text.embedAll([7]);
  // @ts-expect-error: an option of pictures
  await text.embed('a', { orientation: 'none' });
  // @ts-expect-error: token ids are an Int32Array
  await text.embedTokens([1, 2, 3]);
  // @ts-expect-error: one text gives one vector
  const wrong: Float32Array[] = await text.embed('a');
  // @ts-expect-error: info cannot be changed
  image.info.dim = 3;
  console.log(wrong);
}
