"""timm's VisionTransformer with map pooling: the image towers of SigLIP and SigLIP2."""
import torch

from .timm_models import ACTIVATIONS, refuse

FILE = 'timm_vit_sizes.inc'
COLUMNS = 'name, width, layers, heads, mlp_width, patch_size, image_size, activation'
PATTERNS = ['vit_*_siglip_*']


def belongs(model):
    return model.global_pool == 'map'   # timm's own `gap` variants of SigLIP have no map pooling


def row(model):
    """All that a row doesn't say is the same in each of them, and checked here."""
    block, pool = model.blocks[0], model.attn_pool
    size, patch = model.patch_embed.img_size, model.patch_embed.patch_size
    hidden, activation = block.mlp.fc1.out_features, type(block.mlp.act).__name__
    expected = {
        'one width, patch and size': size[0] == size[1] and patch[0] == patch[1],
        'no class or register tokens': model.num_prefix_tokens == 0 and model.pos_embed.shape[1] == (size[0] // patch[0]) ** 2,
        'a bias everywhere': all(part.bias is not None for part in (model.patch_embed.proj, block.attn.qkv, block.attn.proj, pool.q, pool.kv)),
        'norms of 1e-6 around, and no others': [norm.eps for norm in model.modules() if isinstance(norm, torch.nn.LayerNorm)]
        == [1e-6] * (2 * len(model.blocks) + 2),
        'a pool like a block': (pool.num_heads, pool.mlp.fc1.out_features, type(pool.mlp.act).__name__)
        == (block.attn.num_heads, hidden, activation),
        'nothing else': {name.split('.')[0] for name in model.state_dict()} == {'pos_embed', 'patch_embed', 'blocks', 'norm', 'attn_pool'},
    }
    refuse(model, expected)
    return [model.embed_dim, len(model.blocks), block.attn.num_heads, hidden, patch[0], size[0], ACTIVATIONS[activation]]
