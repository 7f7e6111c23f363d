"""timm's FastVit: FastViT, and the image towers of MobileCLIP S0 to S4, with the branches of training or without."""
from functools import partial

import torch
from timm.utils.model import reparameterize_model

from .apple import apple, without_projection_bias
from .model import Golden, build
from .openclip import module_prefix

TINY = dict(layers=[1, 1, 1, 1], embed_dims=[4, 8, 16, 32])
MOBILECLIP = dict(custom_text=True)


def settle_statistics(model, inputs, generator, dtype):
    """Running statistics near those of the inputs, as trained networks have them: with others every picture soon has one and the same
    vector. Not quite the inputs' statistics, so that each matters."""
    def rounded(tensor):
        return tensor.to(dtype).to(tensor.dtype)

    for name, tensor in model.visual.state_dict().items():
        if '.se.fc1.bias' in name:          # gates that are open for some inputs and not for others
            tensor.copy_(rounded(tensor + 1.3))
        elif '.se.fc2.weight' in name:
            tensor.copy_(rounded(tensor * 0.2))
        elif 'mlp.fc1.bias' in name:        # branches that do not drown what they are added to
            tensor.copy_(rounded(tensor + 1))
        elif 'layer_scale' in name:
            tensor.copy_(rounded(tensor * (0.6 if 'token_mixer' in name else 0.25)))
        elif '.qkv.' in name:
            tensor.copy_(rounded(tensor * 0.5))
    norms = [norm for norm in model.visual.modules() if isinstance(norm, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1
        norm.train()
    for norm in norms:
        model.visual(inputs['image'])
        norm.eval()
        variance = norm.running_var.clamp(min=0.1 * norm.running_var.mean())
        norm.running_mean.copy_(rounded(norm.running_mean + variance.sqrt() * (torch.rand(variance.shape, generator=generator) - 0.5)))
        norm.running_var.copy_(rounded(variance * (torch.rand(variance.shape, generator=generator) + 0.5)))


def bare(state):
    """timm's own checkpoints: the trunk alone."""
    return {name.removeprefix('visual.trunk.'): tensor for name, tensor in state.items()}


def reparameterised(state, config):
    """The state dict once timm has summed the branches of every block."""
    model = build(config)
    model.load_state_dict({name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, strict=False)
    model.visual.trunk = reparameterize_model(model.visual.trunk)
    return {name: tensor for name, tensor in model.visual.state_dict(prefix='visual.').items()}


def fastvit(name, options, timm_name='fastvit_mci0', args=None, image_size=48, pool='avg', proj=None, vision=None, prepare=settle_statistics,
            **rest):
    vision = dict(timm_model_name=timm_name, timm_model_args={**TINY, **(args or {})}, timm_pool=pool, timm_proj=proj,
                  image_size=image_size, **(vision or {}))
    golden = Golden(f'fastvit-{name}', options, vision=vision, inputs=6, prepare=prepare, **rest)
    if golden.names in (apple, reparameterised):
        golden.names = partial(golden.names, config=golden.config())
    return golden


def settle_apple(model, *rest):
    without_projection_bias(model, *rest)
    settle_statistics(model, *rest)


GOLDENS = [
    fastvit('mci0', 'MobileCLIP S0: RepMixer, attention over the last grid, squeeze-and-excitation; as trained, branches and all',
            image_size=48, model=MOBILECLIP),
    fastvit('mci0-reparam', 'the same re-parameterised: sums of the branches in their place; F32; pictures of [32, 48]', image_size=[32, 48],
            names=reparameterised, towers=('image',)),
    fastvit('apple', "Apple's own names, in which stages, downsampling and positions are one sequence; a projection without a bias",
            image_size=32, names=apple, model=MOBILECLIP, prepare=settle_apple),
    fastvit('mci3', 'MobileCLIP2 S3: five stages, LayerNorm before attention, no 1 × 1 branches in the stem; timm_proj mlp with a bias; BF16',
            'fastvit_mci3', dict(layers=[1, 1, 1, 1, 1], embed_dims=[4, 8, 16, 32, 32]), image_size=[48, 32], proj='mlp',
            vision=dict(timm_proj_bias=True), dtype=torch.bfloat16, towers=('image',)),
    fastvit('sa12', "nothing after the large kernels, attention; timm_proj linear; module. before the names", 'fastvit_sa12',
            image_size=[40, 32], proj='linear', names=module_prefix, towers=('image',)),
    fastvit('abs-attn', "timm_pool abs_attn, whose positions are for 8 x 8, over a grid of 2 x 3; an mlp head", image_size=[64, 96],
            pool='abs_attn', proj='mlp', towers=('image',)),
    fastvit('rot-attn', 'timm_pool rot_attn over a grid of 3 x 2; timm_proj none; F32', 'fastvit_t8', image_size=[96, 64],
            pool='rot_attn', proj='none', dtype=torch.float32, args=dict(layers=[1, 1, 1, 1]), towers=('image',)),
    fastvit('t8', "no attention; widths of 3 to 24, three blocks in a stage; timm_proj none; timm's own names", 'fastvit_t8',
            dict(layers=[1, 1, 3, 1], embed_dims=[3, 6, 12, 24]), image_size=34, proj='none', names=bare, towers=('image',)),
]
