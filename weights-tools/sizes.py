#!/usr/bin/env python3
"""The sizes that a name in a config stands for, as rows of C tables.

    python3 weights-tools/sizes.py

    src/families/*_sizes.inc    `vision_cfg.timm_model_name`: what timm itself makes of the name, a module of sizing/ a family
    src/families/bert_sizes.inc, t5_sizes.inc, m2m_sizes.inc
                                `text_cfg.hf_model_name`: what the model's published config.json says (sizing/hugging_face.py)
"""
from pathlib import Path

import timm
import transformers

from sizing import convnext, eva, fastvit, swin, timm_vit, vit_hybrid, vit_relpos, vitamin
from sizing.hugging_face import bert_rows, m2m_rows, t5_rows
from sizing.timm_models import rows_of

# timm's files of models, of which every name is in a table.
MODULES = ['convnext', 'deit', 'eva', 'fastvit', 'swin_transformer', 'vision_transformer', 'vision_transformer_hybrid', 'vision_transformer_relpos', 'vitamin']
SOURCE = Path(__file__).resolve().parent.parent / 'src' / 'families'
FAMILIES = [eva, convnext, fastvit, swin, timm_vit, vit_hybrid, vit_relpos, vitamin]


def write(name, comment, rows, start='{', end='}'):
    lines = [f'    {start}{", ".join(map(str, row))}{end},' for row in rows]
    (SOURCE / name).write_text(f'/* {comment} */\n' + '\n'.join(lines) + '\n')
    print(f'{name}: {len(rows)} rows')


def main():
    missing = {name for module in MODULES for name in timm.list_models(module=module)}
    for family in FAMILIES:
        rows = rows_of(family)
        write(family.FILE, f'Made by weights-tools/sizes.py from timm {timm.__version__}: image towers by timm_model_name.\n'
              f' * {family.COLUMNS}', rows, *getattr(family, 'BRACKETS', ()))
        missing -= {row[0].strip('"') for row in rows}
    if missing:
        raise SystemExit(f'in no table: {", ".join(sorted(missing))}')
    made = f'Made by weights-tools/sizes.py from transformers {transformers.__version__}: text towers by hf_model_name'
    write('bert_sizes.inc', f'{made}, which may have\n * "FacebookAI/" or "google-bert/" before the names that have no "/".\n'
          ' * name, model_type, vocab_size, width, layers, heads, mlp_width, positions, token_types, eps, pad_id, activation',
          bert_rows(), 'ROW(', ')')
    write('t5_sizes.inc', f'{made}, which may have\n * "google-t5/" before the names that have no "/".\n'
          ' * name, model_type, vocab_size, width, head_width, mlp_width, layers, heads, activation, gated', t5_rows(), 'ROW(', ')')
    write('m2m_sizes.inc', f'{made}.\n * name, model_type, vocab_size, width, mlp_width, layers, heads', m2m_rows(), 'ROW(', ')')


if __name__ == '__main__':
    main()
