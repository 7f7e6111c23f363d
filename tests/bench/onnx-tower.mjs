// What the ONNX models of all towers are made of: layers with the tensors of an OpenCLIP checkpoint, as
// torch.onnx.export makes them; at int8 what onnxruntime's quantize_dynamic(weight_type=QUInt8) makes of that:
// asymmetric weights per tensor, activations quantised at run time, the rest in fp32; at int4 what its
// MatMulNBitsQuantizer(block_size=32, is_symmetric=True, accuracy_level=4) makes: weights in groups of 32, activations
// at 8 bits, convolutions in fp32.

import { ELEMENT, Graph } from './onnx.mjs';

const EPSILON = 1e-5;
const HALVES = Float32Array.from({ length: 65536 }, (_, half) => {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  return (half & 0x8000 ? -1 : 1) * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
});

function floats({ dtype, bytes }) {
  if (dtype !== 'F16') throw new Error(`expected a checkpoint in F16, found ${dtype}`);
  const out = new Float32Array(bytes.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = HALVES[bytes[2 * i] | (bytes[2 * i + 1] << 8)];
  return out;
}

/** [n, k] to [k, n]. */
function transpose(matrix, n, k) {
  const out = new Float32Array(matrix.length);
  for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) out[j * n + i] = matrix[i * k + j];
  return out;
}

/** As onnxruntime.quantization does for QUInt8: 0 is among the 256 levels. */
function quantise(data) {
  let low = 0;
  let high = 0;
  for (const x of data) {
    if (x < low) low = x;
    else if (x > high) high = x;
  }
  const scale = (high - low) / 255;
  const zero = Math.round(-low / scale);
  const levels = new Uint8ClampedArray(data.length); // rounds and clamps what it is given
  for (let i = 0; i < data.length; i++) levels[i] = data[i] / scale + zero;
  return { data: new Uint8Array(levels.buffer), scale, zero };
}

/** As onnxruntime's MatMulNBits wants W [k, n]: for each column, groups of 32 values at 4 bits, low halves first, around 8; and their scales. */
function quantiseGroups(data, k, n) {
  const groups = k / 32;
  const levels = new Uint8Array((n * k) / 2);
  const scales = new Float32Array(n * groups);
  for (let column = 0; column < n; column++) {
    for (let group = 0; group < groups; group++) {
      const at = (i) => data[(group * 32 + i) * n + column];
      let most = 0;
      for (let i = 0; i < 32; i++) if (Math.abs(at(i)) > Math.abs(most)) most = at(i);
      const scale = most / -8;
      scales[column * groups + group] = scale;
      for (let i = 0; i < 32; i++) {
        const level = scale ? Math.max(0, Math.min(15, Math.round(at(i) / scale) + 8)) : 8;
        levels[(column * groups + group) * 16 + (i >> 1)] |= level << (4 * (i & 1));
      }
    }
  }
  return { levels, scales, groups };
}

export class Tower {
  #tensors;
  #dtype;
  #quantised = new Map(); // value: [its bytes, scale, zero point], made once for all of its readers

  constructor(tensors, dtype) {
    this.graph = new Graph();
    this.#tensors = tensors;
    this.#dtype = dtype;
  }

