"""timm's VisionTransformer behind MobileCLIP-B's stem of convolutions."""
from timm.layers import Mlp
from timm.models.vision_transformer_hybrid import ConvStem

from .timm_models import refuse
from .timm_vit import has_plain_blocks, sizes_of

FILE = 'vit_hybrid_sizes.inc'
COLUMNS = 'name, width, layers, heads, mlp_width, patch_size, image_size, activation, registers, flags'
PATTERNS = ['vit_*_mci_*']


def belongs(model):
    return isinstance(model.patch_embed.backbone, ConvStem) and has_plain_blocks(model, mlps=(Mlp,))


def row(model):
    block, width = model.blocks[0], model.embed_dim
    convs = [layer.conv for layer in model.patch_embed.backbone]
    refuse(model, {
        'windows that do not overlap': [(conv.kernel_size[0], conv.stride[0], conv.padding[0]) for conv in convs]
        == [(4, 4, 0), (2, 2, 0), (2, 2, 0)],
        'widths of a quarter, a quarter and all': [conv.out_channels for conv in convs] == [width // 4, width // 4, width],
    })
    return sizes_of(model, block.mlp.fc1.out_features, type(block.mlp.act).__name__, 16)
