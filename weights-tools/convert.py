#!/usr/bin/env python3
"""From a PyTorch checkpoint to .safetensors, which is what halfclip reads.

    python3 weights-tools/convert.py open_clip_pytorch_model.bin [OUT.safetensors] [--dtype fp16] [--strip-module]

Reads what torch.save wrote (a state dict, or one nested under "state_dict", "model" or "module" as training scripts do) and
OpenAI's TorchScript archives. Names and types are kept: halfclip knows the names of all these files, `module.` prefixes too.
Files are unpickled with weights_only, so nothing in them is executed. Whatever is not a tensor is left out and listed.
"""
import argparse
import pickle
import re
import sys
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


class CheckpointError(Exception):
    """A file that cannot be converted; the message is one sentence for the user."""


def is_torchscript(path):
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def load(path):
    """Whatever a PyTorch file holds, on the CPU. Raises CheckpointError."""
    with open(path, 'rb') as file:
        start = file.read(64)
    if not start:
        raise CheckpointError(f'{path} is empty')
    if start.lstrip()[:1] == b'<':
        raise CheckpointError(f'{path} is a web page, not a checkpoint')
    if start.startswith(b'version https://git-lfs'):
        raise CheckpointError(f'{path} is a Git LFS pointer: the weights themselves were not downloaded')
    if start[8:9] == b'{':
        raise CheckpointError(f'{path} is a .safetensors file already')
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped and is_torchscript(path):
            return torch.jit.load(path, map_location='cpu').state_dict()
        return torch.load(path, map_location='cpu', weights_only=True, mmap=zipped)
    except Exception as error:   # the unpickler meets arbitrary bytes, and fails in as many ways
        forbidden = re.search(r'GLOBAL (\S+)', str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if forbidden:
            raise CheckpointError(f'{path} holds a Python object besides tensors, {forbidden[1]}, and loading that could run code from '
                                  'the file: save its state dict alone') from error
        raise CheckpointError(f'{path} is not a PyTorch file, or is cut short') from error


def find_state_dict(checkpoint, path):
    """The dict of tensors in a checkpoint, however deep training scripts wrapped it. Raises CheckpointError."""
    while isinstance(checkpoint, dict):
        if any(isinstance(value, torch.Tensor) for value in checkpoint.values()):
            return checkpoint
        inner = [key for key in ('state_dict', 'model', 'module') if isinstance(checkpoint.get(key), dict)]
        if not inner:
            raise CheckpointError(f'{path} holds no state dict: its keys are {", ".join(map(str, list(checkpoint)[:8])) or "none"}')
        checkpoint = checkpoint[inner[0]]
    raise CheckpointError(f'{path} holds a {type(checkpoint).__name__}, not a state dict')


def convert(state, dtype=None, strip_module=False):
    """The state dict's tensors, contiguous, each with memory of its own (which safetensors asks for), in `dtype` if they are
    floating point and it is given; and the names of what is no tensor. Raises CheckpointError where fp16 would overflow."""
    tensors, left_out, storages = {}, [], set()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            left_out.append(name)
            continue
        if strip_module:
            name = name.removeprefix('module.')
        tensor = value.detach().contiguous()
        if dtype and tensor.is_floating_point():
            converted = tensor.to(dtype)
            if (converted.isinf() & ~tensor.isinf()).any():
                raise CheckpointError(f'{name} holds values too large for {dtype}: {tensor.abs().max().item():.3g}')
            tensor = converted
        storage = tensor.untyped_storage().data_ptr()
        if storage in storages:
            tensor = tensor.clone()
        storages.add(tensor.untyped_storage().data_ptr())
        tensors[name] = tensor
    return tensors, left_out


def save(tensors, path):
    """Writes a .safetensors file whole or not at all."""
    partial = path.with_name(path.name + '.partial')
    try:
        save_file(tensors, partial, {'format': 'pt'})
        partial.chmod(0o644)   # safetensors makes files that only their owner reads
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description='From a PyTorch checkpoint to .safetensors.')
    parser.add_argument('checkpoint', type=Path, help='.pt, .pth or .bin')
    parser.add_argument('out', type=Path, nargs='?', help='default: beside the checkpoint, with the suffix .safetensors')
    parser.add_argument('--dtype', choices=DTYPES, help='of the floating point tensors (default: as they are)')
    parser.add_argument('--strip-module', action='store_true', help="take a leading 'module.' off the names")
    args = parser.parse_args()
    warnings.filterwarnings('ignore', message='.*torch.jit')   # deprecated, but how OpenAI's files are stored
    out = args.out or args.checkpoint.with_suffix('.safetensors')
    try:
        if out.exists() and out.samefile(args.checkpoint):
            raise CheckpointError(f'{out} would overwrite the checkpoint itself')
        state = find_state_dict(load(args.checkpoint), args.checkpoint)
        tensors, left_out = convert(state, DTYPES.get(args.dtype), args.strip_module)
        save(tensors, out)
    except (CheckpointError, OSError, SafetensorError) as error:
        sys.exit(f'convert: {error}')
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f'{out}: {len(tensors)} tensors, {numbers:,} numbers, {out.stat().st_size:,} bytes'
          + (f'; left out, as no tensors: {", ".join(map(str, left_out))}' if left_out else ''))


if __name__ == '__main__':
    main()