  floats(name) {
    return floats(this.#tensors[name]);
  }

  vector(name) {
    return this.graph.constant(this.floats(name), this.#tensors[name].shape);
  }

  /** x W of W [k, n]. */
  matmul(x, data, k, n) {
    const { graph } = this;
    if (this.#dtype === 'fp32') return graph.add('MatMul', [x, graph.constant(data, [k, n])]);
    if (this.#dtype === 'int4') {
      const { levels, scales, groups } = quantiseGroups(data, k, n);
      const attributes = { K: BigInt(k), N: BigInt(n), bits: 4n, block_size: 32n, accuracy_level: 4n };
      return graph.add(
        'MatMulNBits',
        [x, graph.constant(levels, [n, groups, 16]), graph.constant(scales, [n * groups])],
        attributes,
        1,
        'com.microsoft',
      );
    }
    return this.#integers('MatMulInteger', x, data, [k, n]);
  }

  /** x by `op` with a weight at 8 bits: the exact sums, and what they are multiplied with. */
  #integers(op, x, data, shape, attributes = {}) {
    const { graph } = this;
    if (!this.#quantised.has(x)) this.#quantised.set(x, graph.add('DynamicQuantizeLinear', [x], {}, 3));
    const [levels, scale, zero] = this.#quantised.get(x);
    const w = quantise(data);
    const sums = graph.add(
      op,
      [levels, graph.constant(w.data, shape), zero, graph.constant(Uint8Array.of(w.zero), [])],
      attributes,
    );
    const scales = graph.add('Mul', [scale, graph.scalar(w.scale)]);
    return graph.add('Mul', [graph.add('Cast', [sums], { to: BigInt(ELEMENT.float) }), scales]);
  }

  /** A convolution with the BatchNorm after it folded into its weight and bias, as the exporter does. */
  conv(x, weight, norm, stride = 1) {
    const { graph } = this;
    const { shape } = this.#tensors[weight];
    const [n, , height, width] = shape;
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map((part) =>
      this.floats(`${norm}.${part}`),
    );
    const factors = gamma.map((g, i) => g / Math.sqrt(variance[i] + EPSILON));
    const data = this.floats(weight);
    const each = data.length / n;
    for (let i = 0; i < data.length; i++) data[i] *= factors[Math.floor(i / each)];
    const bias = beta.map((b, i) => b - mean[i] * factors[i]);
    const [down, right] = [(height - 1) / 2, (width - 1) / 2];
    const attributes = { kernel_shape: [height, width], pads: [down, right, down, right], strides: [stride, stride] };
    if (this.#dtype !== 'int8')
      return graph.add('Conv', [x, graph.constant(data, shape), graph.constant(bias, [n])], attributes);
    const reshaped = graph.add('Reshape', [graph.constant(bias, [n]), graph.integers(1, -1, 1, 1)]);
    return graph.add('Add', [this.#integers('ConvInteger', x, data, shape, attributes), reshaped]);
  }

  /** x Wᵀ + b, with rows `part` of `parts` equal ones of W [parts * n, k] and b. */
  linear(x, weight, bias, part = 0, parts = 1) {
    const [all, k] = this.#tensors[weight].shape;
    const n = all / parts;
    const rows = this.floats(weight).subarray(part * n * k, (part + 1) * n * k);
    const b = this.graph.constant(this.floats(bias).slice(part * n, (part + 1) * n), [n]);
    return this.graph.add('Add', [this.matmul(x, transpose(rows, n, k), k, n), b]);
  }

  rowsOf(table, ids) {
    const { graph } = this;
    const { shape } = this.#tensors[table];
    if (this.#dtype === 'fp32') return graph.add('Gather', [this.vector(table), ids]);
    const { data, scale, zero } = quantise(this.floats(table));
    return graph.add('DequantizeLinear', [
      graph.add('Gather', [graph.constant(data, shape), ids]),
      graph.scalar(scale),
      graph.constant(Uint8Array.of(zero), []),
    ]);
  }

  norm(x, name) {
    return this.graph.add('LayerNormalization', [x, this.vector(`${name}.weight`), this.vector(`${name}.bias`)], {
      axis: -1n,
      epsilon: EPSILON,
    });
  }

  gelu(x) {
    const { graph } = this;
    const erf = graph.add('Erf', [graph.add('Div', [x, graph.scalar(Math.SQRT2)])]);
    return graph.add('Mul', [graph.add('Mul', [x, graph.add('Add', [erf, graph.scalar(1)])]), graph.scalar(0.5)]);
  }

  quickGelu(x) {
    const { graph } = this;
    return graph.add('Mul', [x, graph.add('Sigmoid', [graph.add('Mul', [x, graph.scalar(1.702)])])]);
  }
}
