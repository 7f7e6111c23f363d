#!/usr/bin/env python3
"""Every tower of OpenCLIP's own configurations at full size, with random weights, computed by OpenCLIP and by halfclip.

    python3 weights-tools/coverage.py [--names PATTERN] [--jobs 2] [--device cpu] [--seconds S]

For each of the 144 architectures, image and text tower (towers that are the same, once): OpenCLIP makes the tower, its weights are random
and rounded to fp16, and both sides embed the same pixels or tokens, OpenCLIP in fp32 and halfclip too, or at fp16 (which are the same weights) where that is
more than FULL bytes. Towers of more than FULL bytes at fp16 have their full width and fewer layers. The results are kept in weights-tools/coverage.json, so
that what is there is not computed again (--again does); tests/coverage.mjs makes the tables of them.

`dist/` has to be built (make dist); NODE names another Node.js.
"""
import argparse
import copy
import datetime
import fnmatch
import hashlib
import json
import multiprocessing
import os
import platform
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import open_clip
import timm
import torch
import transformers
from open_clip.model import _build_text_tower, _build_vision_tower
from safetensors.torch import save_file

from golden.inputs import make_pixels
from golden.weights import randomise
from sizing.hugging_face import hugging_face_config

HERE = Path(__file__).resolve().parent
RESULTS = HERE / 'coverage.json'
FULL = 3 << 30          # bytes: what is left of 4 GB for a tower at fp16, beside its activations
INPUTS = 4
PARAMETERS = json.loads((HERE.parent / 'tests/golden/parameters.json').read_text())
SECTIONS = {'image': 'vision_cfg', 'text': 'text_cfg'}


# ---- the towers ------------------------------------------------------------------------------------------------------------------

