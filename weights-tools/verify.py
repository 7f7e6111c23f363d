#!/usr/bin/env python3
"""Is what halfclip computes what OpenCLIP computes? Runs both on the same inputs and prints the cosines.

    python3 weights-tools/verify.py --shard text.safetensors
        the arithmetic: OpenCLIP gets the very weights that the shard holds (dequantised)
    python3 weights-tools/verify.py --shard text.safetensors --weights checkpoint.safetensors --model ViT-B-32
        what a user gets: OpenCLIP gets the original weights, so that quantisation counts too
    python3 weights-tools/verify.py --tower image --weights checkpoint.safetensors --config open_clip_config.json --dtype int8
        the same without a shard: halfclip reads the checkpoint itself

Texts and pictures have defaults. Exit status 1 if a cosine is below --min-cosine (default 0.99999 at fp32, 0.999 at fp16,
0.99 at int8, 0.95 at int4), 2 if either side could not run.
"""
import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open

import open_clip
from open_clip.factory import _MODEL_CONFIGS
from open_clip.model import _build_text_tower, _build_vision_tower
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

import convert
from golden_towers import from_hugging_face
from models import encoder_of

CLI = Path(__file__).resolve().parent.parent / 'dist' / 'cli.js'
MIN_COSINE = {'fp32': 0.99999, 'fp16': 0.999, 'int8': 0.99, 'int4': 0.95}
PANEL, DEPTH = 8, 4   # of quantised matrices: panels of 8 output channels, 4 consecutive inputs each
GROUP = 32            # of int4: values that share a scale

TEXTS = ['a photo of a cat', 'two dogs running on the beach', 'a red bicycle leaning on a wall, black and white',
         'smiling face with sunglasses', 'ein Haus am See', '雪の富士山', 'a diagram', 'Café “Zürich” &amp; friends … 😀', '',
         'the quick brown fox jumps over the lazy dog ' * 12]


class VerifyError(Exception):
    """Why nothing can be compared; the message is one sentence for the user."""


# ---- halfclip -----------------------------------------------------------------------------------------------------------

def embed_with_halfclip(tower, weights, model, dtype, inputs):
    """Normalised vectors [n, dim] from the command line tool, which prints one JSON object an input."""
    if not CLI.exists():
        raise VerifyError(f'{CLI} is not there: build it with make')
    command = ['node', str(CLI), 'embed', '--tower', tower, '--weights', str(weights)]
    command += ['--model', str(model)] if model else []
    command += ['--dtype', dtype] if dtype else []
    done = subprocess.run([*command, '--', *map(str, inputs)], capture_output=True, text=True)
    if done.returncode:
        raise VerifyError(f'halfclip failed: {done.stderr.strip() or done.stdout.strip()}')
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    return torch.nn.functional.normalize(torch.tensor([line['embedding'] for line in lines]), dim=-1)


# ---- OpenCLIP -----------------------------------------------------------------------------------------------------------

def read_safetensors(path):
    with safe_open(path, framework='pt') as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def dequantise(tensor, scale, shape):
    """The fp32 weights of a quantised tensor: at int8 a table [rows, width], or a matrix [n, k] in panels
    [ceil(n / 8), ceil(k / 4), 8, 4]; scale is [rows] or [n]. int4 (uint8 here): see below."""
    if tensor.dtype == torch.uint8:
        return dequantise_int4(tensor, scale, shape)
    if tensor.ndim == 4:
        panels, steps = tensor.shape[:2]
        tensor = tensor.permute(0, 2, 1, 3).reshape(panels * PANEL, steps * DEPTH)
    n, k = shape[0], shape[1:].numel()
    return (tensor[:n, :k].float() * scale.float()[:n, None]).reshape(shape)


