/** Half of CLIP: an image encoder, a text encoder or a video encoder, loaded alone. */

declare global {
  interface SymbolConstructor {
    /** For `using`; of TypeScript 5.2 and newer. */
    readonly dispose: unique symbol;
  }
}

/** A class of the platform, where the project's libraries declare it: a project for Node.js has none of a page's. */
type Platform<Name extends string, Otherwise = never> = typeof globalThis extends {
  [name in Name]: { prototype: infer Instance };
}
  ? Instance
  : Otherwise;

/** A Blob or a File, whoever made it. */
export interface BlobLike {
  readonly size: number;
  readonly type: string;
  arrayBuffer(): Promise<ArrayBuffer>;
  slice(start?: number, end?: number): BlobLike;
}

type UrlObject = Platform<'URL', { readonly href: string; readonly protocol: string; toString(): string }>;

/** A WebAssembly.Module, in projects that know that class. */
type WasmModule = typeof globalThis extends { WebAssembly: { Module: { prototype: infer Module } } } ? Module : object;

type Signal = Platform<
  'AbortSignal',
  { readonly aborted: boolean; addEventListener(type: 'abort', listener: () => void): void }
>;

type Fetch = typeof globalThis extends { fetch: infer Function }
  ? Function
  : (
      url: string,
      init?: { method?: string; headers?: Record<string, string>; cache?: string; signal?: Signal },
    ) => Promise<unknown>;

/**
 * A parsed open_clip_config.json (`{ model_cfg, preprocess_cfg }`), or the model config alone (`{ embed_dim,
 * vision_cfg, text_cfg }`).
 */
export interface OpenClipConfig {
  [key: string]: unknown;
}

/**
 * URL or URL string, file path (Node.js), Blob/File, ArrayBuffer, Uint8Array: a whole checkpoint (.safetensors; .pt,
 * .pth or .bin of PyTorch; a .safetensors.index.json with its files beside it), or a shard that holds one tower.
 */
export type Weights = string | UrlObject | BlobLike | ArrayBuffer | Uint8Array;

export interface Progress {
  /**
   * What is being done: `fetch` reads the weights, `cache` a tower that was kept; where that turns out to be damaged or
   * old, `fetch` follows.
   */
  phase: 'fetch' | 'cache';
  /** Bytes done so far. */
  loaded: number;
  /** Bytes in all, where that is known. */
  total?: number;
}

/** How patient to be with the network. */
export interface Retry {
  /**
   * How often a request is made in a row without 64 KiB arriving, counting the first; of a picture, in all. Default: 5.
   */
  attempts?: number | undefined;
  /**
   * Milliseconds before the second attempt; each further pause is twice as long, up to 10 s, and none is shorter than a
   * server's Retry-After. Default: 300.
   */
  pause?: number | undefined;
  /**
   * Milliseconds without an answer, or with less than 4 KiB of it, after which a transfer counts as broken. Default:
   * 30,000.
   */
  stall?: number | undefined;
  /** Milliseconds that reading the weights, or one picture, may take in all. Default: no limit. */
  timeout?: number | undefined;
}

/**
 * How much is taken from a server at most, in bytes as they are after decompression. What is larger is an error that
 * names the limit.
 */
export interface Limits {
  /** A config, or the index of a checkpoint in several files. Default: 1e7. */
  json?: number | undefined;
  /** A tokenizer.json. Default: 2e8. */
  tokenizer?: number | undefined;
  /** A picture that is given by URL. Default: 1e8. */
  picture?: number | undefined;
  /**
   * PyTorch files that have to be kept in memory whole, because their server sends no ranges: all those of a checkpoint
   * together. Default: 1e9.
   */
  whole?: number | undefined;
  /** What is read of one weight file in all. Default: 1e11. */
  weights?: number | undefined;
}

