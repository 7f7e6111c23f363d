#!/usr/bin/env python3
"""What onnxruntime's dynamic int8 quantisation leaves of halfclip-emoji, for the table in the README: tests/golden/emoji/onnxruntime.json.

    python3 weights-tools/onnxruntime_emoji.py

Both towers are exported from OpenCLIP (torch.onnx.export, opset 18) and quantised as is usual for onnxruntime-web: quantize_dynamic with QUInt8 weights for
MatMul, Gemm and Gather. Inputs and measures are those of tests/accuracy.mjs: the pictures and names of tests/golden/emoji/expected.safetensors; cosines to
OpenCLIP's fp32 vectors; recall of emoji by name among OpenCLIP's fp32 vectors of all pictures, and of the names of pictures.
"""
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from safetensors import safe_open

from emoji_model import GOLDEN, load_model, new_preprocess, new_tokenizer


class Tower(torch.nn.Module):
    """One method of a model as a module of its own."""
    def __init__(self, encode, module):
        super().__init__()
        self.encode = encode
        self.module = module       # whose weights are exported

    def forward(self, x):
        return self.encode(x)


def export(encode, module, example, name, folder):
    """Sessions of the tower with a batch of any size: in fp32, and quantised."""
    tower = Tower(encode, module)
    path, quantised = folder / f'{name}.onnx', folder / f'{name}-int8.onnx'
    torch.onnx.export(tower.eval(), (example,), path, dynamo=True, opset_version=18, dynamic_shapes=[{0: torch.export.Dim('batch')}], external_data=False)
    graph = onnx.load(path)
    del graph.graph.value_info[:]
    onnx.save(graph, path)
    quantize_dynamic(path, quantised, weight_type=QuantType.QUInt8, op_types_to_quantize=['MatMul', 'Gemm', 'Gather'])
    return [onnxruntime.InferenceSession(p, providers=['CPUExecutionProvider']) for p in (path, quantised)]


def run(session, inputs, size):
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: inputs[i:i + size]})[0] for i in range(0, len(inputs), size)])


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def recall(queries, gallery, right, k):
    scores = unit(queries) @ unit(gallery).T
    own = scores[np.arange(len(right)), right][:, None]
    better = (scores >= own).sum(1) - 1
    return float((better < k).mean())


def main():
    model = load_model()
    with safe_open(GOLDEN / 'expected.safetensors', 'np') as f:
        names, pictures = json.loads(f.metadata()['names']), f.get_tensor('pixels')
        expected = {'image': f.get_tensor('image_features').astype(np.float32), 'text': f.get_tensor('text_features').astype(np.float32)}
        gallery, right = f.get_tensor('all_image_features').astype(np.float32), f.get_tensor('pixel_emoji')
    preprocess = new_preprocess()
    inputs = {'image': torch.stack([preprocess(Image.fromarray(p)) for p in pictures]), 'text': new_tokenizer()(list(names))}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for tower, encode, module in (('image', model.encode_image, model.visual), ('text', model.encode_text, model)):
            exact, int8 = export(encode, module, inputs[tower][:3], tower, Path(folder))
            values = inputs[tower].numpy()
            worst = (unit(run(exact, values, 64)) * unit(expected[tower])).sum(1).min()
            assert worst > 0.99999, f'{tower}: the exported fp32 model is not OpenCLIP: cosine {worst}'
            # One input at a time, as scales are those of all that is computed at once.
            found[tower] = run(int8, values, 1)
    result = {
        'onnxruntime': onnxruntime.__version__,
        'cosine': {tower: float((unit(found[tower]) * unit(expected[tower])).sum(1).mean()) for tower in found},
        'recall': {
            'emoji by name': {k: recall(found['text'], gallery, np.arange(len(names)), k) for k in (1, 10)},
            'names by picture': {k: recall(found['image'], found['text'], right, k) for k in (1, 10)},
        },
    }
    print(json.dumps(result, indent=1))
    (GOLDEN / 'onnxruntime.json').write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
