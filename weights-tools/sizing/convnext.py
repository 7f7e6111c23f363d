"""timm's ConvNeXt, and ConvNeXt V2."""
import torch
from timm.layers import LayerNorm, LayerNorm2d, RmsNorm2d, SimpleNorm2d
from timm.layers.grn import GlobalResponseNorm

from .timm_models import ACTIVATIONS, refuse

FILE = 'convnext_sizes.inc'
COLUMNS = '''name, image_size, blocks, widths, kernels, stem, norm, eps, activation, conv_mlp, response, layer_scale,
 * head_norm_first, head_hidden'''
PATTERNS = ['convnext*', 'test_convnext*']
NORMS = {LayerNorm: 'LAYER_NORM', LayerNorm2d: 'LAYER_NORM', RmsNorm2d: 'RMS_NORM', SimpleNorm2d: 'SIMPLE_NORM'}


def belongs(model):
    return True


def norms_of(model):
    return [module for module in model.modules() if 'Norm' in type(module).__name__
            and not isinstance(module, GlobalResponseNorm) and not list(module.children())]


def numbers(values):
    return '{' + ', '.join(map(str, values)) + '}'


def stem_of(model):
    if len(model.stem) == 2:
        return 'PATCHES'
    if len(model.stem) == 4:
        return 'OVERLAP_ACTIVATED'
    return 'OVERLAP' if model.stem[0].out_channels == model.stem[1].out_channels else 'OVERLAP_TIERED'


def row(model):
    """All that a row doesn't say is the same in each of them, and checked here."""
    blocks = [block for stage in model.stages for block in stage.blocks]
    widths = [stage.blocks[0].conv_dw.out_channels for stage in model.stages]
    epsilons = {module.eps for module in norms_of(model)}
    norms = {NORMS.get(type(module)) for module in norms_of(model)}
    kernels = [{block.conv_dw.kernel_size for block in stage.blocks} for stage in model.stages]
    activations = {type(block.mlp.act).__name__ for block in blocks}
    hidden = getattr(model.head, 'hidden_size', None) or 0
    expected = {
        'a stem that divides by four': stem_of(model) != 'PATCHES' or model.stem[0].kernel_size == model.stem[0].stride == (4, 4),
        'square windows, one size a stage, that keep the sides': all(len(sizes) == 1 for sizes in kernels)
        and all(block.conv_dw.kernel_size[0] == block.conv_dw.kernel_size[1] == 2 * block.conv_dw.padding[0] + 1 for block in blocks),
        'one kind of norm that is known': len(norms) == 1 and None not in norms,
        'an activation as the blocks have between the convolutions of the stem':
            stem_of(model) != 'OVERLAP_ACTIVATED' or type(model.stem[1]) is type(blocks[0].mlp.act) and model.stem[0].out_channels == widths[0],
        'hidden layers four times as wide': all(block.mlp.fc1.out_channels == 4 * block.mlp.fc1.in_channels if block.use_conv_mlp
                                                else block.mlp.fc1.out_features == 4 * block.mlp.fc1.in_features for block in blocks),
        'one eps, one activation': len(epsilons) == len(activations) == 1,
        'an eps of 1e-6 in V2': all(module.eps == 1e-6 for module in model.modules() if isinstance(module, GlobalResponseNorm)),
        'a bias everywhere': all(module.bias is not None for module in model.modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))),
        'halves of the grid': all(stage.downsample[1].kernel_size == stage.downsample[1].stride == (2, 2) for stage in model.stages[1:]),
        'an average': model.head.global_pool.pool_type == 'avg',
        'nothing else': {name.split('.')[0] for name in model.state_dict()} <= {'stem', 'stages', 'norm_pre', 'head'},
    }
    refuse(model, expected)
    return [model.default_cfg['input_size'][1], numbers([len(stage.blocks) for stage in model.stages]), numbers(widths),
            numbers(sizes.pop()[0] for sizes in kernels), stem_of(model), norms.pop(), f'{epsilons.pop():.0e}f'.replace('e-0', 'e-'), ACTIVATIONS[activations.pop()], int(blocks[0].use_conv_mlp),
            int(hasattr(blocks[0].mlp, 'grn')), int(blocks[0].gamma is not None), int('norm_pre.weight' in model.state_dict()), hidden]
