// OpenCLIP's ModifiedResNet as an ONNX model: the graph that torch.onnx.export makes of it, where attention pools with
// a query from every pixel; at int8 with every convolution as ConvInteger, which is what quantize_dynamic makes of all
// of its operators by default. And a random checkpoint of it.

import { ELEMENT } from './onnx.mjs';

export const isResnet = ({ vision_cfg }) => Array.isArray(vision_cfg?.layers);

function bottleneck(tower, x, name, stride, widens) {
  const { graph } = tower;
  const halve = (y) =>
    stride > 1 ? graph.add('AveragePool', [y], { kernel_shape: [stride, stride], strides: [stride, stride] }) : y;
  const relu = (y) => graph.add('Relu', [y]);
  const hidden = relu(tower.conv(x, `${name}.conv1.weight`, `${name}.bn1`));
  const inner = halve(relu(tower.conv(hidden, `${name}.conv2.weight`, `${name}.bn2`)));
  const out = tower.conv(inner, `${name}.conv3.weight`, `${name}.bn3`);
  const identity = widens ? tower.conv(halve(x), `${name}.downsample.0.weight`, `${name}.downsample.1`) : x;
  return relu(graph.add('Add', [out, identity]));
}

function attentionPool(tower, x, { side, width, heads, dim }) {
  const { graph } = tower;
  const name = 'visual.attnpool';
  const tokens = side ** 2 + 1;
  const pixels = graph.add('Transpose', [graph.add('Reshape', [x, graph.integers(0, width, -1)])], { perm: [2, 0, 1] });
  const mean = graph.add('ReduceMean', [pixels, graph.integers(0)]);
  const positions = graph.constant(tower.floats(`${name}.positional_embedding`), [tokens, 1, width]);
  const all = graph.add('Add', [graph.add('Concat', [mean, pixels], { axis: 0n }), positions]);
  const [q, k, v] = ['q', 'k', 'v'].map((part) => {
    const projected = tower.linear(all, `${name}.${part}_proj.weight`, `${name}.${part}_proj.bias`);
    const split = graph.add(
      'Transpose',
      [graph.add('Reshape', [projected, graph.integers(tokens, -1, width / heads)])],
      { perm: part === 'k' ? [1, 2, 0] : [1, 0, 2] },
    );
    return graph.add('Reshape', [
      split,
      part === 'k'
        ? graph.integers(-1, heads, width / heads, tokens)
        : graph.integers(-1, heads, tokens, width / heads),
    ]);
  });
  const scaled = [q, k].map((part) => graph.add('Mul', [part, graph.scalar((heads / width) ** 0.25)]));
  const weights = graph.add('Softmax', [graph.add('MatMul', scaled)], { axis: -1n });
  const joined = graph.add('Transpose', [graph.add('MatMul', [weights, v])], { perm: [2, 0, 1, 3] });
  const out = tower.linear(
    graph.add('Reshape', [joined, graph.integers(-1, width)]),
    `${name}.c_proj.weight`,
    `${name}.c_proj.bias`,
  );
  return graph.add(
    'Gather',
    [graph.add('Reshape', [out, graph.integers(tokens, -1, dim)]), graph.constant(BigInt64Array.of(0n), [])],
    { axis: 0n },
  );
}

/** The blocks of a ModifiedResNet: name, channels that come in, those in between, stride. */
function blocksOf({ layers, width }) {
  const blocks = [];
  let channels = width;
  layers.forEach((count, i) => {
    for (let j = 0; j < count; j++) {
      const inner = width << i;
      blocks.push({ name: `visual.layer${i + 1}.${j}`, channels, inner, stride: i && !j ? 2 : 1 });
      channels = 4 * inner;
    }
  });
  return blocks;
}

const widens = ({ channels, inner, stride }) => stride > 1 || channels !== 4 * inner;

export function resnet(tower, { embed_dim: dim, vision_cfg }) {
  const { graph } = tower;
  const { image_size: size, width, head_width: headWidth = 64 } = vision_cfg;
  let x = graph.input('pixels', ELEMENT.float, ['batch', 3, size, size]);
  for (const i of [1, 2, 3])
    x = graph.add('Relu', [tower.conv(x, `visual.conv${i}.weight`, `visual.bn${i}`, i === 1 ? 2 : 1)]);
  x = graph.add('AveragePool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  for (const block of blocksOf(vision_cfg)) x = bottleneck(tower, x, block.name, block.stride, widens(block));
  return attentionPool(tower, x, { side: size / 32, width: 32 * width, heads: (32 * width) / headWidth, dim });
}

/** Weights of a size that keeps activations near 1, so that no dtype loses them. */
export function randomResnet({ embed_dim: dim, vision_cfg }) {
  let seed = 1;
  const tensors = {};
  const add = (name, low, high, ...shape) => {
    const bytes = Buffer.alloc(2 * shape.reduce((a, b) => a * b));
    const halves = new Float16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    for (let i = 0; i < halves.length; i++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      halves[i] = low + (high - low) * (seed / 2 ** 32);
    }
    tensors[name] = { dtype: 'F16', shape, bytes };
  };
  const conv = (name, norm, n, channels, kernel, factor = 1) => {
    const most = Math.sqrt(6 / (channels * kernel ** 2));
    add(`${name}.weight`, -most, most, n, channels, kernel, kernel);
    add(`${norm}.weight`, 0.5 * factor, 1.5 * factor, n);
    add(`${norm}.bias`, -0.5 * factor, 0.5 * factor, n);
    add(`${norm}.running_mean`, -0.2, 0.2, n);
    add(`${norm}.running_var`, 0.5, 1.5, n);
  };
  const linear = (name, n, k) => {
    const most = Math.sqrt(3 / k);
    add(`${name}.weight`, -most, most, n, k);
    add(`${name}.bias`, -0.5, 0.5, n);
  };
  const { width, image_size: size } = vision_cfg;
  [
    [width / 2, 3],
    [width / 2, width / 2],
    [width, width / 2],
  ].forEach(([n, channels], i) => conv(`visual.conv${i + 1}`, `visual.bn${i + 1}`, n, channels, 3));
  for (const block of blocksOf(vision_cfg)) {
    const { name, channels, inner } = block;
    conv(`${name}.conv1`, `${name}.bn1`, inner, channels, 1);
    conv(`${name}.conv2`, `${name}.bn2`, inner, inner, 3);
    conv(`${name}.conv3`, `${name}.bn3`, 4 * inner, inner, 1, 0.25);
    if (widens(block)) conv(`${name}.downsample.0`, `${name}.downsample.1`, 4 * inner, channels, 1);
  }
  const features = 32 * width;
  add('visual.attnpool.positional_embedding', -1, 1, (size / 32) ** 2 + 1, features);
  for (const part of ['q', 'k', 'v']) linear(`visual.attnpool.${part}_proj`, features, features);
  linear('visual.attnpool.c_proj', dim, features);
  return tensors;
}
