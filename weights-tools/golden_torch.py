#!/usr/bin/env python3
"""Golden data for hc_torch: small PyTorch files as PyTorch itself writes them, and what is in them.

    python3 weights-tools/golden_torch.py

In tests/golden/torch/
    *.pt              the files; those of kinds that must be refused, too
    *.sparse          the same, of files that are large and mostly zeros, see `sparse`
    expected.json     {file: {"tensors": {name: {"dtype", "shape", "fnv1a": hash of the bytes}}}} as safetensors would list them, names in the
                      order of their bytes, with "strides" for a tensor that is stored transposed, with gaps or expanded, and without a hash for one that
                      PyTorch negates or conjugates when it reads it; or
                      {file: {"status": code of the failure, "word": a part of its message}}
and in tests/fuzz/corpus/ what the fuzzers of the pickle and of the whole file start from.

The weights are those of one of the golden towers. The script reads each good file back with torch.load(weights_only=False) or
torch.jit.load, and the listing is made of that.
"""
import argparse
import collections
import io
import json
import os
import pickle
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file
from torch import nn

TESTS = Path(__file__).resolve().parent.parent / 'tests'
OUT = TESTS / 'golden' / 'torch'
TOWER = 'no-ln-pre'
# A few tensors, of each rank there is, of which the first two rows.
SOME = ['logit_scale', 'visual.class_embedding', 'visual.conv1.weight', 'visual.ln_post.bias', 'ln_final.weight', 'text_projection']

DTYPES = {torch.float64: 'F64', torch.float32: 'F32', torch.float16: 'F16', torch.bfloat16: 'BF16', torch.int64: 'I64', torch.int32: 'I32',
          torch.int16: 'I16', torch.int8: 'I8', torch.uint8: 'U8', torch.bool: 'BOOL', torch.complex64: 'C64', torch.complex128: 'C128',
          torch.uint16: 'U16', torch.uint32: 'U32', torch.uint64: 'U64', torch.float8_e4m3fn: 'F8_E4M3', torch.float8_e5m2: 'F8_E5M2'}

RUN = 1 << 16   # zeros that are worth leaving out

expected = {}


def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f'{value:016x}'


def describe(tensor):
    tensor = tensor.detach()
    if tensor.is_neg() or tensor.is_conj():
        return {'dtype': 'NEGATED' if tensor.is_neg() else 'CONJUGATED', 'shape': list(tensor.shape)}
    view = {} if tensor.is_contiguous() else {'strides': [stride if size != 1 else 0 for size, stride in zip(tensor.shape, tensor.stride())]}
    data = tensor.reshape(-1).clone(memory_format=torch.contiguous_format).view(torch.uint8).numpy().tobytes() if tensor.numel() else b''
    return {'dtype': DTYPES[tensor.dtype], 'shape': list(tensor.shape), **view, 'fnv1a': fnv1a(data)}


def flat(value, prefix=''):
    """Every tensor of nested dictionaries, names joined by dots."""
    tensors = {}
    for key, member in value.items():
        if isinstance(key, str) and isinstance(member, dict):
            tensors.update(flat(member, f'{prefix}{key}.'))
        elif isinstance(key, str) and isinstance(member, torch.Tensor):
            tensors[prefix + key] = member
    return tensors


def good(name, tensors):
    listing = {key: describe(tensor) for key, tensor in tensors.items()}
    expected[name] = {'tensors': dict(sorted(listing.items(), key=lambda item: item[0].encode()))}


def refused(name, status, word):
    expected[name] = {'status': status, 'word': word}


def save(name, value, find=lambda value: value, **options):
    """torch.save, and the listing of the dictionary that `find` finds in what torch.load reads."""
    torch.save(value, OUT / name, **options)
    good(name, flat(find(torch.load(OUT / name, weights_only=False))))


def save_refused(name, value, word, **options):
    torch.save(value, OUT / name, **options)
    refused(name, 'weights/format', word)


# ---- views --------------------------------------------------------------------------------------------------------------------------------


