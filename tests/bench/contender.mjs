// One contender of the benchmark, in a process or a page of its own: halfclip or onnxruntime, with one tower. Runs in
// Node.js, started by fork(), and in a page.

const sizes = []; // functions that give the bytes of each WebAssembly memory in use

// onnxruntime tells nobody how large its heap is, so that memories are noted where they are made.
WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(Memory, args) {
    const memory = new Memory(...args);
    sizes.push(() => memory.buffer.byteLength);
    return memory;
  },
});
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(Instance, args) {
    const instance = new Instance(...args);
    const { memory } = instance.exports;
    if (memory) sizes.push(() => memory.buffer.byteLength);
    return instance;
  },
});

const onnxruntime = {
  /** Texts or pictures as the model's one input. */
  feeds(ort, inputs, tower) {
    const flat = new (tower === 'image' ? Float32Array : BigInt64Array)(inputs.length * inputs[0].length);
    inputs.forEach((input, i) => flat.set(tower === 'image' ? input : Array.from(input, BigInt), i * input.length));
    if (tower === 'text') return { ids: new ort.Tensor('int64', flat, [inputs.length, inputs[0].length]) };
    const side = Math.sqrt(inputs[0].length / 3);
    return { pixels: new ort.Tensor('float32', flat, [inputs.length, 3, side, side]) };
  },

  async load(ort, { tower, weights, provider, threads }) {
    if (provider === 'wasm') ort.env.wasm.numThreads = threads;
    const response = await fetch(weights, { cache: 'no-store' });
    const session = await ort.InferenceSession.create(new Uint8Array(await response.arrayBuffer()), {
      executionProviders: [provider],
      graphOptimizationLevel: 'all',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
    });
    return {
      prepare: (inputs) => this.feeds(ort, inputs, tower),
      run: (feeds) => session.run(feeds),
      vectors({
        vectors: {
          data,
          dims: [count, dim],
        },
      }) {
        return Array.from({ length: count }, (_, i) => Array.from(data.subarray(i * dim, (i + 1) * dim)));
      },
    };
  },
};

const halfclip = {
  async load({ loadImageEncoder, loadTextEncoder }, { tower, weights, threads, pad }) {
    const encoder = await (tower === 'image' ? loadImageEncoder : loadTextEncoder)({
      weights,
      threads,
      worker: false,
      cache: 'no-store',
    });
    const contextLength = encoder.info.contextLength;
    const padded = (ids) => Int32Array.from({ length: contextLength }, (_, i) => ids[i] ?? pad);
    return {
      prepare: (inputs) => (tower === 'image' ? inputs : inputs.map(padded)),
      run: (inputs) => (tower === 'image' ? encoder.embedPixels(inputs) : encoder.embedTokens(inputs)),
      vectors: (all) => all.map((vector) => Array.from(vector)),
      info: encoder.info,
    };
  },
};

/** `count` inputs of one tower, each its own: pixels, or `length` token ids with the end token last. */
function makeInputs({ tower, count, size, length, start, end }) {
  return Array.from({ length: count }, (_, n) =>
    tower === 'image'
      ? Float32Array.from({ length: 3 * size * size }, (__, i) => Math.sin(0.37 * i + n))
      : Int32Array.from({ length }, (__, i) =>
          i === 0 ? start : i === length - 1 ? end : 320 + ((i * 131 + n * 977) % 40000),
        ),
  );
}

function processTime() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

let library;
let model;
let prepared;

/** What the benchmark asks for. */
const commands = {
  /** Imports the library, which is not part of the time of a load. */
  async open({ url }) {
    const module = await import(url);
    library = module.default?.InferenceSession ? module.default : module;
  },

  /**
   * From the call to the first vector, in ms, with the bytes of the WebAssembly heap and what halfclip says of itself.
   */
  async load({ contender, input, ...options }) {
    const inputs = makeInputs(input);
    const begin = performance.now();
    model = await (contender === 'halfclip' ? halfclip.load(library, options) : onnxruntime.load(library, options));
    await model.run(model.prepare(inputs));
    const ms = performance.now() - begin;
    return { ms, heap: sizes.reduce((sum, bytes) => sum + bytes(), 0), info: model.info };
  },

  /** Inputs for `run`; returns their vectors. */
  async prepare({ input }) {
    prepared = model.prepare(makeInputs(input));
    return model.vectors(await model.run(prepared));
  },

  /** The prepared inputs once: ms, in Node.js on request of the process's time. */
  async run({ clock }) {
    const now = clock === 'cpu' && globalThis.process ? processTime : () => performance.now();
    const begin = now();
    await model.run(prepared);
    return now() - begin;
  },
};

export const call = (command, options) => commands[command](options);

globalThis.process?.on?.('message', async ({ command, options }) => {
  try {
    process.send({ result: await call(command, options) });
  } catch (error) {
    process.send({ error: String(error?.stack ?? error) });
  }
});
