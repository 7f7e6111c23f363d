#!/usr/bin/env python3
"""Golden data for how pictures are prepared: tests/golden/preprocessing.json, by OpenCLIP's own create_model for each of its architectures,
without weights and with each pretrained tag, whose file is not loaded.

    python3 weights-tools/golden_preprocessing.py

{ architecture: { tag, or "" without one: index } } and the list of preprocess_cfg that the indices are of.
"""
import json
import logging
import warnings
from pathlib import Path
from unittest.mock import patch

import open_clip
import torch
from open_clip import factory, model as open_clip_model
from open_clip.pretrained import _PRETRAINED

OUT = Path(__file__).resolve().parent.parent / 'tests' / 'golden' / 'preprocessing.json'


class NoText(torch.nn.Module):
    """In place of Hugging Face's text towers, whose configs are elsewhere."""

    def __init__(self, *args, **options):
        super().__init__()
        self.context_length = self.vocab_size = 0


def answer(name, tag):
    with torch.device('meta'), patch.object(open_clip_model, 'HFTextEncoder', NoText), \
            patch.object(factory, 'download_pretrained', lambda cfg, cache_dir: 'nowhere'), \
            patch.object(factory, 'load_checkpoint', lambda *args, **options: {}), warnings.catch_warnings(action='ignore'):
        model = open_clip.create_model(name, tag or None, device='meta', pretrained_text=False)
    cfg = open_clip.get_model_preprocess_cfg(model)
    size = cfg['size'] if isinstance(cfg['size'], (list, tuple)) else [cfg['size']] * 2
    return {**cfg, 'size': list(size), 'mean': list(cfg['mean']), 'std': list(cfg['std'])}


def main():
    logging.disable(logging.WARNING)
    ways, models = [], {}
    for name in open_clip.list_models():
        models[name] = {}
        for tag in ['', *_PRETRAINED.get(name, {})]:
            way = answer(name, tag)
            if way not in ways:
                ways.append(way)
            models[name][tag] = ways.index(way)
        print(name, models[name], flush=True)
    lines = [',\n'.join('    ' + json.dumps(way) for way in ways), ',\n'.join(f'    {json.dumps(name)}: {json.dumps(tags)}' for name, tags in models.items())]
    OUT.write_text(f'{{\n  "ways": [\n{lines[0]}\n  ],\n  "models": {{\n{lines[1]}\n  }}\n}}\n')


if __name__ == '__main__':
    main()
