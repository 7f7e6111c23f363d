"""What the modules of this folder share: timm's models, and rows of a family's table of sizes.

A module a family has FILE (in src/families), COLUMNS (what a row holds), PATTERNS (of timm's names), belongs(model), which says what of them
the family computes, and row(model), the row without the name. Models are made without memory for their weights (on torch's meta
device), so that every number is read from the modules that timm builds.
"""
from fnmatch import fnmatch

import timm
import torch

ACTIVATIONS = {'GELU': 'HC_GELU', 'GELUTanh': 'HC_GELU_TANH', 'QuickGELU': 'HC_QUICK_GELU', 'SiLU': 'HC_SILU'}


def refuse(model, expected):
    """Stops where one of `expected` (what: whether it holds) does not hold: the table would say too little."""
    for what, holds in expected.items():
        if not holds:
            raise SystemExit(f'{model.default_cfg["architecture"]}: expected {what}')


def rows_of(family):
    rows = []
    for name in sorted({name for name in timm.list_models() for pattern in family.PATTERNS if fnmatch(name, pattern)}):
        with torch.device('meta'):
            model = timm.create_model(name)
        if family.belongs(model):
            rows.append([f'"{name}"', *family.row(model)])
    return rows
