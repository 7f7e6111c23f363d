"""ViTamin: timm's VisionTransformer with GEGLU, behind stages of MBConv blocks."""
from timm.models.vitamin import GeGluMlp, MbConvStages

from .timm_models import refuse
from .timm_vit import BLOCK, has_plain_blocks, sizes_of

FILE = 'vitamin_sizes.inc'
COLUMNS = 'name, stem_width, widths, depths, {NULL, width, layers, heads, mlp_width, patch_size, image_size, activation, registers, flags}'
PATTERNS = ['vitamin_*']

GATED = {name for name in BLOCK if '.fc' not in name} | {f'mlp.{part}.{leaf}' for part in ('norm', 'w0', 'w1', 'w2') for leaf in ('weight', 'bias')}


def belongs(model):
    return isinstance(model.patch_embed.backbone, MbConvStages) and has_plain_blocks(model, GATED, (GeGluMlp,))


def row(model):
    backbone, mlp = model.patch_embed.backbone, model.blocks[0].mlp
    stages = backbone.stages
    widths = [stage[0].out_chs for stage in stages]
    blocks = [block for stage in stages for block in stage]
    refuse(model, {
        'two stages, whose first blocks have stride 2': [block.stride for block in blocks]
        == [2 if block is stage[0] else 1 for stage in stages for block in stage],
        'hidden widths of four times the others': all(block.conv1_1x1.out_channels == 4 * block.out_chs for block in blocks),
        'one eps': {module.eps for module in model.modules() if hasattr(module, 'eps')} == {1e-6},
    })
    sizes = sizes_of(model, mlp.w0.out_features, type(mlp.act).__name__, 16)
    return [backbone.stem.out_chs, '{%d, %d}' % tuple(widths), '{%d, %d}' % tuple(map(len, stages)),
            '{' + ', '.join(map(str, ['NULL', *sizes])) + '}']
