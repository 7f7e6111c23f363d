"""timm's FastVit: FastViT's own sizes, and MobileCLIP's S0 to S4."""
import torch
from timm.layers import LayerNorm2d, SqueezeExcite
from timm.models.fastvit import AttentionBlock, RepConditionalPosEnc

from .timm_models import refuse

FILE = 'fastvit_sizes.inc'
COLUMNS = 'name, stages, layers, widths, mlp_ratio, attention_from, excite_from, activates, layer_norm, stem_scale'
PATTERNS = ['fastvit_*']


def belongs(model):
    return True


def first(flags):
    """The first stage that has something which all after it have, too."""
    index = flags.index(True) if any(flags) else len(flags)
    return index if all(flags[index:]) else None


def braces(numbers):
    return '{' + ', '.join(map(str, numbers)) + '}'


def row(model):
    """All that a row doesn't say is the same in each of them, and checked here."""
    stages = list(model.stages)
    blocks = [list(stage.blocks) for stage in stages]
    every = [block for stage in blocks for block in stage]
    widths = [stage[0].mlp.fc2.out_channels for stage in blocks]
    attends = [isinstance(stage[0], AttentionBlock) for stage in blocks]
    downsamples = [stage.downsample for stage in stages[1:]]
    excites = [isinstance(down.proj[0].se, SqueezeExcite) for down in downsamples]
    activates = [type(down.proj[0].act).__name__ for down in downsamples]
    ratios = {block.mlp.fc1.out_channels / block.mlp.fc2.out_channels for block in every}
    norms = {type(block.norm) for block in every if isinstance(block, AttentionBlock)}
    attention_from, excite_from = first(attends), first([False, *excites])
    scales = [block.conv_scale is not None for block in list(model.stem)[:2]]
    expected = {
        'attention in the last stages, with positions of 7 × 7 before it': attention_from is not None and [
            isinstance(stage.pos_emb, RepConditionalPosEnc) and stage.pos_emb.spatial_shape == (7, 7) for stage in stages] == attends,
        'downsampling before all stages but the first': isinstance(stages[0].downsample, torch.nn.Identity)
        and all((down.proj[0].kernel_size, down.proj[0].small_kernel, down.proj[0].stride) == (7, 3, 2) for down in downsamples),
        'squeeze-and-excitation in the last stages': excite_from is not None,
        'one whole mlp_ratio': len(ratios) == 1 and ratios == {int(max(ratios))},
        'GELU, or nothing after the large kernels': len(set(activates)) == 1 and activates[0] in ('GELU', 'Identity')
        and all(type(block.mlp.act).__name__ == 'GELU' for block in every),
        'one norm before attention': len(norms) <= 1 and norms <= {LayerNorm2d, torch.nn.BatchNorm2d},
        'an eps of 1e-5': {module.eps for module in model.modules() if hasattr(module, 'eps')} == {1e-5},
        'heads of 32': {block.token_mixer.head_dim for block in every if isinstance(block, AttentionBlock)} <= {32},
        'a stem trained alike': scales[0] == scales[1],
        'twice the channels at the end': model.final_conv.out_chs == 2 * widths[-1],
        'pictures of 256': model.default_cfg['input_size'] == (3, 256, 256),
    }
    refuse(model, expected)
    return [len(stages), braces(map(len, blocks)), braces(widths), int(max(ratios)), attention_from, excite_from,
            int(activates[0] == 'GELU'), int(norms == {LayerNorm2d}), int(scales[0])]
