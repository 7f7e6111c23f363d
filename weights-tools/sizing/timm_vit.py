"""timm's VisionTransformer over patches: all names whose model has no other parts than the family computes."""
import timm
import torch
from timm.layers import DiffAttention, GluMlp, Mlp, RmsNorm, SwiGLU
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import (Block, DiffParallelScalingBlock, ParallelScalingBlock, ParallelThingsBlock, ResPostBlock,
                                            VisionTransformer)
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
LAMBDAS = {'sub_norm.weight', *(f'lambda_{which}' for which in ('q1', 'k1', 'q2', 'k2'))}
DIFFERENTIAL = BLOCK | {f'attn.{name}' for name in LAMBDAS}
OPTIONAL = {'attn.qkv.bias', 'ls1.gamma', 'ls2.gamma'}
# Other blocks: what they have, and what they may have besides.
IN = {'in_norm.weight', 'in_proj.weight'}
OUT = {f'{name}.{leaf}' for name in ('attn_out_proj', 'mlp_out_proj') for leaf in ('weight', 'bias')}
OTHER = {
    ParallelScalingBlock: (IN | OUT, {'in_norm.bias', 'in_proj.bias', 'mlp_bias', 'q_norm.weight', 'q_norm.bias', 'k_norm.weight', 'k_norm.bias', 'ls.gamma'}),
    DiffParallelScalingBlock: (IN | LAMBDAS | {'out_proj.weight', 'out_proj.bias'}, {'in_norm.bias', 'in_proj.bias', 'ls.gamma'}),
    ParallelThingsBlock: ({f'{branch}.{side}.{name}' for side in (0, 1) for branch, names in (
        ('attns', ('norm.weight', 'norm.bias', 'attn.qkv.weight', 'attn.qkv.bias', 'attn.proj.weight', 'attn.proj.bias')),
        ('ffns', ('norm.weight', 'norm.bias', 'mlp.fc1.weight', 'mlp.fc1.bias', 'mlp.fc2.weight', 'mlp.fc2.bias'))) for name in names},
        {f'{branch}.{side}.ls.gamma' for branch in ('attns', 'ffns') for side in (0, 1)}),
}
PARALLEL = ParallelScalingBlock, DiffParallelScalingBlock
AROUND = {'pos_embed', 'cls_token', 'dist_token', 'head_dist', 'reg_token', 'patch_embed', 'norm_pre', 'blocks', 'norm', 'fc_norm', 'head', 'attn_pool'}


def is_norm(module):
    return isinstance(module, (torch.nn.LayerNorm, RmsNorm))


def has_plain_blocks(model, block=BLOCK, mlps=(Mlp, GluMlp)):
    return all(type(b) in (Block, ResPostBlock) and type(b.mlp) in mlps and block <= set(b.state_dict()) <= block | OPTIONAL for b in model.blocks)


def has_other_blocks(model):
    needed, optional = OTHER.get(type(model.blocks[0]), (None, None))
    return needed is not None and all(type(b) is type(model.blocks[0]) and needed <= set(b.state_dict()) <= needed | optional for b in model.blocks)


def parts(block):
    """(attention, MLP) of a block: modules with what is asked for below, whatever it is called there."""
    if isinstance(block, PARALLEL):
        hidden = torch.nn.Module()
        hidden.fc1 = torch.nn.Linear(1, block.in_split[0], device='meta')
        hidden.fc2 = torch.nn.Linear(block.in_split[0], 1, device='meta')
        hidden.act = block.mlp_act
        attention = torch.nn.Module()
        attention.num_heads, attention.qkv, attention.q_norm = block.num_heads, block.in_proj, block.q_norm
        attention.proj = block.attn_out_proj if isinstance(block, ParallelScalingBlock) else block.out_proj
        attention.norm = torch.nn.Identity()
        return attention, hidden
    if isinstance(block, ParallelThingsBlock):
        return block.attns[0].attn, block.ffns[0].mlp
    return block.attn, block.mlp


def has_layer_scale(block):
    return any(name.endswith('.gamma') for name in block.state_dict())


def belongs(model):
    if type(model) not in (VisionTransformer, VisionTransformerDistilled):
        return False
    known = has_plain_blocks(model) or has_other_blocks(model) or any(
        has_plain_blocks(model, block, mlps) for block, mlps in ((RMS, (Mlp,)), (AIM, (SwiGLU,)), (INNER, (Mlp,)), (DIFFERENTIAL, (Mlp,))))
    if not known:
        return False
    names = {name.split('.')[0] for name in model.state_dict()}
    return type(model.patch_embed).__name__ == 'PatchEmbed' and model.pos_embed is not None and names <= AROUND \
        and model.global_pool in ('token', 'avg', 'map') and (model.global_pool == 'map' or not model.pool_include_prefix) \
        and all(is_norm(norm) or isinstance(norm, torch.nn.Identity) for norm in (model.norm_pre, model.norm, model.fc_norm))


