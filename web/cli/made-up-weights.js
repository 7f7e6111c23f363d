// Weights of an architecture that nobody has trained, to see how fast it is: that depends on shapes, not on values.

import { CHUNK, Source } from '../sources/source.js';
import { DTYPES, TOWERS, readTensors } from '../wasm/interface.js';

const PREFIX = 8; // bytes before a safetensors header: its length

/** A safetensors file of fp16 numbers that is made up while it is read. */
class MadeUpSource extends Source {
  #header;
  #tensors;

  /** @param {{ name: string, shape: number[] }[]} tensors */
  constructor(tensors) {
    let end = 0;
    const placed = tensors.map(({ name, shape }) => {
      const begin = end;
      end += 2 * shape.reduce((product, side) => product * side, 1);
      return { name, shape, begin, end };
    });
    const entries = placed.map(({ name, shape, begin, end }) => [
      name,
      { dtype: 'F16', shape, data_offsets: [begin, end] },
    ]);
    const text = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
    const length = Buffer.alloc(PREFIX);
    length.writeBigUInt64LE(BigInt(text.length));
    super('made-up weights', PREFIX + text.length + end);
    this.#header = Buffer.concat([length, text]);
    this.#tensors = placed;
  }

  async *read(begin, end) {
    const last = Math.min(end, this.size);
    for (let at = begin; at < last; at += CHUNK) {
      const chunk = new Uint8Array(Math.min(CHUNK, last - at));
      this.received += chunk.length;
      this.#fill(chunk, at);
      yield chunk;
    }
  }

  #fill(chunk, at) {
    const { length } = this.#header;
    chunk.set(this.#header.subarray(at, at + chunk.length));
    for (const { shape, begin, end } of this.#tensors) {
      const from = Math.max(0, length + begin - at);
      const to = Math.min(chunk.length, length + end - at);
      for (let i = from; i < to; i++) chunk[i] = byteOf(at + i - length - begin, shape.length > 1);
    }
  }
}

/** A byte of an fp16 number of 0.05 to 0.12; variances must not be negative, and matrices must not be only positive. */
function byteOf(at, signed) {
  const noise = Math.imul(at >> 1, 0x9e3779b1) >>> 8;
  if (at % 2 === 0) return noise & 0xff;
  return 0x2a | ((noise >> 8) & 0x05) | (signed ? (noise >> 9) & 0x80 : 0);
}

/**
 * @param {import('../wasm/instance.js').Wasm} wasm
 * @param {'image' | 'text'} tower
 * @param {string} config JSON text
 * @returns {object} a source; of a config that no tower can be made of, it holds nothing, and the loader says why
 */
export function makeUpWeights(wasm, tower, config) {
  const start = (pointer, length) => wasm.newLoader(TOWERS[tower], pointer, length, DTYPES.auto);
  const loader = wasm.with(config, 'the config', start);
  const tensors = readTensors(wasm, loader);
  wasm.exports.hc_loader_free(loader);
  return new MadeUpSource(tensors);
}