def as_views(tensors):
    """The same values, each tensor stored in another order than its shape's: transposed, with gaps, every second one, all in one storage, with an element type that
    only the tensor names."""
    names = [name for name, tensor in tensors.items() if tensor.dim()]
    views = {name: tensor for name, tensor in tensors.items() if not tensor.dim()}
    for i, name in enumerate(names):
        tensor = tensors[name]
        if i % 4 == 0 and tensor.dim() > 1:
            view = tensor.permute(*reversed(range(tensor.dim()))).contiguous().permute(*reversed(range(tensor.dim())))
        elif i % 4 == 1:
            room = torch.full([size + 2 for size in tensor.shape], torch.nan, dtype=tensor.dtype)
            view = room[tuple(slice(1, 1 + size) for size in tensor.shape)]
        elif i % 4 == 2:
            room = torch.full([2 * tensor.shape[0], *tensor.shape[1:]], torch.nan, dtype=tensor.dtype)
            view = room[::2]
        else:
            both = torch.stack([tensor, tensor + 1], -1)
            view = both[..., 0]
        view.copy_(tensor)
        views[name] = view
    return {name: views[name] for name in tensors}


# ---- state dicts --------------------------------------------------------------------------------------------------------------------------


def state_dicts(whole):
    some = collections.OrderedDict((name, whole[name][:2].clone() if whole[name].dim() > 1 else whole[name]) for name in SOME)
    save('whole.pt', whole)
    for name, dtype in {'fp64': torch.float64, 'fp32': torch.float32, 'bf16': torch.bfloat16}.items():
        save(f'{name}.pt', {key: tensor.to(dtype) for key, tensor in some.items()})
    for protocol in 3, 4, 5:
        save(f'protocol-{protocol}.pt', some, pickle_protocol=protocol)

    # As training scripts nest them, beside what else they keep.
    module = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    ddp = {'module.' + name: tensor for name, tensor in some.items()}
    save('nested-state-dict.pt', {'epoch': 32, 'name': 'a run', 'state_dict': ddp, 'optimizer': optimizer.state_dict(), 'scaler': {'scale': 65536.0}},
         lambda value: value['state_dict'])
    save('nested-model.pt', {'model': some, 'epoch': 10 ** 30, 'best': -1, 'rng': torch.get_rng_state()[:8].clone(), 'done': False, 'loss': [0.5, None]},
         lambda value: value['model'])
    save('nested-module.pt', {'module': {'visual': {'weight': some['ln_final.weight']}, 'bias': some['visual.ln_post.bias']}, 'other': some['logit_scale']},
         lambda value: value['module'])
    save('nested-twice.pt', {'state_dict': {'model': some}, 'args': {'lr': 1e-3}}, lambda value: value['state_dict']['model'])
    save('two-dicts.pt', {'image_encoder': {'a': some['logit_scale']}, 'text_encoder': {'a': some['ln_final.weight']}, 3: {'b': some['logit_scale']}})

    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)).half()
    save('metadata.pt', model.state_dict())
    parameter = nn.Parameter(some['ln_final.weight'].clone())
    parameter.note = 'attributes of a parameter'
    tensor = some['ln_final.weight'].clone()
    tensor.note = 'attributes of a tensor'
    save('parameters.pt', {'plain': nn.Parameter(some['logit_scale'].clone()), 'noted': parameter, 'tensor': tensor})

    whole_storage = torch.arange(64, dtype=torch.float32)
    matrix = whole_storage[8:32].view(4, 6)
    save('views.pt', {'storage': whole_storage, 'tied': whole_storage, 'rows': matrix[1:3], 'matrix': matrix, 'last': whole_storage[63:], 'scalar': whole_storage[5],
                      'columns': matrix[:, 1:3], 'transposed': matrix.t(), 'expanded': whole_storage[:1].expand(4), 'one': matrix[:, :1].t()[:, :1],
                      'none': torch.empty(0, 5), 'no rows': matrix[:0]})
    save('strided.pt', as_views(whole))
    save('lazy.pt', {'negated': torch._neg_view(matrix), 'conjugated': torch.ones(2, dtype=torch.complex64).conj(), 'w': whole_storage})
    save('dtypes.pt', {str(dtype): torch.tensor([0, 1, 2]).to(dtype) for dtype in DTYPES})
    save('values.pt', {'set': {1, 2}, 'bytes': b'\xff\0', 'array': bytearray(b'x'), 'complex': 1j, 'tuple': (1, (2, 3)), 'size': torch.Size([1, 2]),
                       'device': torch.device('cpu'), 'dtype': torch.float16, 'counter': collections.Counter('aab'), 'negative': -(2 ** 40), 'w': torch.ones(2)})
    save('names.pt', {'quo"ted\\back': torch.ones(1), 'tab\tnew\nline\x01\x7f': torch.ones(2), 'é–日本𝄞': torch.ones(3), 'nul\0': torch.ones(4),
                      '': torch.ones(5), 'n' * 511: torch.ones(6)})
    return some


