/** An index of vectors: exact search among them, and a file that holds them. */

/** A class of the platform, where the project's libraries declare it: a project for Node.js has none of a page's. */
type Platform<Name extends string, Otherwise = never> = typeof globalThis extends {
  [name in Name]: { prototype: infer Instance };
}
  ? Instance
  : Otherwise;

interface BlobLike {
  readonly size: number;
  readonly type: string;
  arrayBuffer(): Promise<ArrayBuffer>;
  slice(start?: number, end?: number): BlobLike;
}

type UrlObject = Platform<'URL', { readonly href: string; readonly protocol: string; toString(): string }>;
type Signal = Platform<
  'AbortSignal',
  { readonly aborted: boolean; addEventListener(type: 'abort', listener: () => void): void }
>;
type OneBlob = Platform<'Blob', BlobLike>;
type FileHandle = Platform<'FileSystemFileHandle', never>;

/** Strings and integers are different ids: `1` is not `'1'`. */
export type Id = string | number;

export interface VectorIndexOptions {
  /** The length of the vectors. */
  dim: number;
  /**
   * `'int8'`: a scale a vector, a quarter of the memory, four times as fast; scores are those of the rounded vectors.
   * `'fp32'`: exact. Default: `'int8'`.
   */
  dtype?: 'int8' | 'fp32' | undefined;
  /** A JSON object that is kept with the vectors, such as the name of the model that made them. */
  metadata?: Record<string, unknown> | undefined;
  /** What computes. Default: the fastest that this engine has; `'scalar'`, in JavaScript, where nothing may be compiled. */
  kernels?: 'relaxed' | 'simd128' | 'scalar' | undefined;
  /**
   * Node.js: how many threads search among more than 4 MB of vectors and find duplicates, the caller's included, once
   * their workers have started; `'auto'`: the number of cores, at most 8. Default, and always in pages: 1.
   */
  threads?: 'auto' | number | undefined;
}

export interface Result {
  id: Id;
  /** The cosine of the query and the vector, as the index holds them. */
  score: number;
  /** What was added with the vector, if anything was. */
  data?: any;
}

export interface Pair {
  /** The one that was added first is the first. */
  ids: [Id, Id];
  score: number;
}

/** What an index is loaded from: a path in Node.js; in a page the name of a file of the origin private file system, or a URL, which has a slash in it. */
export type IndexSource =
  | string
  | UrlObject
  | BlobLike
  | ArrayBuffer
  | ArrayBufferView
  | Platform<'ReadableStream', { getReader(): unknown }>
  | FileHandle;

export class VectorIndex {
  constructor(options: VectorIndexOptions);

  readonly dim: number;
  readonly dtype: 'int8' | 'fp32';
  /** How many vectors there are. */
  readonly size: number;
  readonly kernels: 'relaxed' | 'simd128' | 'scalar';
  /** How many threads search, the caller's included. */
  readonly threads: number;
  /** A JSON object that is kept with the vectors. */
  metadata: Record<string, any>;
  /**
   * What was lost of a damaged file that was loaded with `salvage`; of nothing (`lost` is 0) where only the last step of a
   * save was interrupted. null, if the file was whole.
   */
  readonly damage: { message: string; lost: number } | null;

  /**
   * Adds a vector, of any length but 0: the index holds its direction. Throws `input/type` if the id is there already.
   * `data` is anything that can be written as JSON.
   */
  add(id: Id, vector: ArrayLike<number>, options?: { data?: unknown }): void;
  /** Puts a vector, and its data, in the place of the one with its id, or adds it where there is none. */
  replace(id: Id, vector: ArrayLike<number>, options?: { data?: unknown }): void;
  /** Removes a vector; false if there is none of that id. */
  remove(id: Id): boolean;
  has(id: Id): boolean;
  /** A vector as the index holds it, of length 1, and its data; undefined if there is none. */
  get(id: Id): { vector: Float32Array; data?: any } | undefined;
  /** All ids, in the order in which they were added. */
  ids(): IterableIterator<Id>;

  /**
   * The vectors with the highest cosine to a query, best first; of equal ones that which was added first. Exact: every
   * vector is looked at. The order is the same on every machine. Default limit: 10. `filter` is asked about vectors best
   * first, until there are enough.
   */
  search(
    query: ArrayLike<number>,
    options?: { limit?: number | undefined; filter?: ((id: Id, data: any) => unknown) | undefined },
  ): Result[];

  /** All pairs whose cosine is at least `above`, the nearest first. Takes time with the square of the size. */
  duplicates(options: { above: number; limit?: number | undefined }): Pair[];

  /** Takes all that another index has; where both have an id, the other's vector and data count. */
  merge(other: VectorIndex): void;

  /**
   * Saves the index. `target`: a path (Node.js); the name of a file of the origin private file system (a page, a
   * worker). What has changed since the last time is added to it, or all of it written; whatever ends that, the file is
   * as before or as afterwards. `weights/changed` if somebody else changed it since this index was loaded from it or
   * saved there. A FileSystemFileHandle or a WritableStream. Nothing: resolves to a Blob. What is added while it is saved
   * comes with the next one.
   */
  save(target: string | UrlObject, options?: { signal?: Signal | null | undefined }): Promise<undefined>;
  save(target?: undefined, options?: { signal?: Signal | null | undefined }): Promise<OneBlob>;
  save(target: object, options?: { signal?: Signal | null | undefined }): Promise<undefined>;

  /**
   * Loads an index. A damaged or half-written file rejects with `weights/corrupt` or `weights/truncated`, which says how
   * many of its vectors are whole; with `salvage` these are loaded, and `damage` says what was lost.
   */
  static load(
    source: IndexSource,
    options?: {
      signal?: Signal | null | undefined;
      /** For URLs, in place of the platform's. */
      fetch?: ((url: string, init?: any) => Promise<any>) | undefined;
      salvage?: boolean | undefined;
      kernels?: 'relaxed' | 'simd128' | 'scalar' | undefined;
      threads?: 'auto' | number | undefined;
    },
  ): Promise<VectorIndex>;
}

/** See `halfclip`. */
export class HalfclipError extends Error {
  constructor(code: string, message: string, details?: { cause?: unknown; status?: number });
  readonly code: string;
  readonly status?: number;
}
