"""timm's Eva: EVA, EVA-02, EVA-CLIP, the Perception Encoder, DINOv3, Sapiens2, ViTs with rotary positions; and under their authors' names."""
import types

import torch
from timm.models.eva import checkpoint_filter_fn

from .model import Golden
from .timm_vit import bare

EVA = dict(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0, patch_size=8)
CLIP = dict(timm_pool='token', timm_proj=None)
PE = dict(timm_pool='map', timm_proj=None)
TRUNK = 'visual.trunk.'


def eva(name, options, timm_name, vision=CLIP, image_size=32, model=None, drop=(), **rest):
    fields = {key: rest.pop(key) for key in ('dtype', 'tail', 'names', 'towers', 'notes', 'prepare') if key in rest}
    args = {key: value for key, value in {**EVA, **rest}.items() if key not in drop}
    return Golden(name, options, vision=dict(timm_model_name=timm_name, timm_model_args=args, image_size=image_size, **vision),
                  model={'custom_text': True, 'embed_dim': 24, **(model or {})}, **{'towers': ('image',), **fields})


class Holder(types.SimpleNamespace):
    """What timm's reader asks of a model."""

    def get_parameter(self, name):
        return self.parameters[name]


def check(theirs, state):
    """timm itself reads these names as the tower's."""
    width = state[TRUNK + 'patch_embed.proj.weight'].shape
    positions = state[TRUNK + 'pos_embed'].shape[1] if TRUNK + 'pos_embed' in state else 1
    side = Holder(parameters={name.removeprefix(TRUNK): tensor for name, tensor in state.items()}, patch_embed=types.SimpleNamespace(proj=types.SimpleNamespace(weight=torch.empty(width)), grid_size=None),
                                 pos_embed=torch.empty(1, positions, 1), num_prefix_tokens=1, pretrained_cfg={}, default_cfg={})
    read = {name: tensor for name, tensor in checkpoint_filter_fn(dict(theirs), side).items() if name != 'mask_token'}
    expected = {name.removeprefix(TRUNK): tensor for name, tensor in state.items()}
    assert read.keys() == expected.keys(), read.keys() ^ expected.keys()
    assert all(torch.equal(read[name].float(), expected[name].float()) for name in read)
    return theirs


def eva_clip_names(state):
    """EVA-CLIP's own: SwiGLU's matrices by number, the biases of q and v apart, tables of rotary positions, and a mask token."""
    pieces = [('.attn.q_proj.bias', '.attn.q_bias'), ('.attn.v_proj.bias', '.attn.v_bias'), ('.attn.norm.', '.attn.inner_attn_ln.'),
              ('.mlp.norm.', '.mlp.ffn_ln.'), ('.mlp.fc1_g.', '.mlp.w1.'), ('.mlp.fc1_x.', '.mlp.w2.')]
    result = {}
    for name, tensor in state.items():
        renamed = name.replace(TRUNK, 'visual.')
        if f'{name.split(".mlp.")[0]}.mlp.fc1_g.weight' in state:
            renamed = renamed.replace('.mlp.fc2.', '.mlp.w3.')
        for ours, theirs in pieces:
            renamed = renamed.replace(ours, theirs)
        result[renamed] = tensor
    result = check(result, state)
    return {**result, 'visual.rope.freqs_cos': torch.zeros(16, 16), 'visual.rope.freqs_sin': torch.zeros(16, 16),
            'visual.blocks.0.attn.rope.freqs_cos': torch.zeros(16, 16), 'visual.mask_token': torch.zeros(1, 1, 32)}


