#!/usr/bin/env python3
"""Golden data for positions of another size: tests/golden/positions.safetensors, by OpenCLIP's resize_pos_embed and resize_text_pos_embed
and timm's resample_abs_pos_embed and resize_rel_pos_bias_table.

    python3 weights-tools/golden_positions.py

Tensors come in pairs, NAME.from and NAME.to, both F32 [rows, width]. NAME is grid.BEFORE.HEIGHT.ACROSS.HEIGHT.ACROSS, with the rows
before the grid, the file's grid and the tower's, text.LENGTH.LENGTH, or distances.HEIGHT.ACROSS.HEIGHT.ACROSS, with the distances in windows.
"""
from pathlib import Path
from types import SimpleNamespace

import torch
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from safetensors.torch import save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_rel import resize_rel_pos_bias_table

OUT = Path(__file__).resolve().parent.parent / 'tests' / 'golden' / 'positions.safetensors'
WIDTH = 2
# Of real models (224 to 384 by 32 and by 16, 336 to 224 by 14, 518 to 224 by 14), and of every kind of ratio.
SQUARES = [(7, 12, 12), (14, 24, 24), (24, 16, 16), (37, 16, 16), (4, 2, 7), (16, 5, 31), (1, 3, 2), (9, 1, 1), (12, 12, 5), (5, 40, 3)]
OTHERS = [(0, (3, 8), (6, 4)), (1, (2, 9), (5, 5)), (5, (6, 3), (4, 7))]
# Windows: of Swin's (7 to 12, 14 to 7, 7 to 16 x 8), and of every kind of ratio.
WINDOWS = [((7, 7), (12, 12)), ((14, 14), (7, 7)), ((7, 7), (16, 8)), ((2, 2), (9, 5)), ((1, 1), (3, 2)), ((6, 6), (1, 1)), ((3, 8), (8, 3)),
           ((5, 4), (5, 6)), ((24, 24), (7, 7))]
TEXTS = [(77, 248), (77, 32), (64, 77), (5, 13), (13, 5), (1, 4), (4, 1), (10, 9)]


def main():
    generator = torch.Generator().manual_seed(14)
    pairs = {}

    def add(name, rows, resize):
        before = torch.randn(rows, WIDTH, generator=generator)
        pairs[f'{name}.from'], pairs[f'{name}.to'] = before, resize(before.clone()).contiguous()

    for side, height, across in SQUARES:
        visual = SimpleNamespace(grid_size=(height, across))

        def by_openclip(positions):
            state = {'visual.positional_embedding': positions}
            resize_pos_embed(state, SimpleNamespace(visual=visual))
            return state['visual.positional_embedding']
        add(f'grid.1.{side}.{side}.{height}.{across}', side * side + 1, by_openclip)
    for first, old, new in OTHERS:
        add('grid.' + '.'.join(map(str, (first, *old, *new))), first + old[0] * old[1],
            lambda positions: resample_abs_pos_embed(positions[None], list(new), list(old), num_prefix_tokens=first)[0])
    for old, new in TEXTS:
        model = SimpleNamespace(positional_embedding=torch.zeros(new, WIDTH))

        def by_text(positions):
            state = {'positional_embedding': positions}
            resize_text_pos_embed(state, model)
            return state['positional_embedding']
        add(f'text.{old}.{new}', old, by_text)
    for old, new in WINDOWS:
        sides = [2 * side - 1 for side in (*old, *new)]
        shape = (sides[2] * sides[3], WIDTH)
        add('distances.' + '.'.join(map(str, sides)), sides[0] * sides[1],
            lambda table: resize_rel_pos_bias_table(table, new, shape, old_window_size=old))
    save_file(pairs, OUT)
    OUT.chmod(0o644)
    print(f'{OUT.name}: {OUT.stat().st_size} bytes, {len(pairs) // 2} cases')


if __name__ == '__main__':
    main()
