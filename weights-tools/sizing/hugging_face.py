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

# T5's first release ("Exploring the Limits of Transfer Learning", section 3.7); 3b and 11b have heads of 128.
T5_LARGE = dict(d_model=1024, num_layers=24, num_heads=16)
T5 = {
    't5-small': ('t5', {}),
    't5-base': ('t5', dict(d_model=768, d_ff=3072, num_layers=12, num_heads=12)),
    't5-large': ('t5', dict(T5_LARGE, d_ff=4096)),
    't5-3b': ('t5', dict(T5_LARGE, d_ff=16384, d_kv=128, num_heads=32)),
    't5-11b': ('t5', dict(T5_LARGE, d_ff=65536, d_kv=128, num_heads=128)),
}
# Version 1.1, whose sizes mT5 ("mT5: A massively multilingual pre-trained text-to-text transformer") and Flan-T5 have, too.
T5_11 = {
    'small': dict(d_model=512, d_ff=1024, num_layers=8, num_heads=6),
    'base': dict(d_model=768, d_ff=2048, num_layers=12, num_heads=12),
    'large': dict(T5_LARGE, d_ff=2816),
    'xl': dict(d_model=2048, d_ff=5120, num_layers=24, num_heads=32),
    'xxl': dict(d_model=4096, d_ff=10240, num_layers=24, num_heads=64),
}
for size, sizes in T5_11.items():
    T5[f'google/mt5-{size}'] = ('mt5', sizes)
    T5[f'google/t5-v1_1-{size}'] = T5[f'google/flan-t5-{size}'] = ('t5', dict(sizes, feed_forward_proj='gated-gelu'))

# fairseq's examples/m2m_100 and examples/nllb: the dense models, and those distilled to fewer layers. NLLB's vocabulary has 256,000
# pieces, 202 languages and four special tokens.
NLLB = dict(vocab_size=256206)
M2M_LARGE = dict(encoder_layers=24, encoder_ffn_dim=8192)
M2M = {
    'facebook/m2m100_418M': ('m2m_100', {}),
    'facebook/m2m100_1.2B': ('m2m_100', M2M_LARGE),
    'facebook/nllb-200-distilled-600M': ('m2m_100', NLLB),
    'facebook/nllb-200-distilled-1.3B': ('m2m_100', {**NLLB, **M2M_LARGE}),
    'facebook/nllb-200-1.3B': ('m2m_100', {**NLLB, **M2M_LARGE}),
    'facebook/nllb-200-3.3B': ('m2m_100', {**NLLB, **M2M_LARGE, 'd_model': 2048}),
}

BERT = dict(HUGGING_FACE)
HUGGING_FACE.update(T5)
HUGGING_FACE.update(M2M)

HUGGING_FACE_ACTIVATIONS = {'gelu': 'HC_GELU', 'gelu_new': 'HC_GELU_TANH', 'relu': 'HC_RELU'}


def hugging_face_config(name):
    """The configuration that AutoConfig.from_pretrained would read from the Hub."""
    model_type, changes = HUGGING_FACE[name]
    return AutoConfig.for_model(model_type, **changes)


def expect(name, config, **values):
    """Stops where a row would say too little."""
    for key, value in values.items():
        if getattr(config, key) != value:
            raise SystemExit(f'{name}: {key} is {getattr(config, key)}, expected {value}')


def t5_rows():
    rows = []
    for name in T5:
        c = hugging_face_config(name)
        expect(name, c, relative_attention_num_buckets=32, relative_attention_max_distance=128, pad_token_id=0, layer_norm_epsilon=1e-6)
        rows.append([f'"{name}"', f'"{c.model_type}"', c.vocab_size, c.d_model, c.d_kv, c.d_ff, c.num_layers, c.num_heads,
                     HUGGING_FACE_ACTIVATIONS[c.dense_act_fn], int(c.is_gated_act)])
    return rows


def m2m_rows():
    rows = []
    for name in M2M:
        c = hugging_face_config(name)
        expect(name, c, scale_embedding=True, pad_token_id=1, activation_function='relu')
        rows.append([f'"{name}"', f'"{c.model_type}"', c.vocab_size, c.d_model, c.encoder_ffn_dim, c.encoder_layers,
                     c.encoder_attention_heads])
    return rows


def bert_rows():
    rows = []
    for name in BERT:
        c = hugging_face_config(name)
        rows.append([f'"{name}"', f'"{c.model_type}"', c.vocab_size, c.hidden_size, c.num_hidden_layers, c.num_attention_heads,
                     c.intermediate_size, c.max_position_embeddings, c.type_vocab_size, f'{c.layer_norm_eps:.0e}f'.replace('e-0', 'e-'),
                     c.pad_token_id, HUGGING_FACE_ACTIVATIONS[c.hidden_act]])
    return rows