def dequantise_int4(tensor, scale, shape):
    """A table [rows, ceil(width / 32), 16] with scale [rows, groups], or a matrix [ceil(n / 8), ceil(k / 32), 8, 16] with
    scale [panels, groups, 8]: byte i of 16 holds values i and i + 16 of 32, low four bits first, in two's complement. These
    are 32 of a row, or 4 of each of a panel's 8 channels."""
    values = torch.cat([tensor & 15, tensor >> 4], dim=-1).to(torch.int8)
    values = torch.where(values > 7, values - 16, values).float()
    if tensor.ndim == 4:
        panels, groups = tensor.shape[:2]
        values = values.reshape(panels, groups, GROUP // DEPTH, PANEL, DEPTH).transpose(2, 3).reshape(panels, groups, PANEL, GROUP)
        weights = (values * scale.float()[..., None]).transpose(1, 2).reshape(panels * PANEL, groups * GROUP)
    else:
        weights = (values * scale.float()[..., None]).flatten(1)
    return weights[:shape[0], :shape[1:].numel()].reshape(shape)


def tower_state(state, tower):
    """One tower's tensors under the names of its OpenCLIP module, from any kind of checkpoint or shard."""
    state = {name.removeprefix('module.'): tensor for name, tensor in state.items()}
    if any(name.startswith(('vision_model.', 'text_model.')) for name in state):
        state = from_hugging_face(state)
    if tower == 'image':
        return {name.removeprefix('visual.'): tensor for name, tensor in state.items() if name.startswith('visual.')}
    return {name.removeprefix('text.'): tensor for name, tensor in state.items() if not name.startswith('visual.')}


def load_tower(config, tower, state):
    """OpenCLIP's own module for one tower, with the weights of `state` (fp32, or a shard's with their scales)."""
    model_cfg = config['model_cfg']
    make, section = (_build_vision_tower, 'vision_cfg') if tower == 'image' else (_build_text_tower, 'text_cfg')
    module = make(model_cfg['embed_dim'], dict(model_cfg[section]), model_cfg.get('quick_gelu', False)).eval()
    state = tower_state(state, tower)
    weights = {}
    for name, parameter in module.state_dict().items():
        if name not in state:
            raise VerifyError(f'the {tower} tower needs {name}, which the weights do not hold')
        tensor, scale = state[name], state.get(f'{name}.scale')
        weights[name] = tensor.float() if scale is None else dequantise(tensor, scale, parameter.shape)
    module.load_state_dict(weights)
    return module


def reduced_tokenizer(merges, **options):
    """OpenCLIP's tokenizer over the merges that a shard carries, which may be fewer than CLIP's."""
    _, ranks = encoder_of(merges)
    with tempfile.NamedTemporaryFile(suffix='.gz') as file:
        file.write(gzip.compress('\n'.join(['#version', *map(' '.join, ranks)]).encode()))
        file.flush()
        return SimpleTokenizer(file.name, **options)


def make_tokenizer(config, metadata, merges):
    text_cfg = config['model_cfg']['text_cfg']
    options = dict(text_cfg.get('tokenizer_kwargs') or {})
    clean = json.loads(metadata.get('tokenizer', '{}')).get('clean')
    if clean:
        options['clean'] = clean
    context_length = text_cfg.get('context_length', 77)
    if merges is not None:
        return reduced_tokenizer(merges, context_length=context_length, **options)
    if text_cfg.get('hf_tokenizer_name'):
        return HFTokenizer(text_cfg['hf_tokenizer_name'], context_length=context_length, **options)
    return SimpleTokenizer(context_length=context_length, **options)


def embed_with_openclip(module, tower, config, inputs, tokenizer):
    """Normalised vectors [n, dim], one input at a time as a user would."""
    preprocess = merge_preprocess_dict(PreprocessCfg(), config.get('preprocess_cfg', {}))
    if tower == 'image':
        preprocess['size'] = module.image_size
        transform = image_transform_v2(PreprocessCfg(**preprocess), is_train=False)
    vectors = []
    for source in inputs:
        batch = transform(Image.open(source)).unsqueeze(0) if tower == 'image' else tokenizer([source])
        if tower == 'text' and batch.max() >= module.vocab_size:
            raise VerifyError(f'the model has {module.vocab_size} tokens, and CLIP\'s vocabulary gives id {batch.max()}: '
                              'make a shard with its own --vocabulary')
        output = module(batch)
        output = output[0] if isinstance(output, tuple) else output
        vectors.append(torch.nn.functional.normalize(output, dim=-1).flatten())   # pool_type none: a vector a token
    return torch.nn.functional.normalize(torch.stack(vectors), dim=-1)


# ---- the comparison -----------------------------------------------------------------------------------------------------

def default_pictures(folder):
    """Pictures with edges, gradients and texture, of several sizes and shapes."""
    generator = torch.Generator().manual_seed(1)
    paths = []
    for i, (width, height) in enumerate([(320, 240), (240, 320), (64, 64), (500, 90), (90, 500), (33, 47), (640, 480), (224, 224)]):
        y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing='ij')
        colours = torch.rand((5, 3), generator=generator)
        picture = colours[0] * x[..., None] + colours[1] * y[..., None]
        for k in range(3):
            centre, radius = torch.rand(2, generator=generator), 0.1 + 0.2 * torch.rand(1, generator=generator)
            picture[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius ** 2] = colours[2 + k]
        picture = picture + 0.05 * torch.randn(picture.shape, generator=generator)
        paths.append(Path(folder) / f'picture-{i}-{width}x{height}.png')
        Image.fromarray((picture.clamp(0, 1) * 255).byte().numpy()).save(paths[-1])
    return paths


