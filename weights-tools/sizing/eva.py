"""timm's Eva: EVA, EVA-02, EVA-CLIP, the Perception Encoder, DINOv3, Sapiens2, and ViTs with rotary positions, axial or mixed."""
import timm
import torch
from timm.layers import AttentionRope, GluMlp, LayerNorm, RmsNorm, RotaryEmbeddingCat, RotaryEmbeddingDinoV3, SwiGLU
from timm.layers.pos_embed_sincos import RotaryEmbeddingMixed
from timm.models.eva import Eva, EvaAttention, EvaBlockPostNorm

from .timm_models import refuse

FILE = 'eva_sizes.inc'
COLUMNS = 'name, width, layers, heads, mlp_width, patch_size, image_size, registers, reference, pool_heads, pool_mlp_width, align, kv_heads, flags'
PATTERNS = ['eva_*', 'eva02_*', 'vit_*']

BLOCK = {'gamma_1', 'gamma_2', 'norm1', 'norm2', 'attn', 'mlp'}
ATTENTION = {'qkv', 'q_bias', 'v_bias', 'q_proj', 'k_proj', 'v_proj', 'q_norm', 'k_norm', 'norm', 'proj'}
WHOLE = 8   # first and last blocks with as many heads of keys and values as of queries, where others have fewer


def is_norm(module):
    return isinstance(module, (torch.nn.LayerNorm, RmsNorm))


def belongs(model):
    if type(model) is not Eva:
        return False
    block, rope = model.blocks[0], model.rope
    plain = {name.split('.')[0] for name in block.state_dict()} <= BLOCK
    return plain and (rope is None or type(rope) in (RotaryEmbeddingCat, RotaryEmbeddingDinoV3, RotaryEmbeddingMixed)) \
        and {name.split('.')[0] for name in block.attn.state_dict()} <= ATTENTION and is_norm(block.norm1)


def made_with(model, pool):
    with torch.device('meta'):
        return timm.create_model(model.default_cfg['architecture'], global_pool=pool)


def flags_of(model):
    """What of the model is not a size, as the flags of eva.h."""
    block, rope = model.blocks[0], model.rope
    attn, mlp = block.attn, block.mlp
    averaged, other = made_with(model, 'avg'), made_with(model, '')
    fused, mixed = attn.qkv is not None, type(rope) is RotaryEmbeddingMixed
    flags = {
        'CLASS_TOKEN': model.cls_token is not None,
        'NO_POSITIONS': model.pos_embed is None,
        'PRE_NORM': is_norm(model.norm_pre),
        'SPLIT_QKV': not fused,
        'QV_BIAS': fused and isinstance(attn, EvaAttention) and attn.q_bias is not None,
        'QKV_BIAS': fused and isinstance(attn, AttentionRope) and attn.qkv.bias is not None,
        'SUB_NORM': is_norm(attn.norm),
        'GLU': isinstance(mlp, GluMlp),
        'SPLIT_GLU': isinstance(mlp, SwiGLU),
        'MLP_NORM': is_norm(mlp.norm),
        'POST_NORM': isinstance(block, EvaBlockPostNorm),
        'LAYER_SCALE': getattr(block, 'gamma_1', None) is not None,
        'ROTARY': rope is not None and not mixed,
        'X_FIRST': rope is not None and rope.grid_indexing == 'xy',
        'FROM_ONE': rope is not None and not mixed and rope.grid_offset == 1,
        'WHOLE_TURNS': type(rope) is RotaryEmbeddingDinoV3,
        'COLD': rope is not None and not mixed and rope.temperature == 100,
        'EPS_5': block.norm1.eps == 1e-5,
        'MAP': model.global_pool == 'map',
        'TOKEN': model.global_pool == 'token',
        'NO_FC_NORM': not is_norm(averaged.fc_norm),
        'PATCH_POSITIONS': model.no_embed_class and model.num_prefix_tokens > 0 and model.pos_embed is not None,
        'NO_NORM': not is_norm(averaged.norm) and not is_norm(averaged.fc_norm),
        'MIXED': mixed,
        'K_BIAS': not fused and attn.k_proj.bias is not None,
        'QK_NORM': is_norm(attn.q_norm),
        'RMS_NORM': isinstance(block.norm1, RmsNorm),
        'PLAIN_MLP': getattr(block, 'gamma_1', None) is not None and block.gamma_2 is None,
        'PORTRAIT': model.patch_embed.img_size[0] != model.patch_embed.img_size[1],
    }
    norms = {norm.eps for norm in model.modules() if is_norm(norm)}
    refuse(model, {
        'one eps': len(norms) == 1 and norms <= {1e-5, 1e-6},
        'one norm behind the blocks, or none': not (is_norm(averaged.norm) and is_norm(averaged.fc_norm))
        and is_norm(other.norm) == (not flags['NO_NORM']) and not is_norm(other.fc_norm),
        'biases of q and v where they are apart': fused or attn.q_proj.bias is not None and attn.v_proj.bias is not None,
        'coordinates in patches, or in turns': rope is None or mixed or type(rope) is RotaryEmbeddingDinoV3 and rope.rotate_half
        and rope.normalize_coords == 'separate' and rope.grid_offset == 0 and rope.min_period is None
        or type(rope) is RotaryEmbeddingCat and not rope.rotate_half and rope.grid_type == 'index' and rope.grid_offset in (0, 1)
        and not rope.in_pixels and rope.ref_feat_shape in (None, *((n, n) for n in range(1, 99))),
        'a temperature of 100 or 10000': rope is None or mixed or rope.temperature in (100, 10000),
    })
    return ' | '.join(f'HC_EVA_{flag}' for flag, is_set in flags.items() if is_set) or '0'


