// One contender of files.mjs, in a process of its own. What halfclip's thread does, and how many pictures sharp decodes
// meanwhile, is seen from outside: by what is called of WebAssembly and of sharp.

import { createRequire } from 'node:module';

const sharp = createRequire(import.meta.url)('sharp'); // as the package takes it, which is not what import gives

/** Sums of milliseconds of the run under way. */
let stages;
let decoders = 0;
let since = 0; // when the number of decoders, or what this thread does, changed
let busy = false;

function note() {
  const now = performance.now();
  if (stages) {
    stages.decoding += decoders * (now - since);
    if (!decoders) stages.idle += now - since;
    else if (!busy) stages.waiting += now - since;
  }
  since = now;
}

function timed(call, stage) {
  return (...args) => {
    note();
    busy = true;
    const begin = performance.now();
    try {
      return call(...args);
    } finally {
      note();
      busy = false;
      if (stages) stages[stage] += performance.now() - begin;
    }
  };
}

const STAGES = { hc_preprocessor_push: 'resizing', hc_wasm_embed_step: 'computing' };

WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(Instance, args) {
    const { exports } = new Instance(...args);
    const wrapped = { ...exports };
    for (const [name, stage] of Object.entries(STAGES)) if (exports[name]) wrapped[name] = timed(exports[name], stage);
    return { exports: wrapped };
  },
});

const { toBuffer } = sharp.prototype;
sharp.prototype.toBuffer = async function (...args) {
  note();
  decoders++;
  try {
    return await toBuffer.apply(this, args);
  } finally {
    note();
    decoders--;
  }
};

const makers = {
  async halfclip({ url, shard, threads }) {
    const { loadImageEncoder } = await import(url);
    const image = await loadImageEncoder({ weights: shard, threads, worker: false, cache: 'no-store' });
    return {
      embed: (files, options) => image.embed(files, options),
      async alone(file) {
        await image.embedPixels(await image.preprocess(file));
      },
    };
  },

  async transformers({ url, folder, threads }) {
    const { AutoProcessor, CLIPVisionModelWithProjection, env, RawImage } = await import(url);
    env.allowRemoteModels = false;
    env.localModelPath = '';
    const session_options = { intraOpNumThreads: threads, interOpNumThreads: 1 };
    const processor = await AutoProcessor.from_pretrained(folder);
    const model = await CLIPVisionModelWithProjection.from_pretrained(folder, {
      dtype: 'q8',
      device: 'cpu',
      model_file_name: 'model',
      session_options,
    });
    return {
      async embed(files) {
        const vectors = [];
        // As its own pipeline does: the files of a call are read together, here one ahead of the other.
        let next = RawImage.read(files[0]);
        for (let i = 0; i < files.length; i++) {
          const image = await next;
          if (i + 1 < files.length) next = RawImage.read(files[i + 1]);
          const { image_embeds } = await model(await processor(image));
          vectors.push(Float32Array.from(image_embeds.data));
        }
        return vectors;
      },
    };
  },
};

let encoder;

function processTime() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const commands = {
  async load({ contender, ...options }) {
    encoder = await makers[contender](options);
  },

  /** All files once: ms, with what took how long, and the first vector. */
  async run({ files, options }) {
    await encoder.embed(files.slice(0, 2), options);
    stages = { decoding: 0, idle: 0, waiting: 0, computing: 0, resizing: 0 };
    const begin = (since = performance.now());
    const vectors = await encoder.embed(files, options);
    note();
    const ms = performance.now() - begin;
    const result = { ms, stages, vectors: [Array.from(vectors[0])] };
    stages = null;
    return result;
  },

  /** The processor's time for one picture, one after the other, in ms. */
  async alone({ files }) {
    for (const file of files.slice(0, 2)) await encoder.alone(file);
    const begin = processTime();
    for (const file of files) await encoder.alone(file);
    return (processTime() - begin) / files.length;
  },
};

process.on('message', async ({ command, options }) => {
  try {
    process.send({ result: await commands[command](options) });
  } catch (error) {
    process.send({ error: String(error?.stack ?? error) });
  }
});
