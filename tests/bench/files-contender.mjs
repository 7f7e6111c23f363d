// One contender of files.mjs, in a process of its own. What each of halfclip's threads does is seen from outside: by
// what is called of WebAssembly and of sharp. Its workers start here, too, and then import what they were to be.

import { createRequire, syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';

import { loadPeer } from './files-peer.mjs';

const sharp = createRequire(import.meta.url)('sharp'); // as the package takes it, which is not what import gives

/** Milliseconds of one thread: computing, resizing, waiting for a decoder; and of its decoders at work. */
const STAGES = ['computing', 'resizing', 'waiting', 'decoding'];
const { module, stages = newStages() } = threads.workerData ?? {};
let decoders = 0;
let since = 0; // when the number of decoders, or what this thread does, changed
let busy = false;

function newStages() {
  return new Float64Array(new SharedArrayBuffer(8 * STAGES.length));
}

function note() {
  const now = performance.now();
  stages[3] += decoders * (now - since);
  if (decoders && !busy) stages[2] += now - since;
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
      stages[stage] += performance.now() - begin;
    }
  };
}

const CALLS = { hc_wasm_embed_step: 0, hc_preprocessor_push: 1, hc_picture_reader_read: 1 };

WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(Instance, args) {
    const { exports } = new Instance(...args);
    const wrapped = { ...exports };
    for (const [name, stage] of Object.entries(CALLS)) if (exports[name]) wrapped[name] = timed(exports[name], stage);
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

/** The stages of all threads, this one first. */
const everyone = [stages];
threads.Worker = class extends threads.Worker {
  constructor(module, options) {
    const stages = newStages();
    super(new URL(import.meta.url), { ...options, workerData: { module: String(module), stages } });
    everyone.push(stages);
  }
};
syncBuiltinESMExports();
if (module) await import(module);

const makers = {
  async halfclip({ url, shard, threads }) {
    const { loadImageEncoder } = await import(url);
    const load = (threads) => loadImageEncoder({ weights: shard, threads, worker: false, cache: 'no-store' });
    const one = await load(1);
    const image = await load(threads);
    return {
      embed: (files, { single, ...options }) => (single ? one : image).embed(files, options),
      async alone(file) {
        await one.embedPixels(await one.preprocess(file));
      },
    };
  },

  async transformers({ url, folder, threads }) {
    const transformers = await import(url);
    Object.assign(transformers.env, { allowRemoteModels: false, localModelPath: '' });
    const session_options = { intraOpNumThreads: threads, interOpNumThreads: 1 };
    return loadPeer(transformers, folder, { device: 'cpu', session_options });
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

  /** All files once: ms, the processor's ms, with what the threads that had pictures did, and the first vector. */
  async run({ files, options }) {
    await encoder.embed(files.slice(0, 4), options);
    for (const each of everyone) each.fill(0);
    since = performance.now();
    const [begin, used] = [since, processTime()];
    const vectors = await encoder.embed(files, options);
    const [ms, cpu] = [performance.now() - begin, processTime() - used];
    const working = everyone.filter(([computing]) => computing);
    const sums = STAGES.map((_, i) => working.reduce((sum, stages) => sum + stages[i], 0));
    return { ms, cpu, threads: working.length, stages: sums, vectors: [Array.from(vectors[0])] };
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
