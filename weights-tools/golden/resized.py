"""Checkpoints whose positions are for another size of picture or length of text than the config's, as OpenCLIP (resize_pos_embed,
resize_text_pos_embed) and timm (resample_abs_pos_embed, which its set_input_size calls; for Swin its checkpoint_filter_fn, and its
set_input_size, which resizes windows, too) resize them."""
import torch
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.swin_transformer import checkpoint_filter_fn

from .model import Golden, build, features
from .swin import NAME as SWIN_NAME, SWIN
from .timm_vit import SIGLIP, VIT, bare

CUSTOM = dict(custom_text=True)
ARGS = {**VIT, 'embed_dim': 24, 'depth': 1, 'patch_size': 4}


class Resized:
    """A golden's checkpoint: positions of `grid` (rows, columns) and `length` in place of the config's."""

    def __init__(self, grid=None, length=None):
        self.grid, self.length = grid, length
        self.stored = {}

    def names(self, state):
        return {**state, **self.stored}

    def random(self, rows, like, generator, dtype):
        return (torch.randn(rows, like.shape[-1], generator=generator) * 0.5).to(dtype)

    def prepare(self, model, inputs, generator, dtype):
        state = model.state_dict()
        if self.grid and 'visual.trunk.pos_embed' in state:
            self.resample(state['visual.trunk.pos_embed'], model.visual.trunk.patch_embed.grid_size, generator, dtype)
        elif self.grid:
            self.replace(state, 'visual.positional_embedding', self.grid[0] * self.grid[1] + 1, generator, dtype,
                         lambda resized: resize_pos_embed(resized, model))
        if self.length:
            name = 'positional_embedding' if 'positional_embedding' in state else 'text.positional_embedding'
            more = state[name].shape[0] - getattr(model, 'context_length', getattr(getattr(model, 'text', None), 'context_length', 0))
            self.replace(state, name, self.length + more, generator, dtype, lambda resized: resize_text_pos_embed(resized, model))

    def replace(self, state, name, rows, generator, dtype, resize):
        self.stored[name] = self.random(rows, state[name], generator, dtype)
        resized = {name: self.stored[name].float()}    # torch has no such interpolation of halves for processors
        resize(resized)
        state[name].copy_(resized[name])

    def resample(self, positions, grid, generator, dtype):
        before = positions.shape[1] - grid[0] * grid[1]     # of a class token
        old = self.random(before + self.grid[0] * self.grid[1], positions, generator, dtype)[None]
        self.stored['visual.trunk.pos_embed'] = old
        positions.copy_(resample_abs_pos_embed(old.float(), new_size=list(grid), old_size=list(self.grid), num_prefix_tokens=before))


def resized(name, options, grid=None, length=None, names=None, **rest):
    file = Resized(grid, length)
    return Golden(f'resized-{name}', options, names=lambda state: (names or (lambda same: same))(file.names(state)), prepare=file.prepare,
                  **rest)


def timm_resized(name, options, grid, image_size, timm_name=SIGLIP, pool='map', **rest):
    vision = dict(timm_model_name=timm_name, timm_model_args=ARGS, timm_pool=pool, timm_proj='none', image_size=image_size)
    return resized(name, options, grid, vision=vision, model=dict(embed_dim=ARGS['embed_dim']), towers=('image',), **rest)


