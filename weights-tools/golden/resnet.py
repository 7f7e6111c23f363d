"""OpenCLIP's ModifiedResNet: OpenAI's RN50, RN101, RN50x4, RN50x16 and RN50x64, made small."""
import torch

from .model import Golden
from .openclip import CUSTOM, module_prefix, openai_names

# Width 4: 2 channels in the stem, 16 to 128 after the four stages, 128 in the attention pool.
RESNET = dict(layers=[1, 1, 1, 1], width=4, image_size=64, head_width=32)


def settle_statistics(model, inputs, generator, dtype, lowered=0.5):
    """Running statistics near those of the inputs, as trained networks have them, and biases that leave ReLU few values: in deep ones with
    others every picture soon has one and the same vector. Not quite the inputs' statistics, so that each matters."""
    def rounded(tensor):
        return tensor.to(dtype).to(tensor.dtype)

    for norm in model.visual.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.bias.copy_(rounded(norm.bias - lowered))
            norm.momentum = 1
            norm.train()
            model.visual(inputs['image'])
            norm.eval()
            variance = norm.running_var.clamp(min=0.1 * norm.running_var.mean())
            norm.running_mean.copy_(rounded(norm.running_mean + variance.sqrt() * (torch.rand(variance.shape, generator=generator) - 0.5)))
            norm.running_var.copy_(rounded(variance * (torch.rand(variance.shape, generator=generator) + 0.5)))


def openai_resnet_names(state):
    """OpenAI's state dicts name a ResNet's tensors as OpenCLIP does; its BatchNorms are fp32, and so are its positions."""
    state = openai_names(state)
    state['input_resolution'] = torch.tensor(RESNET['image_size'])
    return {name: tensor.float() if '.bn' in name or '.downsample.1.' in name else tensor for name, tensor in state.items()}


def resnet(name, options, vision=None, **rest):
    return Golden(f'resnet-{name}', options, vision={**RESNET, **(vision or {})}, prepare=settle_statistics, inputs=6, **rest)


GOLDENS = [
    resnet('plain', 'ModifiedResNet, 4 heads; blocks [2, 1, 2, 1]', dict(layers=[2, 1, 2, 1])),
    resnet('heads-of-64', 'width 8, heads of 64 as in published models; pictures of 96',
           dict(width=8, image_size=96, head_width=64), model=dict(embed_dim=32)),
    resnet('odd-widths', 'width 5: 2 channels in the stem, 20 to 160 after the stages; 8 heads of 20; embed_dim 21',
           dict(width=5, head_width=20), model=dict(embed_dim=21)),
    resnet('uneven', 'pictures of 94: 47, 23, 11, 5 and 2 rows, so that average pooling leaves out a row and a column each time; '
           'head_width 48, which does not divide the width (2 heads of 64)', dict(image_size=94, head_width=48)),
    resnet('one-token', 'pictures of 32: one token and the mean, which are the same; BF16; CustomTextCLIP', dict(image_size=32),
           model=CUSTOM, dtype=torch.bfloat16),
    resnet('openai', "OpenAI's state dict: mixed F16 and F32, I64 scalars; quick_gelu, which a ResNet does not know",
           names=openai_resnet_names, model=dict(quick_gelu=True), notes='tensors that no tower needs: input_resolution, context_length, vocab_size, attn_mask'),
    resnet('module-prefix', 'names with module.; a checkpoint without the text tower; F32', names=module_prefix, towers=('image',), dtype=torch.float32),
]