def dinov3_names(state):
    """Meta's own of DINOv3: registers as storage, biases of q, k and v in one with a mask, and what only training needs."""
    pieces = [('reg_token', 'storage_tokens'), ('gamma_1', 'ls1.gamma'), ('gamma_2', 'ls2.gamma'), ('.mlp.fc1_g.', '.mlp.w1.'), ('.mlp.fc1_x.', '.mlp.w2.')]
    result = {}
    for name, tensor in state.items():
        name = name.removeprefix(TRUNK)
        if name.endswith('attn.v_bias'):
            continue
        if name.endswith('attn.q_bias'):
            block = name.removesuffix('q_bias')
            result[block + 'qkv.bias'] = torch.cat([tensor, torch.zeros_like(tensor), state[f'{TRUNK}{block}v_bias']])
            result[block + 'qkv.bias_mask'] = torch.ones(3 * len(tensor))
            continue
        if f'{TRUNK}{name.split(".mlp.")[0]}.mlp.fc1_g.weight' in state:
            name = name.replace('.mlp.fc2.', '.mlp.w3.')
        for ours, theirs in pieces:
            name = name.replace(ours, theirs)
        result[name] = tensor
    result['rope_embed.periods'] = torch.ones(4)
    result = check({**result, 'mask_token': torch.zeros(1, 32)}, state)
    return {**result, 'local_cls_norm.weight': torch.ones(32), 'local_cls_norm.bias': torch.zeros(32)}


def sapiens2_names(state):
    """Meta's own of Sapiens2: LayerScale within attention, registers as storage, and what only training needs."""
    pieces = [('reg_token', 'storage_tokens'), ('patch_embed.proj.', 'patch_embed.projection.'), ('.gamma_1', '.attn.gamma.weight'), ('.mlp.fc1.', '.ffn.w12.'),
              ('.mlp.fc2.', '.ffn.w3.'), ('.norm1.', '.ln1.'), ('.norm2.', '.ln2.'), *((f'.{x}_proj.', f'.w{x}.') for x in 'qkv')]
    result = {}
    for name, tensor in state.items():
        name = name.removeprefix(TRUNK)
        for ours, theirs in pieces:
            name = name.replace(ours, theirs)
        result[f'ln1.{name.removeprefix("norm.")}' if name.startswith('norm.') else name] = tensor
    return check({**result, 'mask_token': torch.zeros(1, 1, 32)}, state)


def dinov3_names_without_bias(state):
    """The same of a tower without biases of q, k and v, which these files have all the same, zeros."""
    zeros = {name.removeprefix(TRUNK).replace('.weight', '.bias'): torch.zeros(len(tensor)) for name, tensor in state.items() if name.endswith('attn.qkv.weight')}
    return {**dinov3_names(state), **zeros}


def without_visual(names):
    return lambda state: {name.removeprefix('visual.'): tensor for name, tensor in names(state).items()}


def perception_encoder_names(state):
    """Meta's own: OpenAI's names, the pool's queries, keys and values in one, and a projection without a bias."""
    pieces = [('patch_embed.proj.', 'conv1.'), ('norm_pre.', 'ln_pre.'), ('attn_pool.mlp.fc1.', 'attn_pool.mlp.c_fc.'),
              ('attn_pool.mlp.fc2.', 'attn_pool.mlp.c_proj.'), ('attn_pool.norm.', 'attn_pool.layernorm.'), ('attn_pool.latent', 'attn_pool.probe'),
              ('attn_pool.proj.', 'attn_pool.attn.out_proj.'), ('blocks.', 'transformer.resblocks.'), ('.norm1.', '.ln_1.'), ('.norm2.', '.ln_2.'),
              ('.attn.qkv.', '.attn.in_proj_'), ('.attn.proj.', '.attn.out_proj.'), ('.mlp.fc1.', '.mlp.c_fc.'), ('.mlp.fc2.', '.mlp.c_proj.')]
    own = {'pos_embed': ('positional_embedding', lambda t: t[0]), 'cls_token': ('class_embedding', lambda t: t[0, 0]),
           'head.weight': ('proj', lambda t: t.T), 'norm.weight': ('ln_post.weight', lambda t: t), 'norm.bias': ('ln_post.bias', lambda t: t)}
    result = {}
    for name, tensor in state.items():
        name = name.removeprefix(TRUNK)
        if name == 'head.bias' or name.startswith('attn_pool.kv.'):
            continue
        if name.startswith('attn_pool.q.'):
            leaf = name.rsplit('.', 1)[-1]
            result[f'visual.attn_pool.attn.in_proj_{leaf}'] = torch.cat([tensor, state[f'{TRUNK}attn_pool.kv.{leaf}']])
            continue
        renamed, change = own.get(name, (name, lambda t: t))
        for ours, theirs in pieces if name not in own else ():
            renamed = renamed.replace(ours, theirs)
        result['visual.' + renamed] = change(tensor)
    return check(result, state)