def made_with(model, pool):
    with torch.device('meta'):
        return timm.create_model(model.default_cfg['architecture'], global_pool=pool)


def flags_of(model):
    """What of the model is not a size, as the flags of timm_blocks.h."""
    with_class, block = model.cls_token is not None, model.blocks[0]
    attn, mlp = parts(block)
    differential = isinstance(block, DiffParallelScalingBlock) or isinstance(attn, DiffAttention)
    distilled = type(model) is VisionTransformerDistilled
    # The norm of a difference is one of its own, of another kind.
    norms = [module for name, module in model.named_modules() if is_norm(module) and not name.endswith('sub_norm')]
    averaged, other = (model, model) if distilled else (made_with(model, 'avg'), made_with(model, ''))
    flags = {
        'HC_VIT_CLASS': with_class,
        'HC_VIT_PATCH_POSITIONS': model.no_embed_class and model.num_prefix_tokens,
        'HC_VIT_PRE_NORM': is_norm(model.norm_pre),
        'HC_VIT_NO_QKV_BIAS': attn.qkv.bias is None,
        'HC_VIT_LAYER_SCALE': has_layer_scale(block),
        'HC_VIT_POST_NORM': isinstance(block, ResPostBlock),
        'HC_VIT_FC_NORM': is_norm(other.fc_norm),
        'HC_VIT_NO_FC_NORM': not distilled and is_norm(averaged.norm),
        'HC_VIT_NO_NORM': not is_norm(other.norm) and not is_norm(other.fc_norm),
        'HC_VIT_AVG': model.global_pool == 'avg',
        'HC_VIT_MAP': model.global_pool == 'map',
        'HC_VIT_NO_POSITIONS': model.pos_embed is None,
        'HC_VIT_GEGLU': isinstance(mlp, GeGluMlp),
        'HC_VIT_SWIGLU': isinstance(mlp, GluMlp),
        'HC_VIT_EPS_5': norms[0].eps == 1e-5,
        'HC_VIT_RMS_NORM': isinstance(norms[0], RmsNorm),
        'HC_VIT_EMBED_NORM': is_norm(getattr(model.patch_embed, 'norm', None)),
        'HC_VIT_NO_BIAS': attn.proj.bias is None,
        'HC_VIT_SPLIT_GLU': isinstance(mlp, SwiGLU),
        'HC_VIT_INNER_NORMS': is_norm(attn.norm),
        'HC_VIT_DISTILLED': distilled,
        'HC_VIT_MAP_ALL': model.pool_include_prefix,
        'HC_VIT_QK_NORM': is_norm(attn.q_norm),
        'HC_VIT_DIFFERENTIAL': differential,
        'HC_VIT_PARALLEL': isinstance(block, PARALLEL),
        'HC_VIT_TWICE': isinstance(block, ParallelThingsBlock),
    }
    refuse(model, {'one kind of norms': len({isinstance(norm, RmsNorm) for norm in norms}) == 1, 'one eps of all norms': {norm.eps for norm in norms} <= {1e-5} or {norm.eps for norm in norms} <= {1e-6}})
    return ' | '.join(flag for flag, is_set in flags.items() if is_set) or '0'


def sizes_of(model, hidden, activation, patch):
    return [model.embed_dim, len(model.blocks), parts(model.blocks[0])[0].num_heads, hidden, patch, model.patch_embed.img_size[0],
            ACTIVATIONS[activation], model.num_reg_tokens, flags_of(model)]


def row(model):
    """All that a row doesn't say is the same in each of them, and checked here."""
    pool = model.attn_pool
    attn, mlp = parts(model.blocks[0])
    size, patch = model.patch_embed.img_size, model.patch_embed.patch_size
    gated, split = isinstance(mlp, GluMlp), isinstance(mlp, SwiGLU)
    hidden, activation = mlp.fc2.in_features if split else mlp.fc1.out_features, type(mlp.act).__name__
    positions = (size[0] // patch[0]) ** 2 + (0 if model.no_embed_class else model.num_prefix_tokens)
    expected = {
        'one width, patch and size': size[0] == size[1] and patch[0] == patch[1] and len({parts(b)[1].fc2.in_features for b in model.blocks}) == 1,
        'positions of all': model.pos_embed.shape[1] == positions,
        'a bias of the patches, or a norm behind them': (model.patch_embed.proj.bias is None) == is_norm(model.norm_pre),
    }
    if gated:
        expected['the first half as gate, of SiLU'] = not mlp.gate_last and activation == 'SiLU' and mlp.chunk_dim == -1
    if pool:
        expected['a pool like a block'] = (pool.num_heads, pool.mlp.fc1.out_features, type(pool.mlp.act).__name__) \
            == (attn.num_heads, hidden, activation)
    refuse(model, expected)
    return sizes_of(model, hidden, activation, patch[0])