/**
 * What is kept of weights that are given by URL: the packed tower, so that a later load of the same tower at the same
 * dtype reads little and computes nothing. In Node.js it is a file in a folder, in a page one of the origin private
 * file system; paths, Blobs, bytes and the bundled model are never kept.
 *
 * Before a kept tower is used, each file that it was made of is asked for in one conditional request. If its ETag, or
 * else its Last-Modified, is another one, the tower is fetched again. It is used as it is when the server cannot be
 * reached, or answers 429 or 5xx. Weights that come with neither header are not kept, because nobody could tell when
 * they change, unless `integrity` names their bytes: then what was kept under the same `integrity` is used without any
 * request.
 *
 * What a name such as `hf-hub:org/repo` stands for is remembered in the same place, for when its hub is out of reach.
 *
 * A tower is kept under its URL without what signs it (X-Amz-Signature, sig, token and the like), so that a new
 * signature finds it again; written down is the URL without its query.
 *
 * A kept tower that is damaged is thrown away and fetched again; one that cannot be written, for example because the
 * disk is full, is dropped. Neither makes a load fail.
 *
 * Of a load that is cut off, what came of the file is kept, too: the next one fetches the rest, if the server sends
 * ranges and the file is still the same.
 */
export interface CacheOptions {
  /** `'reload'` fetches what is kept again, `'no-store'` neither reads nor writes. Default: `'default'`. */
  mode?: 'default' | 'no-store' | 'reload' | undefined;
  /**
   * The folder, in Node.js; of what lies there, only files called `halfclip-…` are touched. Default: `halfclip` in
   * `XDG_CACHE_HOME` or `~/.cache`.
   */
  dir?: string | undefined;
  /**
   * How many bytes may be kept in all; what was not used for longest goes first. Default: 8e9 in Node.js, 2e9 in a
   * page.
   */
  maxBytes?: number | undefined;
  /**
   * Whether to ask the browser, by `navigator.storage.persist()`, not to drop what the page's origin has stored.
   * Default: false.
   */
  persist?: boolean | undefined;
}