class Windows:
    """A golden's checkpoint: biases for windows of another size than the config's. With `own`, the image_size and the window_size of the
    config that the checkpoint is for, they are what OpenCLIP's set_input_size makes of that one's, and so is the tower; else what
    timm's checkpoint_filter_fn makes of those for windows of `side`."""

    def __init__(self, side=None, own=None):
        self.side, self.own = side, own
        self.stored, self.golden = {}, None

    def names(self, state):
        return {**state, **self.stored}

    def prepare(self, model, inputs, generator, dtype):
        state = model.state_dict()
        tables = {name: tensor for name, tensor in state.items() if name.endswith('relative_position_bias_table')}
        if self.own:
            config = self.golden.config()
            config['vision_cfg'] = {**config['vision_cfg'], 'image_size': self.own[0],
                                    'timm_model_args': {**config['vision_cfg']['timm_model_args'], 'window_size': self.own[1]}}
            other = build(config)
            shapes = {name: other.state_dict()[name].shape for name in tables}
        else:
            shapes = {name: ((2 * self.side - 1) ** 2, tensor.shape[1]) for name, tensor in tables.items()}
        self.stored = {name: (torch.randn(shape, generator=generator) * 0.5).to(dtype) for name, shape in shapes.items()}
        floats = {name: tensor.float() for name, tensor in self.stored.items()}     # RegularGridInterpolator's weights are, too
        if self.own:
            other.load_state_dict({**state, **floats})
            size = self.golden.config()['vision_cfg']['image_size']
            other.visual.set_input_size(tuple(size) if isinstance(size, list) else size)
            made = other.state_dict()
        else:
            prefix = 'visual.trunk.'
            made = {prefix + name: tensor for name, tensor in checkpoint_filter_fn(
                {name.removeprefix(prefix): tensor for name, tensor in floats.items()}, model.visual.trunk).items()}
        for name, tensor in tables.items():
            tensor.copy_(made[name])
        if self.own and not torch.equal(features(other, 'image', inputs['image']), features(model, 'image', inputs['image'])):
            raise SystemExit(f'{self.golden.name}: its config is not that of the tower that set_input_size makes')


def windows(name, options, image_size, window_size, side=None, own=None, **rest):
    file = Windows(side, own)
    file.golden = Golden(f'resized-swin-{name}', options, names=file.names, prepare=file.prepare, towers=('image',), vision=dict(
        timm_model_name=SWIN_NAME, timm_model_args={**SWIN, 'window_size': window_size}, image_size=image_size, timm_pool='avg',
        timm_proj='linear'), **rest)
    return file.golden


VISION, TEXT = dict(patch_size=3, layers=1), dict(layers=1)   # small, because some are F32

GOLDENS = [
    resized('up', 'positions of 3 x 3 for a grid of 5 x 5, of 8 tokens for 13; F32', (3, 3), 8,
            vision=dict(image_size=15, **VISION), text=dict(context_length=13, **TEXT), dtype=torch.float32),
    resized('down', 'positions of 8 x 8 for a grid of 3 x 3, of 31 tokens for 12; F16', (8, 8), 31,
            vision=dict(image_size=9, **VISION), text=dict(context_length=12, **TEXT)),
    resized('wide', 'positions of 4 x 4 for a grid of 2 x 7; of a class row, too, in CustomTextCLIP; BF16', (4, 4), 9,
            vision=dict(image_size=[6, 21], **VISION), text=dict(embed_cls=True, **TEXT), model=CUSTOM, dtype=torch.bfloat16),
    resized('same', 'positions of 4 x 4 for a grid of 8 x 2, as many, which OpenCLIP takes as they are', (4, 4),
            vision=dict(image_size=[24, 6], **VISION)),
    timm_resized('timm-up', "timm's positions of 3 x 3 for a grid of 5 x 4; F32", (3, 3), [20, 16], dtype=torch.float32),
    timm_resized('timm-down', "timm's positions of 7 x 7 for a grid of 3 x 3, in timm's own checkpoint", (7, 7), 12, names=bare),
    timm_resized('timm-class', 'positions of a class token, too', (3, 3), [16, 8], 'vit_large_patch14_clip_224', 'token'),
    windows('up', 'biases for windows of 4 in a tower whose windows are 6 and 7; F32', 48, [[6, 6], [7, 7]], side=4, dtype=torch.float32),
    windows('down', 'biases for windows of 7 in a tower whose windows are 5 x 3', [40, 24], [[5, 3], [5, 3]], side=7),
    windows('asked', 'biases for windows of 4 and 2, of a config for pictures of 32, made those of windows of [6, 8] and [3, 4] for [48, 64]; BF16',
            [48, 64], [[6, 8], [3, 4]], own=(32, [[4, 4], [2, 2]]), dtype=torch.bfloat16),
    timm_resized('timm-registers', 'positions of 5 x 5 patches alone, behind a class token and registers', (5, 5), [12, 16],
                 'vit_small_patch14_reg4_dinov2', 'token'),
]
