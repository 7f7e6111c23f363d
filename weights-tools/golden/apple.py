"""Apple's names of MobileCLIP's tensors: the reverse of open_clip/convert.py and of timm's checkpoint_filter_fn, which prove it."""
import re

import torch
from open_clip.convert import convert_state_dict

from .model import build

FASTVIT = [('conv_kxk', 'rbr_conv'), ('conv_scale', 'rbr_scale'), ('identity', 'rbr_skip'), ('large_conv', 'lkb_origin'),
           ('.mlp.', '.convffn.'), ('se.fc1', 'se.reduce'), ('se.fc2', 'se.expand'), ('.gamma', ''), ('stem.', 'patch_embed.'),
           ('final_conv.', 'conv_exp.')]
BLOCKS = [('norm1.', 'pre_norm_mha.0.'), ('norm2.', 'pre_norm_ffn.0.'), ('ln_1.', 'pre_norm_mha.0.'), ('ln_2.', 'pre_norm_ffn.0.'),
          ('attn.qkv.', 'pre_norm_mha.1.qkv_proj.'), ('attn.in_proj_', 'pre_norm_mha.1.qkv_proj.'),
          ('attn.proj.', 'pre_norm_mha.1.out_proj.'), ('attn.out_proj.', 'pre_norm_mha.1.out_proj.'),
          ('mlp.fc1.', 'pre_norm_ffn.1.'), ('mlp.c_fc.', 'pre_norm_ffn.1.'), ('mlp.fc2.', 'pre_norm_ffn.4.'),
          ('mlp.c_proj.', 'pre_norm_ffn.4.'), ('resblocks.', '')]


def replaced(name, pairs):
    for ours, theirs in pairs:
        name = name.replace(ours, theirs)
    return name


def fastvit_name(name):
    """Stages, downsampling and positions are one sequence there; positions come before the fourth stage."""
    match = re.match(r'stages\.(\d)\.(downsample|pos_emb\.pos_enc|blocks)\.(.*)', name)
    if not match:
        return replaced(name, FASTVIT)
    stage, part, rest = int(match[1]), match[2], replaced('.' + match[3], FASTVIT)
    number = 2 * stage + (stage >= 3) - {'downsample': 1 + (stage >= 3), 'pos_emb.pos_enc': 1, 'blocks': 0}[part]
    return f'network.{number}' + ('.pe' if part.startswith('pos') else '') + rest


def hybrid_name(name):
    if name.startswith('patch_embed.'):
        return replaced(name, [('patch_embed.backbone.', 'patch_emb.'), ('.conv.', '.block.conv.'), ('.bn.', '.block.norm.')])
    if name.startswith('blocks.'):
        return 'transformer.' + replaced(name.removeprefix('blocks.'), BLOCKS)
    return {'pos_embed': 'pos_embed.pos_embed.pos_embed'}.get(name, re.sub('^norm.', 'post_transformer_norm.', name))


def image_tensors(state):
    """Without a bias of the projection, which is [width, dim] there."""
    trunk = {name.removeprefix('visual.trunk.'): tensor for name, tensor in state.items() if name.startswith('visual.trunk.')}
    is_fastvit = any(name.startswith('stages.') for name in trunk)
    for name, tensor in trunk.items():
        if name in ('head.fc.weight', 'head.weight'):
            yield 'head.proj' if is_fastvit else 'classifier.proj', tensor.T
        elif name == 'pos_embed':
            yield hybrid_name(name), tensor.unsqueeze(0)
        elif name not in ('head.fc.bias', 'head.bias'):
            yield (fastvit_name if is_fastvit else hybrid_name)(name), tensor


def text_tensors(state):
    for name, tensor in state.items():
        if name.startswith('text.'):
            name = replaced(name.removeprefix('text.'), [('token_embedding', 'embedding_layer'), ('ln_final', 'final_layer_norm'),
                                                         ('text_projection', 'projection_layer'), *BLOCKS])
            if name == 'positional_embedding':
                name, tensor = 'positional_embedding.pos_embed.pos_embed', tensor[None, None]
            yield name, tensor


def apple(state, config):
    theirs = {'logit_scale': state['logit_scale']}
    theirs.update((f'image_encoder.model.{name}', tensor) for name, tensor in image_tensors(state))
    theirs.update((f'text_encoder.{name}', tensor) for name, tensor in text_tensors(state))
    back = convert_state_dict(build(config), theirs)
    if back.keys() != state.keys() or not all(torch.equal(back[name].to(tensor.dtype), tensor) for name, tensor in state.items()):
        raise SystemExit(f'not what OpenCLIP reads: {sorted(back.keys() ^ state.keys())[:9]}')
    return theirs


def without_projection_bias(model, *rest):
    for name in ('visual.trunk.head.fc.bias', 'visual.trunk.head.bias'):
        if name in model.state_dict():
            model.state_dict()[name].zero_()