export interface LoadOptions {
  /**
   * An OpenCLIP architecture name; a parsed open_clip_config.json; `'hf-hub:org/repo'` (or
   * `'hf-hub:org/repo@revision'`), a repository of OpenCLIP or of a Hugging Face `CLIPModel`; `'local-dir:folder'`, the
   * same in a folder (Node.js); or `'halfclip-emoji'`, the bundled model, whose weights lie beside the module.
   * Otherwise never a path. May be left out when `weights` is a shard, which knows its own.
   */
  model?: string | OpenClipConfig | undefined;
  /**
   * May be left out where the model's name says where its weights are. Of an OpenCLIP architecture also a pretrained
   * tag, such as `'laion2b_s34b_b79k'`. Other strings are relative to the document in a page, and may be paths in
   * Node.js.
   */
  weights?: Weights | undefined;
  /**
   * Of a text tower whose texts need another tokenizer than CLIP's: a tokenizer.json of Hugging Face's, by URL or path
   * (what a tokenizer_config.json beside it says of special tokens holds), or as a Blob or a parsed file, in which
   * `tokenizer_config` may be the other file. Without that file padding is guessed; SigLIP's needs it. It is read while
   * the tower is loaded. Default: the one that a shard carries; else, when the first text comes, the one beside
   * the weights, or in the repository that the config's `hf_tokenizer_name` names, under `hub`. `embedTokens()` needs
   * none.
   */
  tokenizer?: string | UrlObject | BlobLike | { readonly [key: string]: unknown } | undefined;
  /** The language of the texts, such as `'eng_Latn'`, for tokenizers that have languages (NLLB's). */
  language?: string | undefined;
  /**
   * How many tokens of a text count, its start and end included, where that is less than the model has room for: longer
   * texts are cut there, as CLIP4Clip's `max_words` cuts them.
   */
  maxTokens?: number | undefined;
  /** How the weights are held in memory. Default: as the shard holds them, else `'int8'`. */
  dtype?: 'fp32' | 'fp16' | 'int8' | 'int4' | undefined;
  /**
   * The size of pictures that an image encoder takes, in place of its config's: pixels of a side, or `[height, width]`.
   * Positions are resized to it, as OpenCLIP's `force_image_size` does. Text encoders have none, and pay no heed to it.
   */
  imageSize?: number | readonly [height: number, width: number] | undefined;
  /**
   * How many threads compute, the one that the encoder runs on included. They sleep between calls, and dispose() ends
   * them. Vectors do not depend on the number. `'auto'`, the default: as many as there are cores, at most 8; one for
   * towers of less than ten million parameters, which take a few milliseconds. Threads share memory, which a page may
   * only where it is cross-origin isolated (headers `Cross-Origin-Opener-Policy: same-origin` and
   * `Cross-Origin-Embedder-Policy: require-corp`): elsewhere it is one thread, whatever is asked for.
   */
  threads?: 'auto' | number | undefined;
  /** Whether to load and compute in a worker. Default: true in a page, false elsewhere. */
  worker?: boolean | undefined;
  /**
   * Whether and where the packed tower is kept; a string is the `mode`, which also counts for the requests, as in
   * fetch().
   */
  cache?: 'default' | 'no-store' | 'reload' | CacheOptions | undefined;
  /**
   * When requests that failed are made again: after broken transfers, which resume where they broke, and answers of
   * 408, 425, 429 and 500 to 504.
   */
  retry?: Retry | undefined;
  /** How much is taken from servers at most, of weights and later of pictures. */
  limits?: Limits | undefined;
  /** Of the whole file, as in `<script integrity>`: `sha256-`, `sha384-` or `sha512-` and base64. */
  integrity?: string | undefined;
  /** Aborts loading; the promise rejects with the signal's reason. */
  signal?: Signal | undefined;
  /** What it throws ends the load, which then rejects with that. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * Where `hf-hub:` names and pretrained tags are looked up: any server with the same paths. Default:
   * `https://huggingface.co`.
   */
  hub?: string | UrlObject | undefined;
  /** In place of the global fetch(): headers, tokens, tests. */
  fetch?: Fetch | undefined;
  /**
   * The folder with the package's worker, WebAssembly modules and bundled shards (`dist/` of the package), as a URL,
   * where a bundler or host keeps it; in Node.js also a path. Default: beside the module, or where bundlers leave it.
   */
  assets?: string | UrlObject | undefined;
  /**
   * The WebAssembly module, its bytes or its URL, in place of the one that would be fetched: `halfclip-simd128.wasm` or
   * `halfclip-relaxed.wasm` of this version, or the smaller `halfclip-vit-….wasm` for OpenCLIP's own transformers, for
   * hosts that compile nothing at run time. With one thread, unless it is a module for several (`-threads`) and there
   * are several.
   */
  wasm?: WasmModule | ArrayBuffer | Uint8Array | string | UrlObject | undefined;
  /** For measurements: the WebAssembly module in place of the one that fits this engine. */
  simd?: 'relaxed' | 'simd128' | undefined;
  /**
   * For measurements: the kind of int8 products in place of the faster one on this machine. Vectors do not depend on
   * it.
   */
  dot?: 'pairs' | 'quads' | undefined;
}

/** Of loadVideoEncoder(), which takes every option of an image encoder besides. */
export interface VideoLoadOptions extends LoadOptions {
  /**
   * How the vectors of frames become one, as CLIP4Clip calls it: their mean; a transformer over them, or an LSTM, added
   * to them before. `'auto'`, the default: what the file holds, `'meanP'` where it holds neither. One that the file
   * lacks is `weights/mismatch`.
   */
  temporal?: 'auto' | 'meanP' | 'seqTransf' | 'seqLSTM' | undefined;
  /** How many frames of a video are taken at most. Default: 12. */
  maxFrames?: number | undefined;
  /** How many frames a second are looked at before they are thinned out to `maxFrames`. Default: 1. */
  fps?: number | undefined;
  /**
   * Which of too many frames are taken: evenly thinned out as CLIP4Clip does it (the default), the first or the last;
   * or `'uniform'`, as many as there may be over the whole video, whatever `fps` is, as Towhee's operators do it.
   */
  sampling?: 'clip4clip' | 'uniform' | 'head' | 'tail' | undefined;
  /**
   * The module mediabunny (`import * as mediabunny from 'mediabunny'`), which reads video files in a page. Node.js takes
   * ffmpeg; video elements and frames need neither.
   */
  mediabunny?: { readonly Input: unknown; readonly VideoSampleSink: unknown } | undefined;
}

