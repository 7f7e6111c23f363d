"""Text towers by hf_model_name: what the model's published config.json says.

The Hugging Face Hub is not asked. Rows of HUGGING_FACE are what differs from the defaults of the configuration class of transformers,
which documents them as those of the model's first release; the comments say where each difference is from.
"""
from transformers import AutoConfig

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
