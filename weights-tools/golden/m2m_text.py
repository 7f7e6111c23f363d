"""Text towers of Hugging Face in OpenCLIP's HFTextEncoder: the encoders of M2M-100 and NLLB-200."""
import torch

from .hf_text import LENGTH, MEAN_MLP, hf_text

M2M = dict(model_type='m2m_100', vocab_size=96, d_model=24, encoder_layers=2, encoder_ffn_dim=48, encoder_attention_heads=2,
           decoder_layers=1, decoder_ffn_dim=8, decoder_attention_heads=1)
AS_PUBLISHED = dict(hf_pooler_type='cls_pooler', hf_proj_type='linear')


def of_whole_model(state):
    """An M2M100ForConditionalGeneration's file of before 2023: the positions are there, and the token table has a name of its own."""
    state = {name.removeprefix('text.transformer.'): tensor for name, tensor in state.items()}
    return {'model.shared.weight' if name == 'embed_tokens.weight' else f'model.encoder.{name}': tensor for name, tensor in state.items()} \
        | {'model.encoder.embed_positions.weights': torch.full((LENGTH + 4, M2M['d_model']), 7.0).half(),
           'model.decoder.layer_norm.weight': torch.full((M2M['d_model'],), 7.0).half()}


GOLDENS = [
    hf_text('m2m', 'M2M-100 as in NLLB-CLIP: sinusoidal positions, scaled embeddings, relu; cls_pooler (the first token), linear', M2M,
            AS_PUBLISHED),
    hf_text('m2m-mean', 'mean_pooler, mlp; pad_token_id 5, from which positions count; scale_embedding off; activation_function gelu; an odd '
            'width of 25; F32', M2M, MEAN_MLP, d_model=25, encoder_attention_heads=5, pad_token_id=5, scale_embedding=False,
            activation_function='gelu', dtype=torch.float32),
    hf_text('m2m-max', 'max_pooler, as OpenCLIP means it; a context of 140; embed_dim 21; BF16', M2M,
            dict(hf_pooler_type='max_pooler', context_length=140), encoder_layers=1, model=dict(embed_dim=21), dtype=torch.bfloat16),
    hf_text('m2m-whole', 'the file of a whole M2M100ForConditionalGeneration (model.shared.weight), with positions; no projection', M2M,
            dict(hf_pooler_type='cls_last_hidden_state_pooler', hf_proj_type=None), names=of_whole_model, towers=('text',)),
]