def alignment(model):
    """What divides an MLP's width, whatever mlp_ratio is."""
    if not isinstance(model.blocks[0].mlp, SwiGLU):
        return 1
    with torch.device('meta'):
        odd = timm.create_model(model.default_cfg['architecture'], mlp_ratio=1 / model.embed_dim, depth=1)
    return odd.blocks[0].mlp.fc2.in_features


def kv_heads(model):
    """Of the blocks between the first and the last; 0: as many as of queries in all."""
    heads, blocks = model.blocks[0].attn.num_heads, len(model.blocks)
    found = [getattr(block.attn, 'num_kv_heads', heads) for block in model.blocks]
    fewer = min(found)
    refuse(model, {'fewer heads of keys and values from one block to another': all(
        n == (fewer if WHOLE <= i < blocks - WHOLE else heads) for i, n in enumerate(found))})
    # Of a name whose blocks are too few for that, too, an argument may say other ones.
    return fewer if fewer != heads or model.blocks[0].attn.qkv is None and isinstance(model.blocks[0].attn, AttentionRope) else 0


def row(model):
    block, pool, rope = model.blocks[0], model.attn_pool, model.rope
    size, patch = model.patch_embed.img_size, model.patch_embed.patch_size
    mlp = block.mlp
    hidden = mlp.fc2.in_features
    positions = size[0] // patch[0] * (size[1] // patch[1]) + (0 if model.no_embed_class else model.num_prefix_tokens)
    refuse(model, {
        'one width, patch and size': size[1] in (size[0], size[0] // 4 * 3) and patch[0] == patch[1] and len({b.mlp.fc2.in_features for b in model.blocks}) == 1,
        'positions of all': model.pos_embed is None or model.pos_embed.shape[1] == positions,
        'a bias of the patches, or a norm behind them': (model.patch_embed.proj.bias is None) == is_norm(model.norm_pre),
        'exact GELU, or SwiGLU': type(mlp.act).__name__ == ('SiLU' if isinstance(mlp, (GluMlp, SwiGLU)) else 'GELU'),
        'norms of one kind': {type(norm) for norm in model.modules() if is_norm(norm)} in ({LayerNorm}, {RmsNorm}),
        'exact GELU in the pool': pool is None or type(pool.mlp.act).__name__ == 'GELU',
    })
    reference = rope.ref_feat_shape[0] if getattr(rope, 'ref_feat_shape', None) else 0
    return [model.embed_dim, len(model.blocks), block.attn.num_heads, hidden, patch[0], size[0], 0 if model.reg_token is None else model.reg_token.shape[1], reference,
            pool.num_heads if pool else 0, pool.mlp.fc1.out_features if pool else 0, alignment(model), kv_heads(model), flags_of(model)]
