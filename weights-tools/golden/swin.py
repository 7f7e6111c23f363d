"""timm's SwinTransformer, also under the names of Microsoft's checkpoints."""
import torch

from .model import Golden
from .timm_vit import bare

SWIN = dict(embed_dim=8, depths=[2, 1], num_heads=[2, 4], window_size=4, mlp_ratio=2.0)
NAME = 'swin_base_patch4_window7_224'


def swin(name, options, timm_name=NAME, image_size=32, drop=(), **rest):
    fields = {key: rest.pop(key) for key in ('dtype', 'tail', 'names', 'towers', 'notes', 'model') if key in rest}
    fields.setdefault('towers', ('image',))
    head = {'timm_pool': '', 'timm_proj': 'linear', **{key: rest.pop(key) for key in list(rest) if key.startswith('timm_')}}
    args = {key: value for key, value in {**SWIN, **rest}.items() if key not in drop}
    return Golden(name, options, vision=dict(timm_model_name=timm_name, timm_model_args=args, image_size=image_size, **head), **fields)


def microsofts(state):
    """Stages that end with what timm's begin with, and the buffers that follow from the sizes."""
    result = {}
    for name, tensor in bare(state).items():
        if '.downsample.' in name:
            layer = int(name.split('.')[1])
            name = name.replace(f'layers.{layer}.', f'layers.{layer - 1}.')
        result[name.replace('head.fc.', 'head.')] = tensor
        if name.endswith('relative_position_bias_table'):
            result[name.replace('bias_table', 'index')] = torch.zeros(16, 16, dtype=torch.int64)
            result[name.replace('attn.relative_position_bias_table', 'attn_mask')] = torch.zeros(4, 16, 16)
    return result


GOLDENS = [
    swin('swin', 'windows of 4 in a grid of 8, shifted in the second block, then one window that is the grid; linear head',
         towers=('image', 'text')),
    swin('swin-wide', 'image_size [height, width] = [16, 48]: a grid of 4 by 12, shifted one way, then 2 by 6 and 1 by 3 with windows of 3',
         image_size=[16, 48], depths=[2, 1, 1], num_heads=[2, 2, 4], window_size=[4, 3, 3], mlp_ratio=1.5),
    swin('swin-odd', 'a grid of 7, whose last row and column merge with zeros, then of 4 with shifted windows of 2; mlp head with a bias; F32',
         image_size=28, window_size=[7, 2, 2], depths=[1, 2, 1], num_heads=[3, 1, 4], embed_dim=6, mlp_ratio=1.0, dtype=torch.float32,
         timm_proj='mlp', timm_proj_bias=True),
    swin('swin-spare', 'grids of 9 x 13 and 5 x 7, which windows of 4 do not divide, shifted and not, then of 3 x 4 with windows [2, 3]',
         image_size=[36, 52], depths=[2, 2, 2], num_heads=[2, 2, 4], window_size=[[4, 4], [4, 4], [2, 3]], mlp_ratio=1.0),
    swin('swin-pair', 'window_size [height, width] of all stages', image_size=[32, 40], window_size=[4, 5]),
    swin('swin-s3', "another name; a window of 14; patches of one pixel; timm_pool avg and timm's classifier; BF16",
         'swin_s3_small_224', image_size=14, patch_size=1, depths=[2, 1], num_heads=[1, 2], window_size=14,
         dtype=torch.bfloat16, timm_pool='avg', timm_proj=None),
    swin('swin-tail', "exact GELU in its tail; a linear head with a bias; quick_gelu, which timm's towers do not know", tail=True,
         timm_proj_bias=True, model=dict(quick_gelu=True)),
    swin('swin-bare', "timm's own checkpoint: no visual.trunk. before the names; timm_proj none", names=bare, timm_pool='avg', timm_proj='none', model=dict(embed_dim=16)),
    swin('swin-microsoft', "Microsoft's names: downsample at the end of a stage, head., buffers; mlp_ratio 4", names=microsofts,
         timm_pool='avg', timm_proj=None, drop=('mlp_ratio',)),
]
