"""timm's VisionTransformer over patches: all names whose model has no other parts than the family computes."""
import timm
import torch
from timm.layers import GluMlp, Mlp, RmsNorm, SwiGLU
from timm.models.vision_transformer import Block, ResPostBlock, VisionTransformer
from timm.models.vitamin import GeGluMlp

from .timm_models import ACTIVATIONS, refuse

FILE = 'timm_vit_sizes.inc'
COLUMNS = 'name, width, layers, heads, mlp_width, patch_size, image_size, activation, registers, flags'
PATTERNS = ['vit_*', 'eva_large_*', 'deit_*', 'deit3_*', 'flexivit_*', 'aimv2_*', 'beit3_*', 'test_vit*']

BLOCK = {'norm1.weight', 'norm1.bias', 'attn.qkv.weight', 'attn.proj.weight', 'attn.proj.bias', 'norm2.weight', 'norm2.bias',
         'mlp.fc1.weight', 'mlp.fc1.bias', 'mlp.fc2.weight', 'mlp.fc2.bias'}
RMS = BLOCK - {'norm1.bias', 'norm2.bias'}
AIM = {name for name in RMS if name.endswith('weight') and '.fc1.' not in name} | {'mlp.fc1_g.weight', 'mlp.fc1_x.weight'}
INNER = BLOCK | {'attn.norm.weight', 'attn.norm.bias', 'mlp.norm.weight', 'mlp.norm.bias'}
OPTIONAL = {'attn.qkv.bias', 'ls1.gamma', 'ls2.gamma'}
AROUND = {'pos_embed', 'cls_token', 'reg_token', 'patch_embed', 'norm_pre', 'blocks', 'norm', 'fc_norm', 'head', 'attn_pool'}


def is_norm(module):
    return isinstance(module, (torch.nn.LayerNorm, RmsNorm))


def has_plain_blocks(model, block=BLOCK, mlps=(Mlp, GluMlp)):
    return all(type(b) in (Block, ResPostBlock) and type(b.mlp) in mlps and block <= set(b.state_dict()) <= block | OPTIONAL for b in model.blocks)


def belongs(model):
    plain = has_plain_blocks(model) or any(has_plain_blocks(model, block, mlps) for block, mlps in ((RMS, (Mlp,)), (AIM, (SwiGLU,)), (INNER, (Mlp,))))
    if type(model) is not VisionTransformer or not plain:
        return False
    names = {name.split('.')[0] for name in model.state_dict()}
    # A pool that looks at some of the tokens only is not computed.
    mapped = model.global_pool == 'map' and (model.num_prefix_tokens or model.pool_include_prefix)
    return type(model.patch_embed).__name__ == 'PatchEmbed' and model.pos_embed is not None and names <= AROUND \
        and model.global_pool in ('token', 'avg', 'map') and not mapped \
        and all(is_norm(norm) or isinstance(norm, torch.nn.Identity) for norm in (model.norm_pre, model.norm, model.fc_norm))


def made_with(model, pool):
    with torch.device('meta'):
        return timm.create_model(model.default_cfg['architecture'], global_pool=pool)


def flags_of(model):
    """What of the model is not a size, as the flags of timm_blocks.h."""
    with_class, block = model.cls_token is not None, model.blocks[0]
    norms = [module for module in model.modules() if is_norm(module)]
    averaged, other = made_with(model, 'avg'), made_with(model, '')
    flags = {
        'HC_VIT_CLASS': with_class,
        'HC_VIT_PATCH_POSITIONS': model.no_embed_class and model.num_prefix_tokens,
        'HC_VIT_PRE_NORM': is_norm(model.norm_pre),
        'HC_VIT_NO_QKV_BIAS': block.attn.qkv.bias is None,
        'HC_VIT_LAYER_SCALE': hasattr(block.ls1, 'gamma') if hasattr(block, 'ls1') else False,
        'HC_VIT_POST_NORM': isinstance(block, ResPostBlock),
        'HC_VIT_FC_NORM': is_norm(other.fc_norm),
        'HC_VIT_NO_FC_NORM': is_norm(averaged.norm),
        'HC_VIT_NO_NORM': not is_norm(other.norm) and not is_norm(other.fc_norm),
        'HC_VIT_AVG': model.global_pool == 'avg',
        'HC_VIT_MAP': model.global_pool == 'map',
        'HC_VIT_NO_POSITIONS': model.pos_embed is None,
        'HC_VIT_GEGLU': isinstance(block.mlp, GeGluMlp),
        'HC_VIT_SWIGLU': isinstance(block.mlp, GluMlp),
        'HC_VIT_EPS_5': norms[0].eps == 1e-5,
        'HC_VIT_RMS_NORM': isinstance(norms[0], RmsNorm),
        'HC_VIT_EMBED_NORM': is_norm(getattr(model.patch_embed, 'norm', None)),
        'HC_VIT_NO_BIAS': block.attn.proj.bias is None,
        'HC_VIT_SPLIT_GLU': isinstance(block.mlp, SwiGLU),
        'HC_VIT_INNER_NORMS': is_norm(block.attn.norm),
    }
    refuse(model, {'one kind of norms': len({isinstance(norm, RmsNorm) for norm in norms}) == 1, 'one eps of all norms': {norm.eps for norm in norms} <= {1e-5} or {norm.eps for norm in norms} <= {1e-6}})
    return ' | '.join(flag for flag, is_set in flags.items() if is_set) or '0'


def sizes_of(model, hidden, activation, patch):
    return [model.embed_dim, len(model.blocks), model.blocks[0].attn.num_heads, hidden, patch, model.patch_embed.img_size[0],
            ACTIVATIONS[activation], model.num_reg_tokens, flags_of(model)]


def row(model):
    """All that a row doesn't say is the same in each of them, and checked here."""
    block, pool = model.blocks[0], model.attn_pool
    size, patch = model.patch_embed.img_size, model.patch_embed.patch_size
    gated, split = isinstance(block.mlp, GluMlp), isinstance(block.mlp, SwiGLU)
    hidden, activation = block.mlp.fc2.in_features if split else block.mlp.fc1.out_features, type(block.mlp.act).__name__
    positions = (size[0] // patch[0]) ** 2 + (0 if model.no_embed_class else model.num_prefix_tokens)
    expected = {
        'one width, patch and size': size[0] == size[1] and patch[0] == patch[1] and len({b.mlp.fc2.in_features for b in model.blocks}) == 1,
        'positions of all': model.pos_embed.shape[1] == positions,
        'a bias of the patches, or a norm behind them': (model.patch_embed.proj.bias is None) == is_norm(model.norm_pre),
    }
    if gated:
        expected['the first half as gate, of SiLU'] = not block.mlp.gate_last and activation == 'SiLU' and block.mlp.chunk_dim == -1
    if pool:
        expected['a pool like a block'] = (pool.num_heads, pool.mlp.fc1.out_features, type(pool.mlp.act).__name__) \
            == (block.attn.num_heads, hidden, activation)
    refuse(model, expected)
    return sizes_of(model, hidden, activation, patch[0])
