#!/usr/bin/env python3
"""One tower of an architecture with random weights, as a checkpoint and as what onnxruntime runs of it: for tests/bench.

    python3 weights-tools/onnx_towers.py FOLDER MODEL image|text [fp32] [int8] [int4]

In FOLDER
    TOWER.checkpoint     safetensors, F16, under OpenCLIP's names
    TOWER-fp32.onnx      torch.onnx.export of OpenCLIP's own module, with those weights: pixels [n, 3, H, W] or ids [n, length] to vectors
    TOWER-int8.onnx      quantize_dynamic with QUInt8 weights for MatMul, Gemm and Gather, as is usual; convolutions stay in fp32 (CONV=1 in the
                         environment quantises them, too, which makes onnxruntime-web slower: its ConvInteger has no fast kernel)
    TOWER-int4.onnx      MatMulNBits, groups of 32, accuracy_level 4

Tensors of FastViT's training branches are summed by timm before the export (reparameterize_model), as everybody exports it.
"""
import argparse
import os
from pathlib import Path

import onnx
import open_clip
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from timm.utils.model import reparameterize_model

from coverage import build, save_tower, settle, tokens_of, vectors_of
from golden.weights import kind, randomise


class Tower(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return vectors_of(self.module, x)


def calm(module):
    """Transformers' branches, smaller beside what they are added to, as trained towers have them: with golden data's, which are of the same size or larger,
    what int8 rounds grows from layer to layer until the vectors say little."""
    for name, tensor in module.state_dict().items():
        parent = kind(name)[1]
        if parent in ('c_proj', 'fc2', 'wo') or '.output.dense.' in name and '.attention.' not in name:
            tensor.mul_(1 / 16)
        elif parent in ('out_proj', 'o_proj') or '.attention.output.dense.' in name or '.attn.proj.' in name:
            tensor.mul_(1 / 4)


def export(module, tower, example, path):
    shapes = {0: torch.export.Dim('batch')}
    if tower == 'text':
        shapes[1] = torch.export.Dim('length')
    names = dict(input_names=['pixels' if tower == 'image' else 'ids'], output_names=['vectors'])
    torch.onnx.export(Tower(module).eval(), (example,), path, dynamo=True, opset_version=18, dynamic_shapes=[shapes], external_data=False, **names)
    graph = onnx.load(path)
    del graph.graph.value_info[:]
    onnx.save(graph, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('model')
    parser.add_argument('tower', choices=['image', 'text'])
    parser.add_argument('dtypes', nargs='*', default=['fp32', 'int8', 'int4'])
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    config = open_clip.get_model_config(options.model)
    tower, folder = options.tower, options.folder
    module, _ = build(config, tower)
    generator = torch.Generator().manual_seed(1)
    randomise(module, generator, torch.float16, False)
    calm(module)
    if tower == 'image':
        size = config['vision_cfg']['image_size']
        example = torch.randn(2, 3, size, size, generator=generator)
    else:
        example = tokens_of(config, generator)[:2, :12]
    settle(module, example)
    folder.mkdir(parents=True, exist_ok=True)
    save_tower(module, config, tower, folder / f'{tower}.checkpoint')
    if tower == 'image':
        module = reparameterize_model(module)
    exact = folder / f'{tower}-fp32.onnx'
    export(module, tower, example, exact)
    if 'int8' in options.dtypes:
        kinds = ['MatMul', 'Gemm', 'Gather'] + (['Conv'] if os.environ.get('CONV') else [])
        quantize_dynamic(exact, folder / f'{tower}-int8.onnx', weight_type=QuantType.QUInt8, op_types_to_quantize=kinds)
    if 'int4' in options.dtypes:
        four = MatMulNBitsQuantizer(onnx.load(exact), bits=4, block_size=32, is_symmetric=True, accuracy_level=4)
        four.process()
        four.model.save_model_to_file(str(folder / f'{tower}-int4.onnx'))
    if 'fp32' not in options.dtypes:
        exact.unlink()


if __name__ == '__main__':
    main()