# ---- TorchScript --------------------------------------------------------------------------------------------------------------------------


class Node(nn.Module):
    pass


def tree(tensors):
    """A module whose state dict is `tensors`."""
    root = Node()
    for name, tensor in tensors.items():
        *path, leaf = name.split('.')
        node = root
        for part in path:
            if part not in node._modules:
                node.add_module(part, Node())
            node = node._modules[part]
        if tensor.is_floating_point():
            node.register_parameter(leaf, nn.Parameter(tensor.clone(), requires_grad=False))
        else:
            node.register_buffer(leaf, tensor)
    return root


class TinyClip(nn.Module):
    def __init__(self):
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, 8, 4, 4, bias=False), nn.Flatten(), nn.Linear(32, 6))
        self.token_embedding = nn.Embedding(10, 6)
        self.logit_scale = nn.Parameter(torch.tensor(2.5))
        self.register_buffer('input_resolution', torch.tensor(8))

    def forward(self, image, text):
        return self.visual(image) @ self.token_embedding(text).mean(1).t() * self.logit_scale.exp()


def forget_sources(path):
    """Empties the entries that say in which file of this machine each line of code was, and leaves every other byte as it is."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith('.debug_pkl')]
    for entry in entries:
        begin = entry.header_offset + 30 + sum(struct.unpack_from('<HH', data, entry.header_offset + 26))
        # Where it is compressed: one block of deflate that is not.
        block = struct.pack('<BHH', 1, entry.compress_size - 5, 0x10004 - entry.compress_size) if entry.compress_type else b''
        text = b'\x80\x02).'.ljust(entry.compress_size - len(block))
        figures = struct.pack('<III', zlib.crc32(text), entry.compress_size, len(text))
        data[begin:begin + entry.compress_size + 16] = block + text + b'PK\7\x08' + figures
        directory = data.rindex(entry.filename.encode()) - 46
        data[directory + 16:directory + 28] = figures
    path.write_bytes(data)


def torchscript(whole):
    def save_script(name, module):
        torch.jit.save(module, OUT / name)
        forget_sources(OUT / name)
        good(name, torch.jit.load(OUT / name).state_dict())

    save_script('script-whole.pt', torch.jit.script(tree(whole)))
    save_script('script-openai.pt', torch.jit.script(tree(load_file(TESTS / 'golden' / 'towers' / 'openai.safetensors'))))
    clip = TinyClip().eval()
    save_script('script-trace.pt', torch.jit.trace(clip, (torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, dtype=torch.long))))
    save_script('script-half.pt', torch.jit.script(clip).half())


# ---- other zip archives -------------------------------------------------------------------------------------------------------------------


def rezip(source, name, change=lambda entries: None, method=zipfile.ZIP_STORED, streamed=False, zip64=False, extra=b'', folder=None):
    """The entries of an archive, changed and written by Python's zipfile."""
    with zipfile.ZipFile(OUT / source) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    change(entries)
    with open(OUT / name, 'wb') as file:
        class Stream:           # cannot be rewound: sizes follow the data
            write, flush = file.write, file.flush
        with zipfile.ZipFile(Stream() if streamed else file, 'w', method) as archive:
            for entry, data in entries.items():
                if folder is not None:
                    entry = folder + entry.split('/', 1)[1]
                info = zipfile.ZipInfo(entry)
                info.compress_type = method
                info.extra = extra
                with archive.open(info, 'w', force_zip64=zip64) as out:
                    out.write(data)


