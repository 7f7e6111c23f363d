"""timm's VisionTransformer behind convolutions: MobileCLIP-B's stem, or a ResNet."""
import torch
from timm.layers import Mlp, StdConv2dSame
from timm.models._features import FeatureListNet
from timm.models.resnetv2 import Bottleneck, ResNetV2
from timm.models.vision_transformer_hybrid import ConvStem

from .timm_models import refuse
from .timm_vit import has_plain_blocks, sizes_of

FILE = 'vit_hybrid_sizes.inc'
COLUMNS = '''name, backbone, stages, blocks of each, width, layers, heads, mlp_width, patch_size, image_size, activation,
 * registers, flags'''
BRACKETS = ('ROW(', ')')
PATTERNS = ['vit_*_mci_*', 'vit_*_r26_*', 'vit_*_r50_*', 'vit_*_resnet*', 'vit_tiny_r_*']
CHANNELS = [256, 512, 1024, 2048]


def belongs(model):
    return type(model.patch_embed).__name__ == 'HybridEmbed' and has_plain_blocks(model, mlps=(Mlp,))


def check_stem(model, backbone):
    width = model.embed_dim
    convs = [layer.conv for layer in backbone]
    refuse(model, {
        'windows that do not overlap': [(conv.kernel_size[0], conv.stride[0], conv.padding[0]) for conv in convs]
        == [(4, 4, 0), (2, 2, 0), (2, 2, 0)],
        'widths of a quarter, a quarter and all': [conv.out_channels for conv in convs] == [width // 4, width // 4, width],
    })


def check_v2(model, backbone):
    convs = [module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)]
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.GroupNorm)]
    whole = isinstance(backbone, ResNetV2)
    stem = backbone.stem if whole else backbone
    blocks = [block for stage in backbone.stages for block in stage.blocks] if whole else []
    refuse(model, {
        'standardised weights without a bias': all(type(conv) is StdConv2dSame and conv.eps == 1e-8 and conv.bias is None for conv in convs),
        '32 groups of one eps': all(norm.num_groups == 32 and norm.eps == 1e-5 for norm in norms),
        'a stem of one convolution': (stem.conv.kernel_size, stem.conv.stride, stem.conv.out_channels) == ((7, 7), (2, 2), 64),
        'then the largest of three by three': (type(stem.pool).__name__, stem.pool.kernel_size, stem.pool.stride) == ('MaxPool2dSame', (3, 3), (2, 2)),
        'bottlenecks of a quarter': all(type(block) is Bottleneck and 4 * block.conv2.out_channels == block.conv3.out_channels for block in blocks),
    })


def check_d(model, backbone):
    convs = [module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)]
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    pool = backbone.maxpool
    refuse(model, {
        'no bias': all(conv.bias is None for conv in convs),
        'one eps': all(norm.eps == 1e-5 for norm in norms),
        'a stem of three convolutions': [conv.out_channels for conv in [*backbone.conv1] if isinstance(conv, torch.nn.Conv2d)] == [32, 32, 64],
        'then the largest of three by three': (pool.kernel_size, pool.stride, pool.padding) == (3, 2, 1),
    })


def stages_of(model):
    """(kind, blocks of each stage, channels after each), once all else of the backbone is as the family has it."""
    backbone = model.patch_embed.backbone
    if isinstance(backbone, ConvStem):
        check_stem(model, backbone)
        return 'CONV_STEM', [], []
    if isinstance(backbone, FeatureListNet):
        check_d(model, backbone)
        stages = [backbone[name] for name in ('layer1', 'layer2', 'layer3', 'layer4') if name in backbone]
        return 'RESNET_D', [len(stage) for stage in stages], [stage[-1].conv3.out_channels for stage in stages]
    check_v2(model, backbone)
    stages = backbone.stages if isinstance(backbone, ResNetV2) else []
    return 'RESNET_V2', [len(stage.blocks) for stage in stages], [stage.blocks[-1].conv3.out_channels for stage in stages]


def row(model):
    """Of patches it says how many pixels they are wide in the picture."""
    mlp, embed = model.blocks[0].mlp, model.patch_embed
    kind, blocks, channels = stages_of(model)
    stride = 16 if kind == 'CONV_STEM' else 2 << len(blocks) if blocks else 4
    patch = 1 if kind == 'CONV_STEM' else embed.patch_size[0]
    refuse(model, {'channels that double': channels == CHANNELS[:len(channels)],
                   'one patch': kind == 'CONV_STEM' or embed.proj.kernel_size == embed.proj.stride == (patch, patch),
                   'halves of the grid': embed.img_size[0] == embed.grid_size[0] * patch * stride})
    padded = blocks + [0] * (len(CHANNELS) - len(blocks))
    return [kind, len(blocks), *padded, *sizes_of(model, mlp.fc1.out_features, type(mlp.act).__name__, patch * stride)]
