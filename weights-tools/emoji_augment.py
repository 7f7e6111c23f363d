"""Training pictures of halfclip-emoji: emoji on invented backgrounds, made a batch at a time with tensor operations.

The evaluation does not use this file: its pictures come from emoji_pictures.py, which draws with PIL and at a higher resolution.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

from emoji_data import GLYPH

SIZE = 64                          # side of a training picture
LEVELS = (48, 64, 96)              # sides of the stored glyphs: bilinear sampling shrinks by at most two without aliasing


def glyph_levels(pictures):
    """RGBA pictures -> for each level a uint8 tensor [n, 4, side, side], colours multiplied by alpha."""
    levels = []
    for side in LEVELS:
        stack = np.stack([np.asarray(p.resize((side, side), reducing_gap=None).convert('RGBa')) for p in pictures])
        levels.append(torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous())
    return levels


class Augmenter:
    """Draws pictures [B, 3, SIZE, SIZE] uint8 of the given emoji; everything random comes from one seeded generator."""

    def __init__(self, levels, seed, device='cpu'):
        self.levels = [level.to(device) for level in levels]
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def rand(self, *shape, low=0.0, high=1.0):
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def backgrounds(self, n):
        """Plain colours, gradients, smooth clouds and coarse textures, [n, 3, SIZE, SIZE] in 0..1."""
        colours = self.rand(n, 2, 3, 1, 1)
        grey = (self.rand(n, 1, 1, 1, 1) < 0.3).float()
        colours = colours * (1 - grey) + colours.mean(2, keepdim=True) * grey
        extreme = (self.rand(n, 1, 1, 1, 1) < 0.15).float()      # pages are often quite white or quite black
        colours = colours * (1 - extreme) + colours.round() * extreme
        kind = self.rand(n)
        axis = torch.linspace(-0.5, 0.5, SIZE, device=self.device)
        angle = self.rand(n, 1, 1, high=2 * math.pi)
        ramp = (angle.cos() * axis + angle.sin() * axis[:, None] + 0.5).clamp(0, 1)[:, None]
        ramp = torch.where(kind[:, None, None, None] < 0.25, torch.zeros_like(ramp), ramp)
        out = colours[:, 0] * (1 - ramp) + colours[:, 1] * ramp
        for low, high, cells, strength in ((0.5, 0.65, 3, 1.0), (0.65, 0.8, 6, 0.8), (0.8, 0.9, 16, 0.5), (0.9, 1.0, 32, 0.4)):
            chosen = ((kind >= low) & (kind < high)).nonzero()[:, 0]
            if len(chosen):
                noise = F.interpolate(self.rand(len(chosen), 3, cells, cells), size=(SIZE, SIZE), mode='bilinear')
                weight = strength * self.rand(len(chosen), 1, 1, 1, low=0.3)
                out[chosen] = out[chosen] * (1 - weight) + noise * weight
        return out

    def paste(self, canvas, rows, emoji, side, x, y, turn):
        """Draws emoji[i] with the given side (pixels), centre (0..1) and rotation (radians) onto canvas[rows[i]]."""
        # The smallest level whose bilinear sampling leaves the picture sharp.
        level = (side > 32).long() + (side > 46).long()
        for index, glyphs in enumerate(self.levels):
            chosen = (level == index).nonzero()[:, 0]
            if not len(chosen):
                continue
            # A glyph's own corners lie at -1 and 1, so that sampling maps output coordinates back through placing and turning.
            s, c = SIZE / side[chosen], turn[chosen].cos()
            n = turn[chosen].sin()
            cx, cy = 2 * x[chosen] - 1, 2 * y[chosen] - 1
            theta = torch.stack([torch.stack([s * c, s * n, -s * (c * cx + n * cy)], 1),
                                 torch.stack([-s * n, s * c, s * (n * cx - c * cy)], 1)], 1)
            grid = F.affine_grid(theta, (len(chosen), 4, SIZE, SIZE), align_corners=False)
            layer = F.grid_sample(glyphs[emoji[chosen]].float() / 255, grid, align_corners=False)
            target = rows[chosen]
            canvas[target] = canvas[target] * (1 - layer[:, 3:]) + layer[:, :3]

    def photo(self, x):
        """Colour, contrast, blur and noise, as a camera and a screen would add them."""
        n = len(x)
        gain = self.rand(n, 3, 1, 1, low=0.88, high=1.12) * self.rand(n, 1, 1, 1, low=0.8, high=1.2)
        contrast, saturation = self.rand(n, 1, 1, 1, low=0.75, high=1.2), self.rand(n, 1, 1, 1, low=0.6, high=1.3)
        x = x * gain
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * saturation
        middle = x.mean((1, 2, 3), keepdim=True)
        x = middle + (x - middle) * contrast + self.rand(n, 1, 1, 1, low=-0.06, high=0.06)
        chosen = (self.rand(n) < 0.4).nonzero()[:, 0]
        if len(chosen):                                       # [w, 1 - 2w, w] along each axis
            y, w = x[chosen], self.rand(len(chosen), 1, 1, 1, low=0.05, high=0.33)
            y = F.pad(y, (1, 1, 1, 1), mode='replicate')
            y = y[:, :, 1:-1] * (1 - 2 * w) + (y[:, :, 2:] + y[:, :, :-2]) * w
            x[chosen] = y[..., 1:-1] * (1 - 2 * w) + (y[..., 2:] + y[..., :-2]) * w
        chosen = (self.rand(n) < 0.3).nonzero()[:, 0]
        if len(chosen):
            noise = torch.randn(len(chosen), 3, SIZE, SIZE, generator=self.generator, device=self.device)
            x[chosen] += noise * self.rand(len(chosen), 1, 1, 1, high=0.07)
        return (x.clamp(0, 1) * 255).round().to(torch.uint8)

    def draw(self, first, second):
        """Pictures of emoji `first`; where second[i] >= 0, of first[i] on the left or top and second[i] beside it."""
        first, second = torch.as_tensor(first, device=self.device), torch.as_tensor(second, device=self.device)
        n = len(first)
        canvas = self.backgrounds(n)
        two = second >= 0
        side = torch.where(two, self.rand(n, low=0.4, high=0.56), self.rand(n, low=0.42, high=1.02)) * SIZE
        room = ((SIZE - side) / SIZE / 2 + 0.04).clamp(min=0.03)
        x, y = 0.5 + room * self.rand(n, low=-1), 0.5 + room * self.rand(n, low=-1)
        upright = self.rand(n) < 0.25
        low, high = 0.26 + 0.02 * self.rand(n, low=-1), 0.74 + 0.02 * self.rand(n, low=-1)
        turn = self.rand(n, low=-1) * torch.where(self.rand(n) < 0.5, 0.1, 0.45)
        rows = torch.arange(n, device=self.device)
        self.paste(canvas, rows, first, side, torch.where(two & ~upright, low, x), torch.where(two & upright, low, y), turn)
        pairs = two.nonzero()[:, 0]
        if len(pairs):
            self.paste(canvas, pairs, second[pairs], side[pairs] * self.rand(len(pairs), low=0.9, high=1.1),
                       torch.where(upright, x, high)[pairs], torch.where(upright, high, y)[pairs],
                       self.rand(len(pairs), low=-0.3, high=0.3))
        return self.photo(canvas)


assert GLYPH >= max(LEVELS)
