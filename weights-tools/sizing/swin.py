"""timm's SwinTransformer: Swin and Swin S3."""
import torch

from .timm_models import refuse

FILE = 'swin_sizes.inc'
COLUMNS = 'name, image_size, patch_size, width, stages, blocks, heads, windows, mlp_ratio'
PATTERNS = ['swin_*']


def belongs(model):
    return True


def numbers(values):
    return '{' + ', '.join(map(str, values)) + '}'


def row(model):
    """All that a row doesn't say is the same in each of them, and checked here."""
    stages = list(model.layers)
    patch, size = model.patch_embed.patch_size, model.patch_embed.img_size
    blocks = [block for stage in stages for block in stage.blocks]
    ratios = {block.mlp.fc1.out_features / block.mlp.fc1.in_features for block in blocks}
    windows = model._ref_window_sizes
    expected = {
        'one patch and size': size[0] == size[1] and patch[0] == patch[1],
        'square windows': all(window[0] == window[1] for window in windows),
        'four stages, each twice as wide': [stage.blocks[0].mlp.fc1.in_features for stage in stages]
        == [model.embed_dim * 2 ** i for i in range(4)] if isinstance(model.embed_dim, int) else False,
        'heads that are as wide as they can be': all(block.attn.qkv.out_features == 3 * block.attn.dim for block in blocks),
        'one ratio': len(ratios) == 1,
        'GELU': {type(block.mlp.act).__name__ for block in blocks} == {'GELU'},
        'biases': all(part.bias is not None for block in blocks for part in (block.attn.qkv, block.attn.proj)),
        'norms of 1e-5': {norm.eps for norm in model.modules() if isinstance(norm, torch.nn.LayerNorm)} == {1e-5},
        'an average': model.global_pool == 'avg',
        'nothing else': {name.split('.')[0] for name in model.state_dict()} == {'patch_embed', 'layers', 'norm', 'head'},
    }
    refuse(model, expected)
    return [size[0], patch[0], model.embed_dim, len(stages), numbers([len(stage.blocks) for stage in stages]),
            numbers([stage.blocks[0].attn.num_heads for stage in stages]), numbers([window[0] for window in windows]), *ratios]
