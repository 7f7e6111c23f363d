// The towers of CLIP as ONNX models, from the tensors of an OpenCLIP checkpoint: for transformers the graph that
// torch.onnx.export makes of Hugging Face's CLIPVisionModelWithProjection and CLIPTextModelWithProjection, quantised
// with op_types_to_quantize=['MatMul', 'Gemm', 'Gather']; for a ModifiedResNet see resnet-onnx.mjs.

import { Tower } from './onnx-tower.mjs';
import { ELEMENT } from './onnx.mjs';
import { isResnet, resnet } from './resnet-onnx.mjs';

class Transformer extends Tower {
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

function vit(
  tower,
  { embed_dim, quick_gelu, vision_cfg: { image_size, patch_size, width, layers, head_width = 64 } },
  input = 'pixels',
) {
  const { graph } = tower;
  const pixels = graph.input(input, ELEMENT.float, ['batch', 3, image_size, image_size]);
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
 * Inputs: `pixels` [batch, 3, H, W], or `ids` int64 [batch, length], the end token's id being the largest; output: `vectors` [batch, dim].
 * @param {'image' | 'text'} name
 * @param {object} config OpenCLIP's model config
 * @param {Record<string, { dtype: string, shape: number[], bytes: Buffer }>} tensors of the checkpoint, in F16
 * @param {'fp32' | 'int8' | 'int4'} dtype
 * @param {[string, string]} [names] of a ViT's input and output, in place of these
 * @returns {Buffer[]} the model's file, in pieces
 */
export function clipOnnx(name, config, tensors, dtype, [input, output = 'vectors'] = []) {
  const tower = new Transformer(tensors, dtype);
  const image = isResnet(config) ? resnet : vit;
  const vectors = (name === 'image' ? image : text)(tower, config, input);
  tower.graph.output(vectors, output, ELEMENT.float, ['batch', config.embed_dim]);
  return tower.graph.chunks();
}