export interface EmbedOptions {
  /** Whether vectors get length 1. Default: true. */
  normalize?: boolean | undefined;
  /** Aborts between the items of an array; the promise rejects with the signal's reason. */
  signal?: Signal | undefined;
}

/** How pictures are read. */
export interface PictureOptions {
  /**
   * `'exif'`, the default: a picture's file is turned as its orientation says (EXIF, or else XMP, in JPEG, PNG, WebP
   * and TIFF). `'none'`: it is not, as OpenCLIP does not turn pictures; but TIFF, which Pillow turns itself, and AVIF
   * and HEIF, which are turned while they are decoded, come turned. Of files only: an image element, an ImageBitmap or
   * a VideoFrame has been turned, or not, by whoever made it, and is taken as it is.
   */
  orientation?: 'exif' | 'none';
  /**
   * `'exact'`, the default: every pixel of a file is decoded. `'fast'`: the platform may shrink a large picture while it
   * decodes it, so that its shorter side keeps at least twice the pixels that the tower takes; from there the resize is
   * exact again. JPEG in Chromium, JPEG and WebP in Node.js, a third of that time and less; elsewhere the same as
   * `'exact'`.
   */
  decode?: 'exact' | 'fast' | undefined;
  /**
   * How many pixels a picture may have; more are an error, `input/size`, before anything is decoded. Not of `{ data,
   * width, height }`, which is there already. Default: 2 ** 28, about 268 million. No side may have more than 20,000.
   */
  maxPixels?: number;
}

export interface EmbedAllOptions extends EmbedOptions {
  /**
   * How many inputs may be under way or done besides the one that is waited for: read, decoded and prepared while
   * others are computed. It bounds the memory, whatever the number of inputs. Default: 127 texts; 2 pictures on one
   * thread, and on more two a thread, of which no more are under way at a time than one more than there are threads.
   */
  ahead?: number | undefined;
  /** Called before each outcome is given. */
  onProgress?: ((progress: EmbedProgress) => void) | undefined;
}

/** A frame of a video that has been computed. */
export interface EmbeddedFrame {
  /** The index of its video among those that were given. */
  readonly video: number;
  /** Its own index in the video. */
  readonly index: number;
  /** When it is shown, in seconds, where that is known. */
  readonly time: number | undefined;
  /** Its own vector, before anything is done over time: what an image encoder of the same weights gives. */
  readonly vector: Float32Array;
}

export interface VideoOptions extends EmbedOptions, PictureOptions {
  /**
   * The part of the video that is looked at, in seconds from its first frame; both ends are in. Of frames that are given
   * all are taken.
   */
  start?: number | undefined;
  end?: number | undefined;
  /** Called with each frame, in order, once it is computed. */
  onFrame?: ((frame: EmbeddedFrame) => void) | undefined;
}

export interface EmbedProgress {
  phase: 'embed';
  /** Inputs done so far, those that failed included. */
  loaded: number;
  /** Inputs in all, where the sources know their number. */
  total?: number;
}

/** What became of one input: its vector, or what is wrong with it. */
export type Outcome<Source> =
  | { readonly index: number; readonly source: Source; readonly vector: Float32Array; readonly error?: undefined }
  | { readonly index: number; readonly source: Source; readonly vector?: undefined; readonly error: HalfclipError };

export interface CallOptions {
  /** Aborts between the items of an array; the promise rejects with the signal's reason. */
  signal?: Signal | undefined;
}

