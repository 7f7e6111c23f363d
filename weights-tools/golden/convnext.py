"""timm's ConvNeXt and ConvNeXt V2, also under the names of Facebook's checkpoints."""
import torch

from .model import Golden
from .timm_vit import bare

CONVNEXT = dict(depths=[1, 1, 2, 1], dims=[8, 8, 12, 16])


def convnext(name, options, timm_name='convnext_base', image_size=32, **rest):
    fields = {key: rest.pop(key) for key in ('dtype', 'tail', 'names', 'notes', 'model') if key in rest}
    towers = rest.pop('towers', ('image',))
    head = {'timm_pool': '', 'timm_proj': 'linear', **{key: rest.pop(key) for key in list(rest) if key.startswith('timm_')}}
    return Golden(name, options, vision=dict(timm_model_name=timm_name, timm_model_args={**CONVNEXT, **rest}, image_size=image_size, **head),
                  towers=towers, **fields)


def facebooks(state):
    result = {}
    for name, tensor in bare(state).items():
        for theirs, ours in (('downsample_layers.0.', 'stem.'), ('dwconv.', 'conv_dw.'), ('pwconv', 'mlp.fc'), ('head.', 'head.fc.'),
                             ('norm.', 'head.norm.')):
            name = theirs + name.removeprefix(ours) if ours in ('stem.', 'head.fc.', 'head.norm.') and name.startswith(ours) \
                else name.replace(ours, theirs) if ours in ('conv_dw.', 'mlp.fc') else name
        if '.downsample.' in name:
            name = name.replace('stages.', 'downsample_layers.').replace('.downsample.', '.')
        result[name.replace('.blocks.', '.')] = tensor
    return result


GOLDENS = [
    convnext('convnext', "timm_pool '' and a linear head, as OpenCLIP's", towers=('image', 'text')),
    convnext('convnext-mlp', 'an mlp head with a bias; image_size [height, width] = [48, 36], whose last rows some convolutions do not see; F32',
             image_size=[48, 36], dims=[7, 9, 12, 14], depths=[1, 2, 1, 1], timm_proj='mlp', timm_proj_bias=True, dtype=torch.float32),
    convnext('convnext-tail', "exact GELU in its tail; a linear head with a bias; quick_gelu, which timm's towers do not know", tail=True,
             timm_proj_bias=True, model=dict(quick_gelu=True), dims=[8, 12, 16, 24]),
    convnext('convnext-approximate', "a name that stands for GELU's approximation by tanh, in its tail, and eps 1e-5; BF16", 'test_convnext', tail=True, dims=[8, 12, 16, 24],
             dtype=torch.bfloat16),
    convnext('convnext-hidden', "a name with a hidden layer in the head; timm_pool avg and timm's classifier", 'convnext_large_mlp',
             head_hidden_size=20, timm_pool='avg', timm_proj=None),
    convnext('convnext-norm-first', 'a name with its last norm before the average, and MLPs of convolutions; timm_proj none', 'convnext_tiny_hnf',
             timm_pool='avg', timm_proj='none', model=dict(embed_dim=16)),
    convnext('convnext-overlap', 'a name with two overlapping convolutions as its stem, as wide as each other', 'convnext_nano_ols'),
    convnext('convnext-tiered', 'a name with two overlapping convolutions as its stem, the first half as wide', 'convnext_atto_ols',
             dims=[16, 8, 12, 16], image_size=36),
    convnext('convnext-kernels', 'a name with SiLU and windows of 7, 5, 5 and 3', 'test_convnext3', image_size=[48, 40]),
    convnext('convnext-rms', 'a name with RMSNorm; timm_pool avg; timm_proj none', 'convnext_atto_rms', timm_pool='avg', timm_proj='none',
             model=dict(embed_dim=16)),
    convnext('convnext-simple', "a name with timm's SimpleNorm, and an activation within its stem; image_size [height, width] = [32, 40]", 'convnext_zepto_rms_ols',
             image_size=[32, 40], dims=[6, 8, 12, 16]),
    convnext('convnext-v2', 'Global Response Normalization and no LayerScale', 'convnextv2_tiny', image_size=40),
    convnext('convnext-v2-conv', 'the same with MLPs of convolutions; image_size [height, width] = [32, 40]', 'convnextv2_atto',
             image_size=[32, 40]),
    convnext('convnext-bare', "timm's own checkpoint: no visual.trunk. before the names", names=bare, timm_pool='avg', timm_proj='none',
             model=dict(embed_dim=16)),
    convnext('convnext-abs-attn', "timm_pool abs_attn, whose positions are for 7 x 7, over a grid of 3 x 2; timm_proj none", image_size=[96, 64],
             dims=[8, 8, 12, 64], depths=[1, 1, 1, 1], timm_pool='abs_attn', timm_proj='none'),
    convnext('convnext-abs-attn-first', 'timm_pool abs_attn over a grid of 2 x 2, behind a norm that comes before it; no timm_proj; BF16', 'convnext_tiny_hnf',
             image_size=64, dims=[8, 8, 8, 64], depths=[1, 1, 1, 1], timm_pool='abs_attn', timm_proj=None, dtype=torch.bfloat16),
    convnext('convnext-rot-attn', 'timm_pool rot_attn over a grid of 2 x 4, behind a hidden layer; a linear head with a bias', 'convnext_large_mlp',
             head_hidden_size=64, image_size=[64, 128], dims=[8, 8, 12, 64], depths=[1, 1, 1, 1], timm_pool='rot_attn', timm_proj_bias=True),
    convnext('convnext-facebook', "Facebook's names: downsample_layers, dwconv, pwconv1, head", names=facebooks, timm_pool='avg', timm_proj=None),
]
