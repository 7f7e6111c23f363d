// The towers of CLIP as ONNX models, from the tensors of an OpenCLIP checkpoint: the graph that torch.onnx.export makes
// of Hugging Face's CLIPVisionModelWithProjection and CLIPTextModelWithProjection; at int8 what onnxruntime's
// quantize_dynamic(weight_type=QUInt8, op_types_to_quantize=['MatMul', 'Gemm', 'Gather']) makes of that: asymmetric
// weights per tensor, activations quantised at run time, the rest in fp32; at int4 what its
// MatMulNBitsQuantizer(block_size=32, is_symmetric=True, accuracy_level=4) makes: weights in groups of 32, activations
// at 8 bits.

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

/**
 * As onnxruntime's MatMulNBits wants W [k, n]: for each column, groups of 32 values at 4 bits, low halves first, around
 * 8; and their scales.
 */
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

class Tower {
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
    if (!this.#quantised.has(x)) this.#quantised.set(x, graph.add('DynamicQuantizeLinear', [x], {}, 3));
    const [levels, scale, zero] = this.#quantised.get(x);
    const w = quantise(data);
    const sums = graph.add('MatMulInteger', [
      levels,
      graph.constant(w.data, [k, n]),
      zero,
      graph.constant(Uint8Array.of(w.zero), []),
    ]);
    const scales = graph.add('Mul', [scale, graph.scalar(w.scale)]);
    return graph.add('Mul', [graph.add('Cast', [sums], { to: BigInt(ELEMENT.float) }), scales]);
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

  attention(x, name, { width, heads }, mask) {
    const { graph } = this;
    const split = graph.integers(0, 0, heads, width / heads);
    const [q, k, v] = [
      [0, 2, 1, 3],
      [0, 2, 3, 1],
      [0, 2, 1, 3],
    ].map((perm, part) => {
      const projected = this.linear(x, `${name}.in_proj_weight`, `${name}.in_proj_bias`, part, 3);
      return graph.add('Transpose', [graph.add('Reshape', [projected, split])], { perm });
    });
    const scores = graph.add('Mul', [graph.add('MatMul', [q, k]), graph.scalar(Math.sqrt(heads / width))]);
    const weights = graph.add('Softmax', [mask ? graph.add('Add', [scores, mask]) : scores], { axis: -1n });
    const joined = graph.add('Transpose', [graph.add('MatMul', [weights, v])], { perm: [0, 2, 1, 3] });
    return this.linear(
      graph.add('Reshape', [joined, graph.integers(0, 0, width)]),
      `${name}.out_proj.weight`,
      `${name}.out_proj.bias`,
    );
  }

  blocks(x, prefix, shape, quick, mask) {
    let hidden = x;
    for (let i = 0; i < shape.layers; i++) {
      const name = `${prefix}transformer.resblocks.${i}`;
      hidden = this.graph.add('Add', [
        hidden,
        this.attention(this.norm(hidden, `${name}.ln_1`), `${name}.attn`, shape, mask),
      ]);
      const inner = this.linear(this.norm(hidden, `${name}.ln_2`), `${name}.mlp.c_fc.weight`, `${name}.mlp.c_fc.bias`);
      const active = quick ? this.quickGelu(inner) : this.gelu(inner);
      hidden = this.graph.add('Add', [
        hidden,
        this.linear(active, `${name}.mlp.c_proj.weight`, `${name}.mlp.c_proj.bias`),
      ]);
    }
    return hidden;
  }
}

function image(
  tower,
  { embed_dim, quick_gelu, vision_cfg: { image_size, patch_size, width, layers, head_width = 64 } },
) {
  const { graph } = tower;
  const pixels = graph.input('pixels', ELEMENT.float, ['batch', 3, image_size, image_size]);
  const patches = graph.add('Conv', [pixels, tower.vector('visual.conv1.weight')], {
    kernel_shape: [patch_size, patch_size],
    strides: [patch_size, patch_size],
  });
  const tokens = graph.add('Transpose', [graph.add('Reshape', [patches, graph.integers(0, width, -1)])], {
    perm: [0, 2, 1],
  });
  const batch = graph.add('Shape', [pixels], { start: 0n, end: 1n });
  const shape = graph.add('Concat', [batch, graph.integers(1, width)], { axis: 0n });
  const start = graph.add('Expand', [graph.constant(tower.floats('visual.class_embedding'), [1, 1, width]), shape]);
  const x = graph.add('Add', [
    graph.add('Concat', [start, tokens], { axis: 1n }),
    tower.vector('visual.positional_embedding'),
  ]);
  const hidden = tower.blocks(
    tower.norm(x, 'visual.ln_pre'),
    'visual.',
    { width, layers, heads: width / head_width },
    quick_gelu,
  );
  const pooled = graph.add('Gather', [hidden, graph.constant(BigInt64Array.of(0n), [])], { axis: 1n });
  return tower.matmul(tower.norm(pooled, 'visual.ln_post'), tower.floats('visual.proj'), width, embed_dim);
}

function text(tower, { embed_dim, quick_gelu, text_cfg: { context_length, width, layers, heads } }) {
  const { graph } = tower;
  const ids = graph.input('ids', ELEMENT.int64, ['batch', 'length']);
  const length = graph.add('Shape', [ids], { start: 1n, end: 2n });
  const positions = graph.add('Slice', [
    tower.vector('positional_embedding'),
    graph.integers(0),
    length,
    graph.integers(0),
  ]);
  const hides = (i) => i % context_length > Math.floor(i / context_length);
  const future = Float32Array.from({ length: context_length ** 2 }, (_, i) => (hides(i) ? -3.4028234663852886e38 : 0));
  const square = graph.add('Concat', [length, length], { axis: 0n });
  const mask = graph.add('Slice', [
    graph.constant(future, [context_length, context_length]),
    graph.integers(0, 0),
    square,
    graph.integers(0, 1),
  ]);
  const x = graph.add('Add', [tower.rowsOf('token_embedding.weight', ids), positions]);
  const hidden = tower.norm(tower.blocks(x, '', { width, layers, heads }, quick_gelu, mask), 'ln_final');
  const end = graph.add('ArgMax', [ids], { axis: 1n, keepdims: 1n });
  return tower.matmul(
    graph.add('GatherND', [hidden, end], { batch_dims: 1n }),
    tower.floats('text_projection'),
    width,
    embed_dim,
  );
}

/**
 * Inputs: `pixels` [batch, 3, H, W], or `ids` int64 [batch, length], the end token's id being the largest; output:
 * `vectors` [batch, dim].
 * @param {'image' | 'text'} name
 * @param {object} config OpenCLIP's model config
 * @param {Record<string, { dtype: string, shape: number[], bytes: Buffer }>} tensors of the checkpoint, in F16
 * @param {'fp32' | 'int8' | 'int4'} dtype
 * @returns {Buffer[]} the model's file, in pieces
 */
export function clipOnnx(name, config, tensors, dtype) {
  const tower = new Tower(tensors, dtype);
  const vectors = (name === 'image' ? image : text)(tower, config);
  tower.graph.output(vectors, 'vectors', ELEMENT.float, ['batch', config.embed_dim]);
  return tower.graph.chunks();
}
