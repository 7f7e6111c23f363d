#!/usr/bin/env python3
"""The sizes that a name in a config stands for, as rows of C tables.

    python3 weights-tools/sizes.py

    src/families/timm_sizes.inc   `vision_cfg.timm_model_name`: what timm itself makes of the name
    src/families/hf_sizes.inc     `text_cfg.hf_model_name`: what the model's published config.json says

A family of timm's models is one entry of FAMILIES: which names, and the row of a model. The models are made without memory for
their weights (on torch's meta device), so that every number is read from the modules that timm builds.

The Hugging Face Hub is not asked. Rows of HUGGING_FACE are what differs from the defaults of the configuration class of transformers,
which documents them as those of the model's first release; the comments say where each difference is from.
"""
from fnmatch import fnmatch
from pathlib import Path

import timm
import torch
import transformers
from transformers import AutoConfig

SOURCE = Path(__file__).resolve().parent.parent / 'src' / 'families'

# ---- timm ------------------------------------------------------------------------------------------------------------------------

ACTIVATIONS = {'GELU': 'HC_GELU', 'GELUTanh': 'HC_GELU_TANH'}


def map_pooled_transformer(model):
    """A plain VisionTransformer with map pooling: all that a row doesn't say is the same in each of them, and checked here."""
    block, pool = model.blocks[0], model.attn_pool
    size, patch = model.patch_embed.img_size, model.patch_embed.patch_size
    hidden, activation = block.mlp.fc1.out_features, type(block.mlp.act).__name__
    expected = {
        'one width, patch and size': size[0] == size[1] and patch[0] == patch[1],
        'no class or register tokens': model.num_prefix_tokens == 0 and model.pos_embed.shape[1] == (size[0] // patch[0]) ** 2,
        'a bias everywhere': all(part.bias is not None for part in (model.patch_embed.proj, block.attn.qkv, block.attn.proj, pool.q, pool.kv)),
        'norms of 1e-6 around, and no others': [norm.eps for norm in model.modules() if isinstance(norm, torch.nn.LayerNorm)]
        == [1e-6] * (2 * len(model.blocks) + 2),
        'a pool like a block': (pool.num_heads, pool.mlp.fc1.out_features, type(pool.mlp.act).__name__)
        == (block.attn.num_heads, hidden, activation),
        'nothing else': {name.split('.')[0] for name in model.state_dict()} == {'pos_embed', 'patch_embed', 'blocks', 'norm', 'attn_pool'},
    }
    for what, holds in expected.items():
        if not holds:
            raise SystemExit(f'{model.default_cfg["architecture"]}: expected {what}')
    return [model.embed_dim, len(model.blocks), block.attn.num_heads, hidden, patch[0], size[0], ACTIVATIONS[activation]]


# (pattern of names, those among them that are meant, row). timm's own `gap` variants of SigLIP have no map pooling.
FAMILIES = [
    ('vit_*_siglip_*', lambda model: model.global_pool == 'map', map_pooled_transformer),
]


def timm_rows():
    rows = []
    for pattern, belongs, row in FAMILIES:
        for name in sorted(name for name in timm.list_models() if fnmatch(name, pattern)):
            with torch.device('meta'):
                model = timm.create_model(name)
            if belongs(model):
                rows.append([f'"{name}"', *row(model)])
    return rows


# ---- Hugging Face ----------------------------------------------------------------------------------------------------------------

# fairseq's models count positions from the pad id 1: 512 of them and two more; LayerNorm as in PyTorch; no token types. (The numbers of
# their config.json; fairseq's examples/roberta and examples/xlmr give the sizes of the networks.)
FAIRSEQ = dict(max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)
# "BERT-Large" of Devlin et al.: L = 24, H = 1024, A = 16; RoBERTa and XLM-R have a model of the same size.
LARGE = dict(num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, intermediate_size=4096)
XLM_R = dict(FAIRSEQ, vocab_size=250002)   # the sentencepiece model of XLM-R, and fairseq's special tokens
MINI_LM = dict(hidden_size=384, intermediate_size=1536)   # Wang et al., table 1: 384 wide, 12 heads as BERT-Base has

HUGGING_FACE = {
    'roberta-base': ('roberta', FAIRSEQ),
    'roberta-large': ('roberta', {**FAIRSEQ, **LARGE}),
    'distilroberta-base': ('roberta', dict(FAIRSEQ, num_hidden_layers=6)),           # its model card: 6 layers of RoBERTa-base
    'xlm-roberta-base': ('xlm-roberta', XLM_R),
    'xlm-roberta-large': ('xlm-roberta', {**XLM_R, **LARGE}),
    'facebook/xlm-v-base': ('xlm-roberta', dict(FAIRSEQ, vocab_size=901629)),        # its model card: a vocabulary of one million
    # Google's releases; the number of tokens is the number of lines of each vocab.txt.
    'bert-base-uncased': ('bert', {}),
    'bert-base-cased': ('bert', dict(vocab_size=28996)),
    'bert-base-chinese': ('bert', dict(vocab_size=21128)),
    'bert-base-multilingual-cased': ('bert', dict(vocab_size=119547)),
    'bert-base-multilingual-uncased': ('bert', dict(vocab_size=105879)),
    'bert-large-uncased': ('bert', LARGE),
    'bert-large-cased': ('bert', dict(LARGE, vocab_size=28996)),
    'bert-large-uncased-whole-word-masking': ('bert', LARGE),
    'bert-large-cased-whole-word-masking': ('bert', dict(LARGE, vocab_size=28996)),
    'sentence-transformers/all-MiniLM-L6-v2': ('bert', dict(MINI_LM, num_hidden_layers=6)),
    'sentence-transformers/all-MiniLM-L12-v2': ('bert', MINI_LM),
}

HUGGING_FACE_ACTIVATIONS = {'gelu': 'HC_GELU'}


def hugging_face_config(name):
    """The configuration that AutoConfig.from_pretrained would read from the Hub."""
    model_type, changes = HUGGING_FACE[name]
    return AutoConfig.for_model(model_type, **changes)


def hugging_face_rows():
    rows = []
    for name in HUGGING_FACE:
        c = hugging_face_config(name)
        rows.append([f'"{name}"', f'"{c.model_type}"', c.vocab_size, c.hidden_size, c.num_hidden_layers, c.num_attention_heads,
                     c.intermediate_size, c.max_position_embeddings, c.type_vocab_size, f'{c.layer_norm_eps:.0e}f'.replace('e-0', 'e-'),
                     c.pad_token_id, HUGGING_FACE_ACTIVATIONS[c.hidden_act]])
    return rows


def write(name, comment, rows):
    lines = [f'    {{{", ".join(map(str, row))}}},' for row in rows]
    (SOURCE / name).write_text(f'/* {comment} */\n' + '\n'.join(lines) + '\n')
    print(f'{name}: {len(rows)} rows')


def main():
    write('timm_sizes.inc',
          f'Made by weights-tools/sizes.py from timm {timm.__version__}: image towers by timm_model_name.\n'
          ' * name, width, layers, heads, mlp_width, patch_size, image_size, activation', timm_rows())
    write('hf_sizes.inc',
          f'Made by weights-tools/sizes.py from transformers {transformers.__version__}: text towers by hf_model_name, which may have\n'
          ' * "FacebookAI/" or "google-bert/" before the names that have no "/".\n'
          ' * name, model_type, vocab_size, width, layers, heads, mlp_width, positions, token_types, eps, pad_id, activation',
          hugging_face_rows())


if __name__ == '__main__':
    main()
