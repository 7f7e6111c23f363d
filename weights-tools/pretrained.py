#!/usr/bin/env python3
"""OpenCLIP's table of pretrained tags, for the JavaScript package.

    python3 weights-tools/pretrained.py                        writes web/models/pretrained.js

`pretrained` there is { architecture: { tag: [where, preprocessing, quick_gelu] } }: where, 'org/repo/' or 'org/repo/file' on a hub;
preprocessing, an index into `preprocessings`; quick_gelu, 1 if the weights were trained with it.
"""
import gzip
import json
from dataclasses import asdict
from pathlib import Path

import open_clip
from open_clip.pretrained import _PRETRAINED
from open_clip.transform import PreprocessCfg

OUT = Path(__file__).resolve().parent.parent / 'web' / 'models' / 'pretrained.js'
FIELDS = 'mean', 'std', 'interpolation', 'resize_mode'


def main():
    compact = dict(separators=(',', ':'))
    # OpenCLIP's own for weights without a tag, which needs no saying, comes first.
    default = asdict(PreprocessCfg())
    preprocessings, lines = [{field: default[field] for field in FIELDS}], []
    for model in sorted(_PRETRAINED):
        tags = {}
        for tag, cfg in _PRETRAINED[model].items():
            unknown = set(cfg) - {'url', 'hf_hub', 'quick_gelu', *FIELDS}
            if unknown:
                raise SystemExit(f'{model} {tag}: unknown settings {unknown}')
            if not cfg['hf_hub']:
                raise SystemExit(f'{model} {tag}: is on no hub but at {cfg["url"]}, which the package cannot resolve')
            preprocessing = {field: cfg[field] for field in FIELDS}
            if preprocessing not in preprocessings:
                preprocessings.append(preprocessing)
            tags[tag] = [cfg['hf_hub'], preprocessings.index(preprocessing), int(cfg.get('quick_gelu', False))]
        lines.append(f'  {json.dumps(model)}: {json.dumps(tags, **compact)},')
    count = sum(map(len, _PRETRAINED.values()))
    text = '\n'.join([
        f'// Made by weights-tools/pretrained.py from OpenCLIP {open_clip.__version__} ({count} tags of {len(lines)} architectures).',
        '/** The ways of preprocessing that tags name: OpenCLIP\'s preprocess_cfg. The first is what it does without a tag. */',
        'export const preprocessings = [',
        *(f'  {json.dumps(preprocessing, **compact)},' for preprocessing in preprocessings),
        '];',
        '/** { architecture: { tag: [org/repo/ or org/repo/file on the hub; index of preprocessings; trained with QuickGELU] } } */',
        'export const pretrained = {', *lines, '};', ''])
    OUT.write_text(text)
    print(f'{OUT.name}: {len(text)} bytes, gzip {len(gzip.compress(text.encode(), 9))}')


if __name__ == '__main__':
    main()