def no_bias_of_head(model, inputs, generator, dtype):
    model.visual.trunk.head.bias.zero_()


def with_text(names):
    """Beside a text tower that is not asked for."""
    return lambda state: {**names(state), 'positional_embedding': torch.zeros(4, 8), 'transformer.resblocks.0.ln_1.weight': torch.ones(8)}


GOLDENS = [
    eva('eva01', 'EVA01: one matrix for q, k and v with biases of q and v; class token; timm_proj null', 'eva_giant_patch14_224'),
    eva('eva01-linear', 'the pool changed to token after fc_norm was made; timm_proj linear; image_size [16, 40]; hidden width 97; F32',
        'eva_giant_patch14_224', vision=dict(timm_pool='token', timm_proj='linear'), image_size=[16, 40], mlp_ratio=3.05, dtype=torch.float32),
    eva('eva02-clip', 'EVA02: rotary positions stretched from 3 by 5 patches, SwiGLU of two matrices, norms within attention and MLP',
        'eva02_base_patch16_clip_224', image_size=[24, 40], towers=('image', 'text'), num_heads=4),
    eva('eva02-clip-bf16', 'heads of 12; BF16', 'eva02_large_patch14_clip_336',
        embed_dim=36, num_heads=3, dtype=torch.bfloat16),
    eva('eva02-enormous', 'branches normed before they are added; exact GELU in its tail', 'eva02_enormous_patch14_clip_224', tail=True),
    eva('eva02-tiny', 'SwiGLU of one matrix; mean of the patches, then fc_norm; timm_proj mlp', 'eva02_tiny_patch14_224',
        vision=dict(timm_pool='avg', timm_proj='mlp', timm_proj_bias=True), image_size=[32, 24], embed_dim=24),
    eva('eva02-tiny-odd', "SwiGLU of one matrix whose half is no multiple of 8; timm_pool ''; timm_proj linear", 'eva02_small_patch14_336',
        vision=dict(timm_pool='', timm_proj='linear'), mlp_ratio=2.7),
    eva('rope-registers', 'four registers, no learned positions, LayerScale, mean; timm_proj none', 'vit_betwixt_patch16_rope_reg4_gap_256',
        vision=dict(timm_pool='avg', timm_proj='none'), image_size=[24, 40], model=dict(embed_dim=32)),
    eva('rope-no-bias', 'no bias of q, k and v; a register', 'vit_mediumd_patch16_rope_reg1_gap_256', vision=dict(timm_pool='avg', timm_proj=None)),
    eva('rope-axial', 'rotary positions of temperature 100, x first; the class token without positions', 'vit_small_patch16_rope_ape_224',
        image_size=[24, 40]),
    eva('rope-axial-mean', 'no learned positions; norm before the mean', 'vit_base_patch16_rope_224', vision=dict(timm_pool='avg', timm_proj=None)),
    eva('rope-mixed', 'rotary positions whose frequencies are learned, of not square pictures; the class token', 'vit_small_patch16_rope_mixed_224', image_size=[24, 40]),
    eva('rope-mixed-mean', 'the same beside learned positions, which the class token has none of; the normed mean; heads of 12; F32', 'vit_base_patch16_rope_mixed_ape_224',
        vision=dict(timm_pool='avg', timm_proj=None), image_size=[40, 24], embed_dim=36, num_heads=3, dtype=torch.float32),
    eva('sapiens2', 'Sapiens2: fewer heads of keys and values, norms of queries and keys, RMSNorm, registers, LayerScale of attention alone; the class token, of not square pictures',
        'vit_base_patch16_sapiens2', vision=dict(timm_pool='token', timm_proj='none'), image_size=[40, 24], depth=3, num_heads=4, num_kv_heads=[4, 2, 1], model=dict(embed_dim=32)),
    eva('sapiens2-meta', "Meta's own names of Sapiens2; timm_pool null, which is token there; BF16", 'vit_large_patch16_sapiens2', vision=dict(timm_pool=None, timm_proj='none'),
        num_kv_heads=[1, 2], model=dict(embed_dim=32), names=sapiens2_names, dtype=torch.bfloat16, notes='with tensors that only training needs'),
    eva('dinov3', 'DINOv3: rotary positions in whole turns, pairs half a head apart, registers, LayerScale, no bias of q, k and v; mean, of not square pictures',
        'vit_base_patch16_dinov3', vision=dict(timm_pool='avg', timm_proj='none'), image_size=[24, 40], num_heads=4, model=dict(embed_dim=32)),
    eva('dinov3-token', 'the class token, after a SwiGLU whose width is rounded up to a multiple of 8; heads of 12; timm_proj linear; BF16', 'vit_small_plus_patch16_dinov3_qkvb',
        vision=dict(timm_pool='token', timm_proj='linear'), embed_dim=48, num_heads=4, mlp_ratio=2.55, dtype=torch.bfloat16),
    eva('dinov3-meta', "Meta's own names of DINOv3, with biases of q and v", 'vit_tiny_patch16_dinov3_qkvb', vision=dict(timm_pool='token', timm_proj='none'), model=dict(embed_dim=32),
        names=dinov3_names, notes='with tensors that only training needs'),
    eva('dinov3-meta-gated', "Meta's own names of DINOv3, gated and without biases of q, k and v; the width of the MLP rounded up to 64", 'vit_7b_patch16_dinov3',
        vision=dict(timm_pool='avg', timm_proj='none'), model=dict(embed_dim=32), mlp_ratio=2.5, names=dinov3_names_without_bias, notes='with tensors that only training needs'),
    eva('lingbot', "a name of DINOv3's kind that stands for the class token; timm_pool ''", 'vit_giant_patch16_lingbot', vision=dict(timm_pool='', timm_proj='mlp')),
    eva('pe-core', 'Perception Encoder: norm_pre, rotary positions from 1 on, map pooling of 8 heads', 'vit_pe_core_base_patch16_224', vision=PE,
        image_size=[24, 40], towers=('image', 'text')),
    eva('pe-core-gigantic', 'no class token; heads of 12; exact GELU in its tail; F32', 'vit_pe_core_gigantic_patch14_448', vision=PE, tail=True,
        embed_dim=24, dtype=torch.float32),
    eva('pe-spatial', 'no norm at the end; LayerScale', 'vit_pe_spatial_gigantic_patch14_448', vision=dict(timm_pool='avg', timm_proj='linear')),
    eva('eva-bare', "timm's own checkpoint", 'eva02_large_patch14_clip_224', names=bare),
    eva('eva01-authors', "EVA-CLIP's own names of EVA01", 'eva_giant_patch14_clip_224', names=eva_clip_names, notes='with tables of rotary positions'),
    eva('eva02-authors', "EVA-CLIP's own names of EVA02, beside a text tower", 'eva02_base_patch16_clip_224', names=with_text(eva_clip_names),
        notes='with tables of rotary positions'),
    eva('eva02-authors-bare', "EVA-CLIP's own names of the image tower alone", 'eva02_large_patch14_clip_224',
        names=without_visual(eva_clip_names), notes='with tables of rotary positions'),
    eva('pe-meta', "Meta's own names, beside a text tower", 'vit_pe_core_large_patch14_336', vision=PE, names=with_text(perception_encoder_names),
        prepare=no_bias_of_head),
    eva('pe-meta-bare', "Meta's own names of the image tower alone; F32", 'vit_pe_core_small_patch16_384', vision=PE,
        names=without_visual(perception_encoder_names), prepare=no_bias_of_head, dtype=torch.float32),
]
