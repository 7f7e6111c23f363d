"""timm's VisionTransformerRelPos, whose relative position bias is made by an MLP."""
import torch
from timm.layers import Mlp, PatchEmbed, RelPosMlp
from timm.models.vision_transformer_relpos import ResPostRelPosBlock, VisionTransformerRelPos

from .timm_models import ACTIVATIONS, refuse
from .timm_vit import is_norm

FILE = 'vit_relpos_sizes.inc'
COLUMNS = 'name, hidden, shared, {NULL, width, layers, heads, mlp_width, patch_size, image_size, activation, registers, flags}'
PATTERNS = ['vit_relpos_*', 'vit_srelpos_*', 'test_vit_relpos']


def bias_of(model):
    return model.shared_rel_pos or model.blocks[0].attn.rel_pos


def belongs(model):
    return type(model) is VisionTransformerRelPos and type(bias_of(model)) is RelPosMlp and type(model.patch_embed) is PatchEmbed


def row(model):
    block, bias = model.blocks[0], bias_of(model)
    size, patch = model.patch_embed.img_size, model.patch_embed.patch_size
    post = isinstance(block, ResPostRelPosBlock)
    refuse(model, {
        'one patch and size': size[0] == size[1] and patch[0] == patch[1],
        'logarithms as they are, and biases': bias.mode == 'cr' and bias.mlp.fc2.bias is not None,
        'an MLP as everywhere, and no norm of queries and keys': type(block.mlp) is Mlp and isinstance(block.attn.q_norm, torch.nn.Identity),
        'one eps': {module.eps for module in model.modules() if hasattr(module, 'eps')} == {1e-6},
    })
    flags = {
        'HC_VIT_CLASS': model.cls_token is not None,
        'HC_VIT_NO_QKV_BIAS': block.attn.qkv.bias is None,
        'HC_VIT_LAYER_SCALE': not post and hasattr(block.ls1, 'gamma'),
        'HC_VIT_POST_NORM': post,
        'HC_VIT_FC_NORM': is_norm(model.fc_norm),
        'HC_VIT_NO_FC_NORM': is_norm(model.norm),       # whatever the pool is
        'HC_VIT_AVG': model.global_pool == 'avg',
        'HC_VIT_NO_POSITIONS': True,
    }
    sizes = ['NULL', model.embed_dim, len(model.blocks), block.attn.num_heads, block.mlp.fc1.out_features,
             patch[0], size[0], ACTIVATIONS[type(block.mlp.act).__name__], 0, ' | '.join(flag for flag, is_set in flags.items() if is_set)]
    return [bias.mlp.fc1.out_features, int(model.shared_rel_pos is not None), '{' + ', '.join(map(str, sizes)) + '}']