export interface TowerInfo {
  /** The name given as `model`, or null. */
  readonly model: string | null;
  readonly tower: 'image' | 'text' | 'video';
  readonly dtype: 'fp32' | 'fp16' | 'int8' | 'int4';
  /** Length of one embedding. */
  readonly dim: number;
  /** Embeddings of one input: 1, or the length of the sequence for models with pool_type `none`. */
  readonly tokensOut: number;
  /**
   * Whether the activation is QuickGELU: as the model says it, else a shard's own config or a file of OpenAI's or
   * CLIP4Clip's, else GELU.
   */
  readonly quickGelu: boolean;
  /** Numbers in the tower's tensors. */
  readonly parameters: number;
  /** Size of the WebAssembly memory: everything that the encoder holds. */
  readonly memoryBytes: number;
  /** Bytes of the weight file that were read; of a kept tower, those that asking for the file's version took. */
  readonly fetchedBytes: number;
  /** Size of the weight file, if it is known. */
  readonly fileBytes: number | null;
  /** Whether the tower was kept from an earlier load, see CacheOptions. */
  readonly cached: boolean;
  /** The WebAssembly module in use. */
  readonly simd: 'relaxed' | 'simd128';
  /** How many threads compute. */
  readonly threads: number;
}

export interface TextInfo extends TowerInfo {
  readonly tower: 'text';
  /** Token ids of one text. */
  readonly contextLength: number;
  readonly vocabSize: number;
}

export interface ImageInfo extends TowerInfo {
  readonly tower: 'image';
  /** Pixels a side, or [height, width]. */
  readonly imageSize: number | [number, number];
}

export interface VideoInfo extends TowerInfo {
  readonly tower: 'video';
  /** Pixels of a frame a side, or [height, width]. */
  readonly imageSize: number | [number, number];
  readonly temporal: 'meanP' | 'seqTransf' | 'seqLSTM';
  /** The options, or what is there without them. */
  readonly maxFrames: number;
  readonly fps: number;
  readonly sampling: 'clip4clip' | 'uniform' | 'head' | 'tail';
  /** How many frames one video may have: as many as the transformer has positions for, 1,024 for the LSTM. */
  readonly mostFrames: number;
  /** Frames that one vector of a frame is made of: 1, or with 3D patches 3, its neighbours included. */
  readonly seen: number;
  /** What CLIP4Clip multiplies the cosine of a text and a video by; 0 where the weights do not say. */
  readonly logitScale: number;
}

/**
 * RGBA or RGB bytes, row by row without padding. An ImageData is one. `data` may be read without a copy: it must not
 * change until the promise of the call settles.
 */
