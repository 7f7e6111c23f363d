"""Text towers of Hugging Face in OpenCLIP's HFTextEncoder: RoBERTa, XLM-RoBERTa and BERT."""
import torch
from open_clip.hf_model import MaxPooler
from transformers import AutoConfig, ChineseCLIPConfig, ChineseCLIPModel

from .model import TEXT, Golden
from .openclip import from_hugging_face, module_prefix

HF = dict(vocab_size=96, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
LENGTH = TEXT['context_length']
# As published: positions are counted from the pad id, and there are as many as that needs.
ROBERTA = dict(HF, model_type='roberta', max_position_embeddings=LENGTH + 2, type_vocab_size=1, layer_norm_eps=1e-5)
XLM_ROBERTA = dict(ROBERTA, model_type='xlm-roberta')
BERT = dict(HF, model_type='bert', max_position_embeddings=LENGTH + 4)


def max_of_tokens(self, x, attention_mask):
    return x.last_hidden_state.masked_fill(attention_mask.unsqueeze(-1) == 0, -torch.inf).max(1).values


# OpenCLIP 3.3.0 gives masked_fill the mask as integers, which it refuses, and means to keep what is no padding.
MaxPooler.forward = max_of_tokens


def make_tokens(n, text, generator):
    """Token ids [n, context_length] as tokenizers make them (start, ids, end, padding), and what they could make at worst: an empty
    text, one that fills the context, padding in the middle and at the start. Never padding alone, whose mean is not a number.
    A text is made of a few words, so that the means of long ones differ."""
    length = text.get('context_length', 77)
    config = AutoConfig.for_model(**text['hf_config'])
    pad = config.pad_token_id
    ordinary = torch.tensor([i for i in range(config.vocab_size) if i != pad])
    start, end, ordinary = ordinary[0], ordinary[1], ordinary[2:]
    tokens = torch.full((n, length), pad)
    for i in range(n):
        used = [length - 2, 0, length // 2, length // 3, length - 3, 2, length // 2 + 1, 3][i]
        words = ordinary[torch.randperm(len(ordinary), generator=generator)[:8]]
        ids = words[torch.randint(len(words), (used,), generator=generator)]
        if i in (2, 4):
            ids[used // 2] = pad
        if i == 4:
            ids[1:3] = pad
        first = words[0] if text['hf_config']['model_type'] == 'm2m_100' else start   # M2M's is a language
        tokens[i, :used + 2] = torch.cat([first[None], ids, end[None]])
    tokens[7] = tokens[7].roll(1)                       # padding first
    return tokens


def old_position_ids(state):
    """What transformers stored until 2023, and OpenCLIP still takes out of a file: a count of the positions."""
    positions = state['text.transformer.embeddings.position_embeddings.weight'].shape[0]
    return {**state, 'text.transformer.embeddings.position_ids': torch.arange(positions).unsqueeze(0)}


def unused_pooler(state):
    """A file made from a whole BertModel: the pooler is there, and the pooler of the config does not use it."""
    width = state['text.transformer.embeddings.LayerNorm.weight'].shape[0]
    return {**state, 'text.transformer.pooler.dense.weight': torch.full((width, width), 7.0).half(),
            'text.transformer.pooler.dense.bias': torch.full((width,), 7.0).half()}


def bare(state):
    """A BertModel's own file: a sentence encoder's."""
    return {name.removeprefix('text.transformer.'): tensor for name, tensor in unused_pooler(state).items()}


def build_chinese_clip(config):
    """The ChineseCLIPModel that computes the same as build(config)."""
    vision = config['vision_cfg']
    return ChineseCLIPModel(ChineseCLIPConfig(
        projection_dim=config['embed_dim'], text_config={**config['text_cfg']['hf_config'], 'model_type': 'chinese_clip_text_model'},
        vision_config=dict(hidden_size=vision['width'], intermediate_size=int(vision['width'] * vision['mlp_ratio']),
                           num_hidden_layers=vision['layers'], num_attention_heads=vision['width'] // vision['head_width'],
                           image_size=vision['image_size'], patch_size=vision['patch_size'], hidden_act='quick_gelu'),
    )).eval()


def from_chinese_clip(state):
    """The tensors of a ChineseCLIPModel under OpenCLIP's names."""
    text = {'text.' + name.removeprefix('text_model.'): tensor for name, tensor in state.items() if name.startswith('text_model.')}
    image = {name: tensor for name, tensor in state.items() if name.startswith(('vision_model.', 'visual_projection.', 'logit_scale'))}
    text = {name.replace('text.', 'text.transformer.', 1): tensor for name, tensor in text.items() if not name.endswith('position_ids')}
    return {**from_hugging_face(image), **text, 'text.proj.weight': state['text_projection.weight']}


def chinese_clip_of_ofa(state):
    """The names under which OFA-Sys published Chinese-CLIP."""
    named = {name.replace('text.transformer.', 'bert.'): tensor for name, tensor in state.items()}
    named['text_projection'] = named.pop('text.proj.weight').T
    return module_prefix(named)


# What a config that brings its hf_config has to say all the same, for OpenCLIP.
NAMES = {'roberta': 'roberta-base', 'xlm-roberta': 'xlm-roberta-base', 'bert': 'bert-base-uncased', 't5': 't5-base',
         'mt5': 'google/mt5-base', 'm2m_100': 'facebook/nllb-200-distilled-600M'}


def hf_text(name, options, base, text=None, **rest):
    fields = {key: rest.pop(key) for key in ('dtype', 'tail', 'names', 'towers', 'notes', 'model', 'vision', 'other') if key in rest}
    hf_config = {**base, **rest}
    hf_name = NAMES[base['model_type']]
    text = {'context_length': LENGTH, 'hf_model_name': hf_name, 'hf_tokenizer_name': hf_name, 'hf_config': hf_config, **(text or {})}
    return Golden(name, options, text={key: value for key, value in text.items() if value is not DEFAULT}, **fields)


DEFAULT = object()   # a key that the config leaves out
CHINESE_CLIP = dict(hf_pooler_type='cls_last_hidden_state_pooler', hf_proj_type='linear')
MEAN_MLP = dict(hf_pooler_type='mean_pooler', hf_proj_type='mlp')

GOLDENS = [
    hf_text('roberta', "RoBERTa, mean_pooler, mlp projection, quick_gelu (which Hugging Face's towers do not know)", ROBERTA, MEAN_MLP,
            model=dict(quick_gelu=True)),
    hf_text('xlm-roberta', 'XLM-RoBERTa; poolers and projection by default (mean_pooler, mlp with a hidden width of (24 + 21) // 2 = 22); '
            'embed_dim 21; custom_text said, too', XLM_ROBERTA, model=dict(embed_dim=21, custom_text=True)),
    hf_text('xlm-roberta-cls', 'cls_pooler: tanh of pooler.dense; linear projection; F32', XLM_ROBERTA,
            dict(hf_pooler_type='cls_pooler', hf_proj_type='linear'), dtype=torch.float32),
    hf_text('roberta-pad-id', 'pad_token_id 5, from which positions count; cls_last_hidden_state_pooler; layer_norm_eps 0.1; BF16', ROBERTA,
            dict(hf_pooler_type='cls_last_hidden_state_pooler'), pad_token_id=5, max_position_embeddings=LENGTH + 6, layer_norm_eps=0.1,
            dtype=torch.bfloat16),
    hf_text('roberta-no-proj', 'hf_proj_type null: the vector is as wide as the tower; hf_pooler_type null: that of the architecture (mean)',
            ROBERTA, dict(hf_pooler_type=None, hf_proj_type=None)),
    hf_text('roberta-coca', 'RoBERTa in CoCa (as coca_roberta-ViT-B-32): linear projection, output_tokens', ROBERTA,
            dict(hf_proj_type='linear', output_tokens=True, width=24, vocab_size=96),
            vision=dict(output_tokens=True, layers=1),
            model=dict(custom_text=True, multimodal_cfg=dict(width=16, heads=2, layers=1, context_length=LENGTH - 1)),
            notes='text_decoder.* belongs to no tower'),
    hf_text('roberta-context', 'no context_length in the config: 77', ROBERTA, dict(MEAN_MLP, context_length=DEFAULT),
            max_position_embeddings=80),
    hf_text('roberta-position-ids', 'embeddings.position_ids, as old files have; names with module.; a checkpoint without the image tower',
            ROBERTA, MEAN_MLP, names=lambda state: module_prefix(old_position_ids(state)), towers=('text',)),
    hf_text('bert', 'BERT, cls_pooler: tanh of pooler.dense; linear projection; two types of tokens, of which the first is used', BERT,
            dict(hf_pooler_type='cls_pooler', hf_proj_type='linear')),
    hf_text('bert-default-pooler', 'hf_pooler_type null: cls_pooler, but without pooler.dense: the state of the first token', BERT,
            dict(hf_pooler_type=None, hf_proj_type='linear')),
    hf_text('bert-mean', 'mean_pooler; three types of tokens; hidden_act relu; a pooler.dense in the file that nobody uses', BERT, MEAN_MLP,
            type_vocab_size=3, hidden_act='relu', names=unused_pooler),
    hf_text('bert-max', 'max_pooler, as OpenCLIP means it (3.3.0 fails); pad_token_id 90', BERT, dict(hf_pooler_type='max_pooler'),
            pad_token_id=90),
    hf_text('bert-erf', "hidden_act gelu in its tail, where tanh's would show; 3 layers", BERT, MEAN_MLP, tail=True, num_hidden_layers=3),
    hf_text('bert-gelu-new', 'hidden_act gelu_new (by tanh) in its tail; layer_norm_eps 0.05; no projection', BERT,
            dict(hf_pooler_type='mean_pooler', hf_proj_type=None), tail=True, hidden_act='gelu_new', layer_norm_eps=0.05),
    hf_text('bert-quick-gelu', 'hidden_act quick_gelu; cls_last_hidden_state_pooler', BERT,
            dict(hf_pooler_type='cls_last_hidden_state_pooler'), hidden_act='quick_gelu'),
    hf_text('bert-odd-widths', 'width 36, 3 heads of 12, hidden width 50, embed_dim 21; one layer; context_length 40', BERT,
            dict(MEAN_MLP, context_length=40), hidden_size=36, num_attention_heads=3, intermediate_size=50, num_hidden_layers=1,
            max_position_embeddings=40, model=dict(embed_dim=21)),
    hf_text('bert-bare', 'a sentence encoder: the file of a BertModel with its idle pooler.dense; mean_pooler, no projection', BERT,
            dict(hf_pooler_type='mean_pooler', hf_proj_type=None), names=bare, towers=('text',)),
    hf_text('chinese-clip', "Hugging Face's ChineseCLIPModel: a BERT, of which the first token counts; F32", BERT, CHINESE_CLIP,
            model=dict(quick_gelu=True), vision=dict(layers=1), other=(build_chinese_clip, from_chinese_clip), dtype=torch.float32),
    hf_text('chinese-clip-ofa', "Chinese-CLIP under OFA-Sys's names, with module.", BERT, CHINESE_CLIP,
            model=dict(quick_gelu=True), vision=dict(layers=1), names=chinese_clip_of_ofa),
]
