#!/usr/bin/env python3
"""Golden data for the towers: tiny models with random weights, computed by OpenCLIP, timm and Hugging Face's transformers themselves.

    python3 weights-tools/golden_towers.py [NAME ...]          everything, or only the named ones

For each configuration in tests/golden/towers/
    NAME.safetensors            the checkpoint exactly as its state_dict has it (both towers, unless the notes say otherwise)
    NAME.json                   {"model_cfg", "preprocess_cfg"}, the schema of open_clip_config.json
    NAME.expected.safetensors   pixels [n, 3, H, W] F16, image_features [n, dim] F32,
                                tokens [n, context] I32, text_features [n, dim] F32; features are not normalised.
                                Where OpenCLIP returns a vector a token (pool_type none) they are [n, length, dim]
    index.json                  the list of {name, options, towers, notes}
and tests/golden/parameters.json: for the towers of OpenCLIP's own configurations, which tensors each has (golden/parameters.py).

The configurations of a family of towers are in its module of weights-tools/golden/.

Every parameter and buffer is random, and weights are rounded to the stored type before anything is computed (in fp32, as OpenCLIP
does). The script itself proves that the data can tell right from wrong, and stops where it cannot:
  - the vectors differ from each other (median pairwise cosine), and fp64 arithmetic agrees with fp32;
  - every tensor of a tower matters: with a neutral value (0 for weights and biases, 1 for scales) the vectors move;
  - every option matters: with its default instead, OpenCLIP gives other vectors or wants other tensors.
"""
import copy
import hashlib
import json
import sys
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from golden import convnext, eva, fastvit, hf_text, m2m_text, openclip, resized, resnet, swin, t5_text, timm_vit
from golden.checks import check_options, check_tensors, check_vectors
from golden.inputs import make_pixels, make_tokens
from golden.model import build, features, in_tower
from golden.parameters import write_parameters
from golden.weights import randomise

FOLDER = Path(__file__).resolve().parent.parent / 'tests' / 'golden'
# What the encoder loads; and what it is to load next, by family.
INDEXES = {'index.json': openclip.GOLDENS + resnet.GOLDENS + timm_vit.GOLDENS + eva.GOLDENS + convnext.GOLDENS + swin.GOLDENS + fastvit.GOLDENS
           + hf_text.GOLDENS + t5_text.GOLDENS
           + m2m_text.GOLDENS + resized.GOLDENS}


def save(tensors, path, metadata=None):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    path.chmod(0o644)   # safetensors makes files that only their owner reads


def write(golden, state, inputs, expected):
    folder = FOLDER / 'towers'
    folder.mkdir(parents=True, exist_ok=True)
    save(state, folder / f'{golden.name}.safetensors', {'format': 'pt'})
    arrays = {}
    if 'image' in golden.towers:
        arrays.update(pixels=inputs['image'].half(), image_features=expected['image'])
    if 'text' in golden.towers:
        arrays.update(tokens=inputs['text'].to(torch.int32), text_features=expected['text'])
    save(arrays, folder / f'{golden.name}.expected.safetensors')
    size = golden.config()['vision_cfg']['image_size']
    size = list(size) if isinstance(size, (list, tuple)) else [size] * 2
    preprocess = {'size': size, 'mode': 'RGB', 'mean': list(open_clip.OPENAI_DATASET_MEAN),
                  'std': list(open_clip.OPENAI_DATASET_STD), 'interpolation': 'bicubic', 'resize_mode': 'shortest', 'fill_color': 0}
    (folder / f'{golden.name}.json').write_text(
        json.dumps({'model_cfg': golden.config(), 'preprocess_cfg': preprocess}, indent=2) + '\n')


def seeded(name):
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], 'little'))


def report(golden, tower, cosine, weakest):
    print(f'{golden.name:24} {tower:5}  median cosine {cosine:5.2f}  least effect {weakest[1]:8.3f} of {weakest[0]}', flush=True)


def make_golden(golden):
    generator = seeded(golden.name)
    config = golden.config()
    make, to_openclip = golden.other or (build, None)
    model = make(config)
    randomise(model, generator, golden.dtype, golden.tail)
    inputs = {'image': make_pixels(golden.inputs, config['vision_cfg']['image_size'], generator),
              'text': (hf_text.make_tokens if golden.is_foreign('text') else make_tokens)(golden.inputs, config['text_cfg'], generator)}
    if golden.prepare:
        golden.prepare(model, inputs, generator, golden.dtype)
    exact = copy.deepcopy(model).double()
    expected = {}
    for tower in golden.towers:
        expected[tower] = features(model, tower, inputs[tower])
        wide = inputs[tower].double() if tower == 'image' else inputs[tower]
        cosine = check_vectors(golden.name, tower, expected[tower], features(exact, tower, wide))
        report(golden, tower, cosine, check_tensors(golden, model, tower, inputs[tower], expected[tower]))
    reference = model
    if to_openclip:
        reference = build(config)
        reference.load_state_dict(to_openclip(model.state_dict()), strict=len(golden.towers) == 2)
        for tower in golden.towers:
            check_vectors(golden.name, tower, expected[tower], features(reference, tower, inputs[tower]))
    check_options(golden, reference, inputs, expected)
    state = {name: tensor.to(golden.dtype) if tensor.is_floating_point() else tensor for name, tensor in model.state_dict().items()
             if len(golden.towers) == 2 or to_openclip or in_tower(name, golden.towers[0])}
    write(golden, golden.names(state) if golden.names else state, inputs, expected)


def main():
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    goldens = [golden for goldens in INDEXES.values() for golden in goldens]
    unknown = set(wanted) - {golden.name for golden in goldens}
    if unknown:
        sys.exit(f'no such configuration: {", ".join(sorted(unknown))}')
    for golden in goldens:
        if not wanted or golden.name in wanted:
            make_golden(golden)
    for index, goldens in INDEXES.items():
        lines = ',\n'.join('  ' + json.dumps({'name': g.name, 'options': g.options, 'towers': list(g.towers), 'notes': g.notes})
                           for g in goldens if (FOLDER / 'towers' / f'{g.name}.safetensors').exists())
        (FOLDER / 'towers' / index).write_text(f'[\n{lines}\n]\n')
    if not wanted:
        write_parameters(FOLDER / 'parameters.json')


if __name__ == '__main__':
    main()