export interface RawPicture {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/**
 * Where a picture may come from. Strings are URLs, and paths in Node.js; ArrayBuffer and Uint8Array hold an encoded
 * file: PNG, GIF, BMP, JPEG, WebP or AVIF; in Node.js also TIFF of 8 bits in RGB or grey, and the HEIF that sharp
 * reads. Node.js needs the package sharp for all but the first three. Of an animation it is the first picture. SVG
 * files have no pixels; an image element that shows one has.
 */
export type ImageSource =
  | RawPicture
  | BlobLike
  | UrlObject
  | string
  | ArrayBuffer
  | Uint8Array
  | Platform<'ImageBitmap'>
  | Platform<'HTMLImageElement'>
  | Platform<'HTMLCanvasElement'>
  | Platform<'OffscreenCanvas'>
  | Platform<'VideoFrame'>
  | Platform<'HTMLVideoElement'>;

/** The pictures of a video that are to be looked at, in order: already sampled, and all of them taken. */
export interface Frames {
  readonly frames:
    Iterable<ImageSource | Promise<ImageSource>> | AsyncIterable<ImageSource> | Platform<'ReadableStream'>;
}

/**
 * Where a video may come from: its frames; a file by URL or as a Blob or bytes, in Node.js also by its path (MP4, MOV,
 * WebM, MPEG-TS, and with ffmpeg many more); or a video element, which is paused and sought, and then as it was.
 */
export type VideoSource =
  Frames | BlobLike | UrlObject | string | ArrayBuffer | Uint8Array | Platform<'HTMLVideoElement'>;

interface Tower {
  /** Frees the memory. Calls that still run, and later ones, reject with `state/disposed`. */
  dispose(): void;
}

/**
 * A text tower. Each method takes one input or an array, and gives one output or an array in the same order. Calls are
 * done one after another.
 */
export interface TextTower extends Tower {
  readonly info: TextInfo;
  /** Float32Array(dim) of a text; with `tokensOut` above 1, as many vectors one after another. */
  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
  /**
   * Texts as they come: one outcome for each, in order. An input that fails has an error in place of its vector, and
   * the next ones go on. Sources may be of any length. Ends early by `break` or `return()`, or by rejecting: with the
   * signal's reason, with what the sources themselves throw, or with an error that every input would meet, such as
   * `state/disposed`. Then what is under way is dropped and the sources are closed.
   */
  embedAll(
    texts: Iterable<string> | AsyncIterable<string>,
    options?: EmbedAllOptions,
  ): AsyncGenerator<Outcome<string>, void, undefined>;
  /** Int32Array(contextLength): start and end tokens in, padded as OpenCLIP pads. */
  tokenize(text: string, options?: CallOptions): Promise<Int32Array>;
  tokenize(texts: readonly string[], options?: CallOptions): Promise<Int32Array[]>;
  /** The vector of Int32Array(contextLength); no tokenizer is involved. */
  embedTokens(ids: Int32Array, options?: EmbedOptions): Promise<Float32Array>;
  embedTokens(ids: readonly Int32Array[], options?: EmbedOptions): Promise<Float32Array[]>;
  [Symbol.dispose](): void;
}

/**
 * An image tower. Each method takes one input or an array, and gives one output or an array in the same order. Calls
 * are done one after another.
 */
export interface ImageTower extends Tower {
  readonly info: ImageInfo;
  /**
   * Float32Array(dim) of a picture; with `tokensOut` above 1, as many vectors one after another. A few pictures at a
   * time are decoded, whatever the number of calls and the length of arrays; an image element, and whatever is in an
   * array, is read when its turn comes.
   */
  embed(source: ImageSource, options?: EmbedOptions & PictureOptions): Promise<Float32Array>;
  embed(sources: readonly ImageSource[], options?: EmbedOptions & PictureOptions): Promise<Float32Array[]>;
  /**
   * Pictures as they come: one outcome for each, in order. An input that fails has an error in place of its vector, and
   * the next ones go on. Sources may be of any length. Ends early by `break` or `return()`, or by rejecting: with the
   * signal's reason, with what the sources themselves throw, or with an error that every input would meet, such as
   * `state/disposed`. Then what is under way is dropped and the sources are closed.
   */
  embedAll<Source extends ImageSource>(
    sources: Iterable<Source> | AsyncIterable<Source>,
    options?: EmbedAllOptions & PictureOptions,
  ): AsyncGenerator<Outcome<Source>, void, undefined>;
  /** Float32Array [3, H, W]: the picture resized, cropped and normalised, as the tower gets it. */
  preprocess(source: ImageSource, options?: CallOptions & PictureOptions): Promise<Float32Array>;
  preprocess(sources: readonly ImageSource[], options?: CallOptions & PictureOptions): Promise<Float32Array[]>;
  /** The vector of what preprocess() gives. */
  embedPixels(pixels: Float32Array, options?: EmbedOptions): Promise<Float32Array>;
  embedPixels(pixels: readonly Float32Array[], options?: EmbedOptions): Promise<Float32Array[]>;
  [Symbol.dispose](): void;
}

/**
 * A video tower: vectors of videos, to be compared with those of texts by the text encoder of the same checkpoint. Each
 * method takes one video or an array, and gives one vector or an array in the same order.
 */
export interface VideoTower extends Tower {
  readonly info: VideoInfo;
  /** Float32Array(dim) of a video. A few frames at a time are decoded, while others are computed. */
  embed(video: VideoSource, options?: VideoOptions): Promise<Float32Array>;
  embed(videos: readonly VideoSource[], options?: VideoOptions): Promise<Float32Array[]>;
  /**
   * Videos as they come: one outcome for each, in order, as an image tower's embedAll() gives them. Default of `ahead`:
   * 1.
   */
  embedAll<Source extends VideoSource>(
    videos: Iterable<Source> | AsyncIterable<Source>,
    options?: EmbedAllOptions & VideoOptions,
  ): AsyncGenerator<Outcome<Source>, void, undefined>;
  /** Of Float32Array [frames, 3, H, W]: for each frame what an image tower's preprocess() gives. */
  embedPixels(video: Float32Array, options?: EmbedOptions): Promise<Float32Array>;
  embedPixels(videos: readonly Float32Array[], options?: EmbedOptions): Promise<Float32Array[]>;
  [Symbol.dispose](): void;
}

export function loadVideoEncoder(options: VideoLoadOptions): Promise<VideoTower>;
export function loadTextEncoder(options: LoadOptions): Promise<TextTower>;
export function loadImageEncoder(options: LoadOptions): Promise<ImageTower>;

/**
 * A tower that is kept (the option `cache`), what has come of one whose load was cut off, or what a model's name stood
 * for when it was asked for last.
 */
export interface KeptTower {
  /** By which removeKeptTowers() knows it. */
  readonly name: string;
  /** Of the weights, without a query, or the model's name; null, as all that follows may be, where its file is damaged. */
  readonly url: string | null;
  /** As it was given; null where it was a config. */
  readonly model: string | null;
  readonly tower: 'image' | 'text' | 'video' | null;
  readonly dtype: 'fp32' | 'fp16' | 'int8' | 'int4' | null;
  readonly integrity?: string;
  /** What it takes of the disk. */
  readonly bytes: number;
  /** The size of the file that it came from, and how much of that was fetched. */
  readonly fileBytes: number | null;
  readonly fetchedBytes: number | null;
  /** When it was stored (null for a load that was cut off), and used last: ISO 8601, UTC. */
  readonly stored: string | null;
  readonly used: string;
}

/**
 * The towers that are kept, the one used last first. `dir` is the folder in Node.js, as in the option `cache`. None
 * where a browser has no place for them, as in a private window. A service worker, which can't import modules later,
 * rejects with `http/network`: it has to ask a page.
 */
export function keptTowers(options?: Pick<CacheOptions, 'dir'>): Promise<KeptTower[]>;

/**
 * Removes towers that are kept, and returns those that were removed: one that another tab just reads stays. Encoders
 * that are loaded are not touched. A load that was aborted rejects when it has let go of what it kept, which then can be
 * removed.
 * @param which kept towers or their names, or `'all'`
 */
export function removeKeptTowers(
  which: 'all' | Iterable<string | Pick<KeptTower, 'name'>>,
  options?: Pick<CacheOptions, 'dir'>,
): Promise<KeptTower[]>;

/** The cosine of the angle between two vectors of finite numbers and of the same length; 0 if either is all zeros. */
export function cosineSimilarity(a: ArrayLike<number>, b: ArrayLike<number>): number;

export type ErrorCode =
  | 'model/unknown'
  | 'model/not-a-path'
  | 'model/unsupported'
  | 'weights/not-found'
  | 'weights/format'
  | 'weights/truncated'
  | 'weights/corrupt'
  | 'weights/mismatch'
  | 'weights/changed'
  | 'integrity/mismatch'
  | 'http/status'
  | 'http/network'
  | 'input/type'
  | 'input/decode'
  | 'input/size'
  | 'memory/exhausted'
  | 'state/disposed';

/**
 * Every failure of halfclip's own. The message names the file, the tensor or the option, what was found and what was
 * expected.
 */
export class HalfclipError extends Error {
  readonly code: ErrorCode;
  /** The HTTP status, with code `http/status`. */
  readonly status?: number;
}
