// One contender of files.mjs in a page of its own: halfclip or @huggingface/transformers, with pictures as Blobs.

import { loadPeer } from './files-peer.mjs';

const makers = {
  async halfclip({ url, shard, threads }) {
    const { loadImageEncoder } = await import(url);
    const load = (threads) => loadImageEncoder({ weights: shard, threads, cache: 'no-store' });
    const one = await load(1);
    const image = await load(threads);
    if (image.info.threads !== threads) throw new Error(`${image.info.threads} threads, expected ${threads}`);
    return {
      embed: (blobs, { single, ...options }) => (single ? one : image).embed(blobs, options),
      async alone(blob) {
        await one.embedPixels(await one.preprocess(blob));
      },
    };
  },

  async transformers({ url, folder, wasm, threads }) {
    const transformers = await import(url);
    const { env } = transformers;
    Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/' });
    Object.assign(env, { useBrowserCache: false, useWasmCache: false });
    Object.assign(env.backends.onnx.wasm, { wasmPaths: wasm, numThreads: threads });
    return loadPeer(transformers, folder, { device: 'wasm' });
  },
};

let encoder;
let blobs;

const commands = {
  async load({ contender, ...options }) {
    encoder = await makers[contender](options);
  },

  /** Fetches files, which is not part of the time. */
  async take({ files }) {
    const kept = new Map();
    for (const file of new Set(files)) kept.set(file, await (await fetch(file)).blob());
    blobs = files.map((file) => kept.get(file));
  },

  /** Makes everything warm. */
  async warm({ options }) {
    await encoder.embed(blobs.slice(0, 4), options);
  },

  /** All files once: ms, and the first vector. */
  async run({ options }) {
    const begin = performance.now();
    const vectors = await encoder.embed(blobs, options);
    return { ms: performance.now() - begin, vectors: [Array.from(vectors[0])] };
  },

  /** One after the other, on one thread. */
  async alone() {
    for (const blob of blobs) await encoder.alone(blob);
  },
};

export const call = (command, options) => commands[command](options);