def sparse(name, data_pieces):
    """A file as pieces: (zeros before, bytes), written as two little-endian numbers (8 and 4 bytes) and the bytes."""
    with open(OUT / name, 'wb') as file:
        for zeros, data in data_pieces:
            file.write(struct.pack('<QI', zeros, len(data)) + data)


class SparseFile:
    """A file for torch.save that remembers long runs of zeros by their length."""

    def __init__(self):
        self.pieces, self.zeros, self.data = [], 0, b''

    def write(self, data):
        view = memoryview(data)
        if view.nbytes > RUN and not numpy.frombuffer(view, numpy.uint8).any():
            self.write_zeros(view.nbytes)
            return view.nbytes
        for part in re.split(b'(\0{%d,})' % RUN, view.tobytes()):
            if len(part) >= RUN and not any(part):
                self.write_zeros(len(part))
            else:
                self.data += part
        return view.nbytes

    def write_zeros(self, count):
        if self.data:
            self.pieces.append((self.zeros, self.data))
            self.zeros, self.data = 0, b''
        self.zeros += count

    def flush(self):
        pass

    def write_to(self, name):
        sparse(name, [*self.pieces, (self.zeros, self.data)])


def archives():
    base = 'fp32.pt'

    def same(name, **options):
        rezip(base, name, **options)
        expected[name] = expected[base]

    same('zip-python.pt')
    same('zip-streamed.pt', streamed=True)
    same('zip-zip64.pt', zip64=True)
    same('zip-streamed-zip64.pt', streamed=True, zip64=True)
    same('zip-extra.pt', extra=b'\x55\x54\x05\x00\x01\x00\x00\x00\x00')
    same('zip-other-folder.pt', folder='another name/')
    same('zip-no-folder.pt', folder='')
    same('zip-no-byteorder.pt', change=lambda entries: entries.pop('fp32/byteorder'))
    with zipfile.ZipFile(OUT / 'zip-python.pt') as archive:
        data = archive.read('fp32/data.pkl')
    shutil.copy(OUT / base, OUT / 'zip-comment.pt')
    with zipfile.ZipFile(OUT / 'zip-comment.pt', 'a') as archive:
        archive.comment = b'a comment with an end record PK\5\6 in it'
    expected['zip-comment.pt'] = expected[base]

    def bad(name, word, change, **options):
        rezip(base, name, change, **options)
        refused(name, 'weights/format', word)

    def replace(entry, data):
        return lambda entries: entries.update({'fp32/' + entry: data})

    bad('bad-deflated.pt', 'compressed', lambda entries: None, method=zipfile.ZIP_DEFLATED)
    bad('bad-byteorder.pt', 'byte order big', replace('byteorder', b'big'))
    bad('bad-no-pickle.pt', 'without data.pkl', lambda entries: entries.pop('fp32/data.pkl'))
    bad('bad-two-pickles.pt', 'two PyTorch files', lambda entries: entries.update({'other/data.pkl': data}))
    bad('bad-no-storage.pt', 'has no data/2', lambda entries: entries.pop('fp32/data/2'))
    bad('bad-short-storage.pt', 'but fp32/data/2 has', replace('data/2', b'1234'))
    bad('bad-cut-pickle.pt', 'ends in the middle', replace('data.pkl', data[:len(data) // 2]))
    bad('bad-opcode-inst.pt', 'os.system', replace('data.pkl', b'(X\x02\0\0\0lsios\nsystem\n.'))
    bad('bad-opcode-text.pt', 'opcode STRING', replace('data.pkl', b"S'ls'\n."))
    bad('bad-opcode-none.pt', 'no opcode', replace('data.pkl', b'\x80\x02\xff.'))
    bad('bad-protocol.pt', 'protocol 9', replace('data.pkl', b'\x80\x09}.'))
    bad('bad-empty.pt', 'no tensors', replace('data.pkl', b'\x80\x02}.'))
    bad('bad-list.pt', 'expected a state dict', replace('data.pkl', b'\x80\x02].'))
    bad('bad-stack.pt', 'empty stack', replace('data.pkl', b'\x80\x02}(s.'))
    bad('bad-recall.pt', 'recalls', replace('data.pkl', b'\x80\x02h\x05.'))
    # A dictionary in itself; and one of 30 that each hold the next one twice.
    bad('bad-cycle.pt', 'nested more deeply', replace('data.pkl', b'\x80\x02}q\0U\x01ah\0s.'))
    nested = b'}q\0' + b''.join(b'}q%c(U\x01ah%cU\x01bh%cu' % (i, i - 1, i - 1) for i in range(1, 30))
    bad('bad-bomb.pt', 'in more places', replace('data.pkl', b'\x80\x02' + nested + b'.'))
    offset_lie = data.replace(b'K\x00K\x18\x85', b'K\x01K\x18\x85', 1)
    assert offset_lie != data
    bad('bad-offset.pt', 'does not fit in its storage', replace('data.pkl', offset_lie))

    # More than 4 GiB, so that sizes and offsets need zip64, between two small tensors.
    large = SparseFile()
    huge = torch.empty(2 ** 32 + 5, dtype=torch.int8)   # fresh pages are zeros
    torch.save({'first': torch.arange(4.0), 'huge': huge, 'last': torch.arange(5.0)}, large)
    large.write_to('zip64.sparse')
    expected['zip64.sparse'] = {'tensors': {'first': describe(torch.arange(4.0)), 'huge': {'dtype': 'I8', 'shape': [2 ** 32 + 5]}, 'last': describe(torch.arange(5.0))}}
    # Larger than what the reader takes from the end, so that the pickle is asked for, and (as Python writes it) local headers.
    large = SparseFile()
    torch.save({'a': torch.zeros(1 << 16), 'b': torch.ones(3), 'c': torch.zeros(1 << 16)}, large)
    large.write_to('large.sparse')
    torch.save({'a': torch.zeros(1 << 16), 'b': torch.ones(3), 'c': torch.zeros(1 << 16)}, OUT / 'large.pt')
    good('large.sparse', torch.load(OUT / 'large.pt', weights_only=False))
    rezip('large.pt', 'large-streamed.pt', streamed=True)
    stream = SparseFile()
    stream.write((OUT / 'large-streamed.pt').read_bytes())
    stream.write_to('large-streamed.sparse')
    expected['large-streamed.sparse'] = expected['large.sparse']
    for name in 'large.pt', 'large-streamed.pt':
        (OUT / name).unlink()


# ---- files that must be refused -----------------------------------------------------------------------------------------------------------


class Calls:
    """Unpickles as a call, the way hostile files do."""

    def __init__(self, function, *args):
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced


def hostile(some):
    save_refused('bad-system.pt', {'w': some['logit_scale'], 'x': Calls(os.system, 'true')}, 'posix.system')
    save_refused('bad-eval.pt', {'w': some['logit_scale'], 'x': Calls(eval, '1')}, '__builtin__.eval')
    save_refused('bad-eval-4.pt', {'w': some['logit_scale'], 'x': Calls(eval, '1')}, 'builtins.eval', pickle_protocol=4)
    save_refused('bad-numpy.pt', {'w': some['logit_scale'], 'best': numpy.float64(0.5)}, 'multiarray.scalar')
    save_refused('bad-namespace.pt', {'w': some['logit_scale'], 'args': argparse.Namespace(lr=1)}, 'argparse.Namespace')
    save_refused('bad-module.pt', nn.Linear(2, 2), 'torch.nn.modules.linear.Linear')
    save_refused('bad-defaultdict.pt', collections.defaultdict(dict, a=some), 'collections.defaultdict')
    save_refused('bad-sparse.pt', {'w': torch.eye(3).to_sparse()}, '_rebuild_sparse_tensor')
    save_refused('bad-call-type.pt', {'w': some['logit_scale'], 'x': Calls(torch.Tensor, 3)}, 'calls a type')
    save_refused('bad-tensor.pt', some['ln_final.weight'], 'one tensor')
    save_refused('bad-long-name.pt', {'n' * 512: torch.ones(1)}, 'longer than 511')
    save_refused('bad-rank.pt', {'w': torch.ones([1] * 9)}, 'more than 8 dimensions')
    save_refused('bad-twice.pt', {'a': {'b': torch.ones(1)}, 'a.b': torch.ones(1)}, 'tensor a.b twice')
    save_refused('bad-surrogate.pt', {'\ud800': torch.ones(1)}, 'not UTF-8')
    save_refused('bad-legacy.pt', some, 'weights-tools/convert.py', _use_new_zipfile_serialization=False)
    save_refused('bad-legacy-4.pt', some, 'weights-tools/convert.py', _use_new_zipfile_serialization=False, pickle_protocol=4)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode='w', format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo('sys_info')
        info.size = 4
        archive.addfile(info, io.BytesIO(b'info'))
    (OUT / 'bad-tar.pt').write_bytes(tar.getvalue()[:1536])
    refused('bad-tar.pt', 'weights/format', 'tar archive')
    (OUT / 'bad-pickle.pt').write_bytes(pickle.dumps({'a': 1}, protocol=2))
    refused('bad-pickle.pt', 'weights/format', 'Python pickle')
    (OUT / 'bad-page.pt').write_text('<!DOCTYPE html><title>Not found</title>')
    refused('bad-page.pt', 'weights/format', 'HTML page')
    with zipfile.ZipFile(OUT / 'bad-empty-zip.pt', 'w'):
        pass
    refused('bad-empty-zip.pt', 'weights/format', 'empty zip archive')


# ---- corpora ------------------------------------------------------------------------------------------------------------------------------


def corpora():
    for name in 'fuzz_pickle', 'fuzz_torch':
        (TESTS / 'fuzz' / 'corpus' / name).mkdir(parents=True, exist_ok=True)
    for name in ('nested-state-dict', 'nested-model', 'metadata', 'parameters', 'views', 'lazy', 'strided', 'dtypes', 'values', 'names', 'protocol-4', 'script-half', 'bad-system',
                 'bad-opcode-inst', 'bad-bomb'):
        with zipfile.ZipFile(OUT / f'{name}.pt') as archive:
            entry = next(entry for entry in archive.namelist() if entry.endswith('/data.pkl'))
            (TESTS / 'fuzz' / 'corpus' / 'fuzz_pickle' / name).write_bytes(archive.read(entry))
    for name in 'fp32', 'views', 'zip-python', 'zip-streamed', 'zip-zip64', 'zip-no-folder', 'bad-deflated', 'bad-legacy', 'bad-tar':
        data = (OUT / f'{name}.pt').read_bytes()
        (TESTS / 'fuzz' / 'corpus' / 'fuzz_torch' / name).write_bytes(struct.pack('<QI', 0, len(data)) + data)
    for name in 'zip64', 'large', 'large-streamed':
        shutil.copy(OUT / f'{name}.sparse', TESTS / 'fuzz' / 'corpus' / 'fuzz_torch' / name)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    torch.manual_seed(0)
    whole = load_file(TESTS / 'golden' / 'towers' / f'{TOWER}.safetensors')
    some = state_dicts(whole)
    torchscript(whole)
    archives()
    hostile(some)
    corpora()
    lines = [f'{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}' for name, value in sorted(expected.items())]
    (OUT / 'expected.json').write_text('{\n' + ',\n'.join(lines) + '\n}\n')
    print(f'{len(expected)} files, {sum(path.stat().st_size for path in OUT.iterdir())} bytes')


if __name__ == '__main__':
    main()