def key_of(config, tower):
    """The same for towers that are the same."""
    section = {name: value for name, value in config[SECTIONS[tower]].items()
               if name not in ('timm_model_pretrained', 'hf_model_pretrained', 'hf_tokenizer_name', 'tokenizer_kwargs', 'tokenizer_mode',
                               'timm_drop', 'timm_drop_path', 'patch_dropout')}
    text = json.dumps([tower, config['embed_dim'], config.get('quick_gelu', False), section], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def build(config, tower, layers=None):
    """The tower as open_clip.factory.create_model builds it, and the config that says so; with so many layers instead of its own."""
    config = copy.deepcopy(config)
    cfg = config[SECTIONS[tower]]
    args = {}
    hf_config = hugging_face_config
    with ExitStack() as stack:
        if 'hf_model_name' in cfg:
            cfg['hf_model_pretrained'] = False
            if layers:
                given = hugging_face_config(cfg['hf_model_name']).to_dict()
                given.update(num_hidden_layers=layers, num_layers=layers, encoder_layers=layers)
                cfg['hf_config'] = {name: value for name, value in given.items() if value is not None}
                small = transformers.AutoConfig.for_model(**given)
                hf_config = lambda name: small
            stack.enter_context(patch.object(open_clip.hf_model.AutoConfig, 'from_pretrained', hf_config))
        elif 'timm_model_name' in cfg:
            cfg['timm_model_pretrained'] = False
            if layers:
                args = {'depth': layers}
                create = timm.create_model
                stack.enter_context(patch.object(timm, 'create_model', lambda name, **options: create(name, **options, **args)))
        elif layers:
            cfg['layers'] = layers
        make = _build_vision_tower if tower == 'image' else _build_text_tower
        given = {name: value for name, value in cfg.items() if name != 'hf_config'}
        model = make(config['embed_dim'], given, config.get('quick_gelu', False))
    if args:
        cfg['timm_model_args'] = args
    return model.eval(), config


def save_tower(model, config, tower, path):
    """In fp16, under the names that the whole model's state dict has."""
    prefix = 'visual.' if tower == 'image' else 'text.' if config.get('custom_text') or 'hf_model_name' in config['text_cfg'] else ''
    state = {prefix + name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
             for name, tensor in model.state_dict().items()}
    save_file(state, path, {'format': 'pt'})


def parameters(model):
    return sum(tensor.numel() for name, tensor in model.state_dict().items() if not name.endswith('num_batches_tracked'))


def plan(config, tower):
    """How many layers fit (None: all), the numbers of the whole tower, and of the one that fits."""
    with torch.device('meta'):
        whole = parameters(build(config, tower)[0])
        if 2 * whole <= FULL:
            return None, whole, whole
        sizes = [parameters(build(config, tower, layers)[0]) for layers in (2, 3)]
    layers = 2 + int((FULL // 2 - sizes[0]) // (sizes[1] - sizes[0]))
    return layers, whole, sizes[0] + (layers - 2) * (sizes[1] - sizes[0])


# ---- inputs ----------------------------------------------------------------------------------------------------------------------

def tokens_of(config, generator):
    """Texts of several lengths, which end as the tower's tokenizer ends them: CLIP's with the largest id, others as Hugging Face's."""
    text = config['text_cfg']
    context = text.get('context_length', 77)
    if 'hf_model_name' in text:
        hugging_face = hugging_face_config(text['hf_model_name'])
        vocab, pad = hugging_face.vocab_size, hugging_face.pad_token_id
        # T5's texts have no token before them, for which 0 is the padding.
        first, last = (9, 1) if 't5' in hugging_face.model_type else (0, 2)
    else:
        vocab, pad = text.get('vocab_size', 49408), text.get('pad_id', 0)
        first, last = (0, text.get('eos_id', 2)) if text.get('pool_type') == 'eos' else (vocab - 2, vocab - 1)
    full = text.get('pool_type') == 'last'
    tokens = torch.full((INPUTS, context), pad)
    for i, used in enumerate((context - 2, 3, context // 2, context // 3)):
        used = context - 2 if full else used
        tokens[i, :used + 2] = torch.cat([torch.tensor([first]), torch.randint(5, vocab - 8, (used,), generator=generator), torch.tensor([last])])
    return tokens


def vectors_of(model, inputs):
    outputs = model(inputs)
    return outputs[0] if isinstance(outputs, tuple) else outputs


def settle(model, inputs):
    """BatchNorm's running statistics near those of the inputs, as trained networks have them: with others numbers grow without bound."""
    norms = [norm for norm in model.modules() if isinstance(norm, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1
        norm.train()
    if norms:
        model(inputs)
    for norm in norms:
        norm.eval()
        norm.running_var.clamp_(min=0.1 * norm.running_var.mean())
        norm.running_mean.copy_(norm.running_mean.half())
        norm.running_var.copy_(norm.running_var.half())


def calm(model):
    """Branches that are normed before they are added, smaller, as trained networks have them: with others whatever differs grows tenfold in two layers."""
    for block in model.modules():
        if type(block).__name__ == 'EvaBlockPostNorm':
            for norm in (block.norm1, block.norm2):
                norm.weight.mul_(1 / 8)
                norm.bias.mul_(1 / 8)


# ---- one tower -------------------------------------------------------------------------------------------------------------------

def prepare(config, tower, folder, device, threads):
    """Makes the tower and what OpenCLIP computes with it, in files."""
    layers, whole, held = plan(config, tower)
    generator = torch.Generator(device).manual_seed(int(key_of(config, tower)[:8], 16))
    with torch.device(device):
        model, config = build(config, tower, layers)
    model = model.to(device)
    randomise(model, generator, torch.float16, False)
    calm(model)
    on_cpu = torch.Generator().manual_seed(1)
    inputs = make_pixels(INPUTS, config['vision_cfg'].get('image_size', 224), on_cpu) if tower == 'image' else tokens_of(config, on_cpu)
    settle(model, inputs.to(device))
    expected = vectors_of(model, inputs.to(device)).float().cpu()
    save_tower(model, config, tower, folder / 'weights.safetensors')
    (folder / 'inputs.bin').write_bytes((inputs.float() if tower == 'image' else inputs.int()).numpy().tobytes())
    (folder / 'expected.bin').write_bytes(expected.numpy().tobytes())
    (folder / 'about.json').write_text(json.dumps({'tower': tower, 'model': config, 'count': INPUTS, 'threads': threads,
                                                  'dtype': 'fp32' if 4 * held <= FULL else 'fp16'}))
    return {'parameters': whole, **({'layers': layers, 'held': held} if layers else {})}


def compute(folder):
    done = subprocess.run([os.environ.get('NODE', 'node'), str(HERE / 'coverage.mjs'), str(folder)], capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if 'Error' in line] or done.stderr.splitlines()[-1:]
        return {'error': lines[0].strip() if lines else f'exit status {done.returncode}'}
    return json.loads(done.stdout)


def at_full_depth(result):
    """Bytes of the whole tower's shards, from those of one with fewer layers: layers are matrices at 8 or 4.5 bits a weight."""
    missing = result['parameters'] - result['held']
    for dtype, bits in (('int8', 8.03), ('int4', 4.5)):
        result[dtype] += int(missing * bits / 8)


def cover(config, tower, device, scratch, threads):
    """What is found for one tower, in a process of its own."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(threads)
    # Convolutions and attention in fp32, as everything else.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        try:
            result = prepare(config, tower, Path(place), device, threads)
        except Exception as error:   # the table says so
            return {'error': f'OpenCLIP: {error!r}'}
        if device != 'cpu':
            torch.cuda.empty_cache()
        result.update({name: value for name, value in compute(Path(place)).items() if name != 'parameters'})
    if 'cosine' in result and None in (result['cosine'], result['distance']):
        return {'error': 'the vectors are not finite, or all alike, with these random weights'}
    if 'held' in result and 'int8' in result:
        at_full_depth(result)
    return result


# ---- all of them -----------------------------------------------------------------------------------------------------------------

def towers(pattern):
    seen = {}
    for name in sorted(open_clip.list_models()):
        config = open_clip.get_model_config(name)
        for tower in SECTIONS:
            seen.setdefault(key_of(config, tower), {'config': config, 'tower': tower, 'names': []})['names'].append(name)
    return {key: entry for key, entry in seen.items() if any(fnmatch.fnmatch(name, pattern) for name in entry['names'])}


def run(options):
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {'towers': {}}
    wanted = towers(options.names)
    todo = {key: entry for key, entry in wanted.items() if options.again or 'cosine' not in results['towers'].get(key, {})}
    print(f'{len(wanted)} towers, {len(todo)} to compute', flush=True)
    began = time.monotonic()
    # The largest first, so that no process is left alone with one at the end; the smallest, where time is short.
    queue = sorted(todo, key=lambda key: size_of(todo[key]), reverse=bool(options.seconds))
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context('spawn')) as pool:
        under_way = {}
        while queue or under_way:
            late = options.seconds and time.monotonic() - began > options.seconds
            while queue and not late and len(under_way) < options.jobs:
                key = queue.pop()
                under_way[pool.submit(cover, todo[key]['config'], todo[key]['tower'], options.device, options.scratch, threads)] = key
            if not under_way:
                break
            future = next(as_completed(under_way))
            key = under_way.pop(future)
            result = results['towers'][key] = {'names': todo[key]['names'], 'tower': todo[key]['tower'], 'on': machine(), **future.result()}
            print(f'{time.monotonic() - began:6.0f} s  {result["names"][0]:32} {result["tower"]:5} {result.get("error") or describe(result)}', flush=True)
            save(results)
    save(results)


def size_of(entry):
    """How long it will take, in some unit."""
    found = PARAMETERS[entry['names'][0]][entry['tower']].get('parameters', 10 ** 8)
    size = entry['config']['vision_cfg'].get('image_size', 224)
    return found * (1 if entry['tower'] == 'text' else max(size if isinstance(size, list) else [size]) ** 2 / 1e4)


def describe(result):
    layers = f', {result["layers"]} layers' if 'layers' in result else ''
    return f'{result["parameters"] / 1e6:.0f} M{layers}, cosine {result["cosine"]:.7f}, distance {result["distance"]:.1e}, {result["milliseconds"]:.0f} ms'


def processor():
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')), platform.processor())


def machine():
    node = subprocess.run([os.environ.get('NODE', 'node'), '--version'], capture_output=True, text=True).stdout.strip()
    return (f'{processor()}: OpenCLIP {open_clip.__version__}, timm {timm.__version__}, transformers {transformers.__version__}, '
            f'PyTorch {torch.__version__}, Node.js {node}')


def save(results):
    results.update(date=str(datetime.date.today()))
    RESULTS.write_text(json.dumps(results, indent=1) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--names', default='*', help='of the architectures')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--device', default='cpu', help="the reference's")
    parser.add_argument('--seconds', type=float, help='after which no tower is begun; the smallest come first')
    parser.add_argument('--scratch', help='where files are put for a while')
    parser.add_argument('--again', action='store_true')
    options = parser.parse_args()
    run(options)


if __name__ == '__main__':
    main()