def read_config(args, metadata):
    """{"model_cfg", "preprocess_cfg"} from --config, --model or the shard."""
    if args.config:
        config = json.loads(args.config.read_text())
        return config if 'model_cfg' in config else {'model_cfg': config}
    if args.model:
        if args.model not in _MODEL_CONFIGS:
            raise VerifyError(f'OpenCLIP {open_clip.__version__} has no model {args.model!r}')
        return {'model_cfg': _MODEL_CONFIGS[args.model]}
    if 'model_cfg' in metadata:
        return {key: json.loads(metadata[key]) for key in ('model_cfg', 'preprocess_cfg') if key in metadata}
    raise VerifyError('--model or --config is needed: only a shard carries its own config')


def compare(inputs, ours, theirs, least):
    """Prints a line an input and the summary; True if every cosine reaches `least`."""
    if ours.shape != theirs.shape:
        raise VerifyError(f'halfclip gives vectors {list(ours.shape)}, OpenCLIP {list(theirs.shape)}')
    # Of the unit vectors in fp64, as 1 - |a-b|²/2, which keeps its digits where fp32 products of nearly equal vectors lose them.
    distance = (ours.double() - theirs.double()).norm(dim=-1)
    cosine = 1 - distance ** 2 / 2
    for source, value in zip(inputs, cosine.tolist()):
        label = source.name if isinstance(source, Path) else source
        print(f'  {value:.7f}  {label if len(label) <= 60 else label[:59] + "…"}')
    between = torch.pdist(theirs.double()).median().item() if len(theirs) > 1 else float('nan')
    passed = cosine.min().item() >= least
    print(f'cosine: min {cosine.min():.7f}, mean {cosine.mean():.7f}; distance: max {distance.max():.2e}, '
          f'{100 * distance.max() / between:.3f} % of the median distance between the vectors')
    print('ok' if passed else f'FAILED: below {least}')
    return passed


def verify(args, folder):
    metadata, merges, shard = {}, None, {}
    if args.shard:
        shard, metadata = read_safetensors(args.shard)
        if metadata.get('halfclip') != '1':
            raise VerifyError(f'{args.shard} is not a halfclip shard')
        merges = shard.pop('halfclip.merges', None)
    tower = metadata.get('tower') or args.tower
    if tower is None or args.shard is None and args.weights is None:
        raise VerifyError('give --shard, or --weights and --tower')
    config = read_config(args, metadata)
    if args.weights is None:
        state = shard
    elif args.weights.suffix == '.safetensors':
        state = read_safetensors(args.weights)[0]
    else:
        state = convert.find_state_dict(convert.load(args.weights), args.weights)
    inputs = (args.texts or TEXTS) if tower == 'text' else (args.pictures or default_pictures(folder))
    module = load_tower(config, tower, state)
    tokenizer = make_tokenizer(config, metadata, bytes(merges.numpy()) if merges is not None else None) if tower == 'text' else None
    theirs = embed_with_openclip(module, tower, config, inputs, tokenizer)
    ours = embed_with_halfclip(tower, args.shard or args.weights, None if args.shard else args.config or args.model, args.dtype, inputs)
    dtype = args.dtype or metadata.get('dtype') or 'int8'
    print(f'{tower} tower, {dtype}, against {"the same weights" if args.weights is None else args.weights.name} in OpenCLIP '
          f'{open_clip.__version__}')
    return compare(inputs, ours, theirs, MIN_COSINE[dtype] if args.min_cosine is None else args.min_cosine)


def main():
    parser = argparse.ArgumentParser(description='Compares halfclip with OpenCLIP on the same inputs.')
    parser.add_argument('--shard', type=Path, help='a shard that `halfclip shard` wrote')
    parser.add_argument('--weights', type=Path, help='the original checkpoint: .safetensors, .pt or .bin')
    parser.add_argument('--model', help="an OpenCLIP architecture, such as 'ViT-B-32'")
    parser.add_argument('--config', type=Path, help='open_clip_config.json')
    parser.add_argument('--tower', choices=('image', 'text'), help='where there is no shard to tell')
    parser.add_argument('--dtype', choices=MIN_COSINE, help='in which halfclip holds the weights (default: as the shard, else int8)')
    parser.add_argument('--texts', nargs='+', help='default: ten of several kinds')
    parser.add_argument('--pictures', nargs='+', type=Path, help='default: eight drawn ones')
    parser.add_argument('--min-cosine', type=float, help='default: ' + ', '.join(f'{v} at {k}' for k, v in MIN_COSINE.items()))
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            passed = verify(args, folder)
    except (VerifyError, convert.CheckpointError, OSError, ValueError) as error:
        print(f'verify: {error}', file=sys.stderr)
        sys.exit(2)
    sys.exit(0 if passed else 1)


if __name__ == '__main__':
    main()
