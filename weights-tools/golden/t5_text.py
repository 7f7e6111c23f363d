"""Text towers of Hugging Face in OpenCLIP's HFTextEncoder: the encoders of T5 and mT5."""
import torch
from open_clip.hf_configs import arch_dict

from .hf_text import LENGTH, hf_text

MT5 = dict(model_type='mt5', vocab_size=96, d_model=24, d_kv=10, d_ff=36, num_layers=2, num_heads=3)
# More of the buckets than the default has at so few tokens: 0 and 1 for themselves, two ranges behind them.
BUCKETS = dict(relative_attention_num_buckets=8, relative_attention_max_distance=7)
T5 = {**MT5, **BUCKETS, 'model_type': 't5'}

# OpenCLIP 3.3.0 knows mT5 alone, whose class is that of T5.
arch_dict['t5'] = arch_dict['mt5']


def of_whole_model(state):
    """A T5Model's own file: the token table is the decoder's, too, and has a name of its own."""
    state = {name.removeprefix('text.transformer.'): tensor for name, tensor in state.items()}
    return {'shared.weight' if name == 'embed_tokens.weight' else f'encoder.{name}': tensor for name, tensor in state.items()} \
        | {'decoder.final_layer_norm.weight': torch.full((MT5['d_model'],), 7.0).half()}


def of_encoder(state):
    return {name.replace('text.transformer.', 'encoder.'): tensor for name, tensor in state.items()}


GOLDENS = [
    hf_text('mt5', 'mT5: distances in buckets, RMSNorm, gated GELU; poolers and projection by default (mean_pooler, mlp); heads of 10, '
            'which are wider together than the tower', MT5, **BUCKETS),
    hf_text('mt5-long', 'mT5 with its own 32 buckets up to a distance of 128, and a context of 140; embed_dim 21; F32', MT5,
            dict(hf_proj_type='linear', context_length=140), num_layers=1, model=dict(embed_dim=21), dtype=torch.float32),
    hf_text('mt5-cls', "cls_pooler, which is the first token's state as it is; layer_norm_epsilon 0.1; pad_token_id 90; BF16", MT5,
            dict(hf_pooler_type='cls_pooler', hf_proj_type='linear'), layer_norm_epsilon=0.1, pad_token_id=90, dtype=torch.bfloat16, **BUCKETS),
    hf_text('mt5-max', 'max_pooler, as OpenCLIP means it; feed_forward_proj gated-silu; no projection', MT5,
            dict(hf_pooler_type='max_pooler', hf_proj_type=None), feed_forward_proj='gated-silu', **BUCKETS),
    hf_text('t5', "T5's hidden layers by relu, not gated; the file of a whole T5Model (shared.weight)", T5,
            dict(hf_pooler_type='mean_pooler', hf_proj_type=None), names=of_whole_model, towers=('text',)),
    hf_text('t5-gated', 'T5 1.1: gated-gelu; the file of a T5EncoderModel; three layers', T5,
            dict(hf_pooler_type='mean_pooler', hf_proj_type=None), names=of_encoder, towers=('text',), feed_forward_proj='gated-gelu',
            num_layers=3),
    hf_text('t5-gelu', 'feed_forward_proj gelu; cls_last_hidden_state_pooler; two odd heads of 7', T5,
            dict(hf_pooler_type='cls_last_hidden_state_pooler', context_length=LENGTH + 7), feed_forward_proj='gelu', d_kv=7, num_heads=2),
]
