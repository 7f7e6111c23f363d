"""OpenCLIP's own transformers: VisionTransformer and TextTransformer, and the same towers under other writers' names."""
import torch
from transformers import CLIPConfig, CLIPModel

from .model import VISION, Golden

LARGER_VISION = dict(image_size=32, patch_size=8, width=48, head_width=16, mlp_ratio=4.0)
LARGER_TEXT = dict(width=48, heads=3, mlp_ratio=4.0)


def module_prefix(state):
    return {'module.' + name: tensor for name, tensor in state.items()}


def old_names(state):
    """CLIP names for a CustomTextCLIP model: files of before `text.`, which OpenCLIP still converts while loading."""
    return {name.removeprefix('text.'): tensor for name, tensor in state.items()}


def openai_names(state):
    """OpenAI's own state dicts: matrices fp16, the rest fp32, and three numbers about the model; and the causal mask that
    early OpenCLIP checkpoints hold, with its infinities, which no tower needs."""
    def is_matrix(name):
        return not name.endswith('embedding') and not name.endswith('embedding.weight') and not name.endswith('logit_scale') \
            and '.ln_' not in name and not name.startswith('ln_')
    context = state['positional_embedding'].shape[0]
    state = {name: tensor.to(torch.float16 if is_matrix(name) else torch.float32) for name, tensor in state.items()}
    state['input_resolution'] = torch.tensor(VISION['image_size'])
    state['context_length'] = torch.tensor(context)
    state['vocab_size'] = torch.tensor(state['token_embedding.weight'].shape[0])
    state['attn_mask'] = torch.full((context, context), float('-inf')).triu_(1)
    return state


def old_hugging_face_names(state):
    """Until 2023 transformers stored its counting buffers, too."""
    for tower in ('vision_model', 'text_model'):
        positions = state[f'{tower}.embeddings.position_embedding.weight'].shape[0]
        state[f'{tower}.embeddings.position_ids'] = torch.arange(positions).unsqueeze(0)
    return state


def build_hugging_face(config):
    """The CLIPModel that computes the same as build(config)."""
    vision, text = config['vision_cfg'], config['text_cfg']
    act = 'quick_gelu' if config.get('quick_gelu') else 'gelu'
    end = text['vocab_size'] - 1

    def tower(cfg, heads):
        return dict(hidden_size=cfg['width'], intermediate_size=int(cfg['width'] * cfg['mlp_ratio']), hidden_act=act,
                    num_hidden_layers=cfg['layers'], num_attention_heads=heads)

    # eos_token_id 2, which OpenAI's first uploads have, makes transformers take the highest id, any other the first such id.
    return CLIPModel(CLIPConfig(
        projection_dim=config['embed_dim'],
        vision_config=dict(tower(vision, vision['width'] // vision['head_width']), image_size=vision['image_size'],
                           patch_size=vision['patch_size']),
        text_config=dict(tower(text, text['heads']), vocab_size=text['vocab_size'], max_position_embeddings=text['context_length'],
                         bos_token_id=end - 1, eos_token_id=end if config.get('quick_gelu') else 2),
    )).eval()


def from_hugging_face(state):
    """The tensors of a CLIPModel under OpenCLIP's names: how this script knows that both are the same towers."""
    names = {'vision_model.embeddings.patch_embedding.weight': 'visual.conv1.weight',
             'vision_model.embeddings.class_embedding': 'visual.class_embedding',
             'vision_model.embeddings.position_embedding.weight': 'visual.positional_embedding',
             'visual_projection.weight': 'visual.proj',
             'text_model.embeddings.token_embedding.weight': 'token_embedding.weight',
             'text_model.embeddings.position_embedding.weight': 'positional_embedding',
             'text_projection.weight': 'text_projection', 'logit_scale': 'logit_scale'}
    pieces = [('vision_model.pre_layrnorm.', 'visual.ln_pre.'), ('vision_model.post_layernorm.', 'visual.ln_post.'),
              ('text_model.final_layer_norm.', 'ln_final.'), ('vision_model.encoder.layers.', 'visual.transformer.resblocks.'),
              ('text_model.encoder.layers.', 'transformer.resblocks.'), ('.layer_norm1.', '.ln_1.'), ('.layer_norm2.', '.ln_2.'),
              ('.self_attn.', '.attn.'), ('.mlp.fc1.', '.mlp.c_fc.'), ('.mlp.fc2.', '.mlp.c_proj.')]
    result = {}
    for name, tensor in state.items():
        if name.endswith(('.k_proj.weight', '.v_proj.weight', '.k_proj.bias', '.v_proj.bias', '.position_ids')):
            continue
        renamed = names.get(name, name)
        for theirs, ours in pieces:
            renamed = renamed.replace(theirs, ours)
        if '.q_proj.' in name:
            tensor = torch.cat([state[name.replace('.q_proj.', f'.{which}_proj.')] for which in 'qkv'])
            renamed = renamed.replace('q_proj.', 'in_proj_')
        result[renamed] = tensor.T if name in ('visual_projection.weight', 'text_projection.weight') else tensor
    return result


HUGGING_FACE = (build_hugging_face, from_hugging_face)
COCA = dict(custom_text=True, multimodal_cfg=dict(width=16, heads=2, layers=1))
CUSTOM = dict(custom_text=True)

GOLDENS = [
    Golden('clip', 'CLIP, exact GELU; widths of 48', vision=LARGER_VISION, text=LARGER_TEXT),
    Golden('clip-quick-gelu', 'CLIP, quick_gelu; F32', model=dict(quick_gelu=True), dtype=torch.float32),
    Golden('clip-bf16', 'CLIP; BF16; embed_dim 33', model=dict(embed_dim=33), dtype=torch.bfloat16),
    Golden('custom-text', 'CustomTextCLIP; init_logit_bias; patch_dropout (idle in eval); text final_ln_after_pool (which OpenCLIP '
           'does not read)', model=dict(**CUSTOM, init_logit_bias=-10), vision=dict(patch_dropout=0.5),
           text=dict(final_ln_after_pool=True)),
    Golden('coca', 'CoCa: attentional_pool, output_tokens, embed_cls, pads in the middle, full-length texts',
           model=dict(**COCA, embed_dim=32),
           vision=dict(attentional_pool=True, attn_pooler_queries=5, attn_pooler_heads=4, output_tokens=True),
           text=dict(embed_cls=True, output_tokens=True, context_length=11), notes='text_decoder.* belongs to no tower'),
    Golden('odd-widths', 'widths that are no multiple of 8, heads of 12 and 10; one layer; embed_dim 21', model=dict(embed_dim=21),
           vision=dict(width=36, head_width=12, patch_size=7, image_size=28, layers=1),
           text=dict(width=50, heads=5, context_length=9, vocab_size=77, layers=1)),

    Golden('real-shape', 'the proportions of real CLIP: heads of 64, context 77, quick_gelu',
           model=dict(embed_dim=64, quick_gelu=True),
           vision=dict(image_size=64, patch_size=16, width=128, layers=2, head_width=64, mlp_ratio=4.0),
           text=dict(context_length=77, vocab_size=600, width=64, heads=1, layers=2, mlp_ratio=4.0)),

    Golden('gelu-erf', "exact GELU in its tail, where tanh's would show", tail=True),
    Golden('gelu-tanh', 'act_kwargs approximate tanh in both towers', tail=True,
           vision=dict(act_kwargs={'approximate': 'tanh'}), text=dict(act_kwargs={'approximate': 'tanh'})),
    Golden('norm-eps', 'norm_kwargs eps in both towers', vision=dict(norm_kwargs={'eps': 0.1}), text=dict(norm_kwargs={'eps': 0.05})),
    Golden('layer-scale', 'ls_init_value in both towers', vision=dict(ls_init_value=0.1), text=dict(ls_init_value=1e-5)),
    Golden('no-ln-pre', 'no_ln_pre', vision=dict(no_ln_pre=True)),
    Golden('sin-cos', 'pos_embed_type sin_cos_2d', vision=dict(pos_embed_type='sin_cos_2d'),
           notes='positions still come from the file, and are not the formula here'),
    Golden('head-width', 'head_width that does not divide the width (2 heads of 20)', vision=dict(width=40, head_width=16)),
    Golden('mlp-ratio', 'mlp_ratio 3.7362 and 4.9231: hidden widths 119 and 147', vision=dict(mlp_ratio=3.7362),
           text=dict(mlp_ratio=4.9231, width=30, heads=3)),
    Golden('mlp-ratio-swapped', 'mlp_ratio 4.9231 and 3.7362: hidden widths 157 and 134', vision=dict(mlp_ratio=4.9231),
           text=dict(mlp_ratio=3.7362, width=36, heads=3)),

    Golden('image-wide', 'image_size [height, width] = [16, 40]', vision=dict(image_size=[16, 40])),
    Golden('image-tall', 'image_size [37, 20], neither divisible by the patch of 9', vision=dict(image_size=[37, 20], patch_size=9)),
    Golden('image-uneven', 'image_size 30, not divisible by the patch of 7', vision=dict(image_size=30, patch_size=7)),
    Golden('patch-4', 'patch_size 4: 26 tokens', vision=dict(image_size=20, patch_size=4)),
    Golden('patch-14', 'patch_size 14', vision=dict(image_size=28, patch_size=14)),
    Golden('patch-16', 'patch_size 16', vision=dict(image_size=32, patch_size=16)),

    Golden('pool-avg', 'image pool_type avg; text pool_type last', vision=dict(pool_type='avg'), text=dict(pool_type='last')),
    Golden('pool-avg-final-ln', 'final_ln_after_pool with avg; text pool_type first with no_causal_mask', vision=dict(pool_type='avg', final_ln_after_pool=True),
           text=dict(pool_type='first', no_causal_mask=True)),
    Golden('pool-tok-final-ln', 'final_ln_after_pool with tok; text pool_type first under the causal mask',
           vision=dict(final_ln_after_pool=True), text=dict(pool_type='first')),
    Golden('pool-none', 'pool_type none in both towers: a vector a token', vision=dict(pool_type='none'), text=dict(pool_type='none')),
    Golden('pool-none-final-ln', 'image pool_type none with final_ln_after_pool; text pool_type none in CustomTextCLIP',
           vision=dict(pool_type='none', final_ln_after_pool=True), text=dict(pool_type='none'), model=CUSTOM),

    Golden('attn-pool-tok', 'attentional_pool, embed_dim = width (packed q/k/v), default heads',
           vision=dict(attentional_pool=True, attn_pooler_queries=3)),
    Golden('attn-pool-avg', 'attentional_pool, pool_type avg, embed_dim != width (split q/k/v)', model=dict(embed_dim=20),
           vision=dict(attentional_pool=True, attn_pooler_queries=6, attn_pooler_heads=5, pool_type='avg')),
    Golden('attn-pool-none', 'attentional_pool, pool_type none, embed_dim > width', model=dict(embed_dim=40),
           vision=dict(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=2, pool_type='none')),
    Golden('attn-pool-final-ln', 'attentional_pool, where final_ln_after_pool is ignored',
           vision=dict(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=3, pool_type='avg', final_ln_after_pool=True)),
    Golden('attn-pool-eps', "attentional_pool keeps eps 1e-5 in its own norms whatever norm_kwargs says",
           vision=dict(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=3, norm_kwargs={'eps': 0.2})),
    Golden('attn-pool-parallel', "attentional_pool 'parallel'",
           vision=dict(attentional_pool='parallel', attn_pooler_queries=4, attn_pooler_heads=4, output_tokens=True),
           notes="image_features [n, 1, dim]; visual.attn_pool.* does not reach them"),
    Golden('attn-pool-cascade', "attentional_pool 'cascade'",
           vision=dict(attentional_pool='cascade', attn_pooler_queries=4, attn_pooler_heads=4), notes='image_features [n, 1, dim]'),

    Golden('text-no-causal', 'no_causal_mask with argmax', text=dict(no_causal_mask=True)),
    Golden('text-eos', 'pool_type eos; some texts have the eos twice, some not at all', text=dict(pool_type='eos', eos_id=7)),
    Golden('text-eos-default', 'pool_type eos with the default eos_id 2, CustomTextCLIP', text=dict(pool_type='eos'), model=CUSTOM),
    Golden('text-last-no-causal', 'pool_type last with no_causal_mask, CustomTextCLIP (as SigLIP)',
           text=dict(pool_type='last', no_causal_mask=True, proj_bias=True), model=CUSTOM),
    Golden('text-proj-none', "proj_type 'none': the text vector is as wide as the tower, the image's is embed_dim",
           text=dict(proj_type='none', width=30, heads=3)),
    Golden('text-proj-none-custom', "proj_type 'none' and pool_type last, CustomTextCLIP", text=dict(proj_type='none', pool_type='last'),
           model=CUSTOM),
    Golden('text-proj-bias', 'proj_bias in CLIP', text=dict(proj_bias=True)),
    Golden('text-long', 'context_length 40, vocab_size 257', text=dict(context_length=40, vocab_size=257)),

    Golden('cls-pad-id', 'embed_cls with pad_id 3, quick_gelu', text=dict(embed_cls=True, pad_id=3),
           model=dict(**CUSTOM, quick_gelu=True)),
    Golden('cls-no-causal', 'embed_cls with no_causal_mask, eps, proj_bias; pool_type is ignored',
           text=dict(embed_cls=True, no_causal_mask=True, norm_kwargs={'eps': 0.1}, proj_bias=True, pool_type='first'), model=CUSTOM),

    Golden('block-custom', 'block_type custom alone', vision=dict(block_type='custom'), text=dict(block_type='custom')),
    *[Golden('block-' + option.replace('_', '-'), option + ' in both towers', vision={option: True}, text={option: True})
      for option in ('qk_norm', 'scaled_cosine_attn', 'scale_heads', 'scale_attn_inner', 'scale_attn', 'scale_fc')],
    Golden('block-all', 'all custom block options that go together, with ls_init_value, eps and non-integer mlp_ratio; the text tower '
           'with embed_cls', model=CUSTOM,
           vision=dict(qk_norm=True, scale_heads=True, scale_attn_inner=True, scale_attn=True, scale_fc=True, ls_init_value=0.1,
                       norm_kwargs={'eps': 0.1}, mlp_ratio=2.7),
           text=dict(scaled_cosine_attn=True, scale_heads=True, scale_attn_inner=True, scale_attn=True, scale_fc=True, ls_init_value=0.1,
                     norm_kwargs={'eps': 0.1}, mlp_ratio=2.7, embed_cls=True)),

    Golden('module-prefix', 'names with module.', names=module_prefix),
    Golden('module-prefix-custom', 'names with module., CustomTextCLIP', names=module_prefix, model=CUSTOM),
    Golden('old-names', 'custom_text with names from before text.', names=old_names, model=CUSTOM),
    Golden('openai', "OpenAI's state dict: mixed F16 and F32, I64 scalars, an attn_mask of infinities", names=openai_names,
           model=dict(quick_gelu=True), notes='tensors that no tower needs: input_resolution, context_length, vocab_size, attn_mask'),
    Golden('hugging-face', "Hugging Face's CLIPModel: split q/k/v, other names", other=HUGGING_FACE),
    Golden('hugging-face-quick-gelu', "Hugging Face's CLIPModel with quick_gelu (as OpenAI's models there), eos_token_id of the tokenizer, "
           'position_ids (as old files have); 1 and 3 layers; F32', other=HUGGING_FACE, names=old_hugging_face_names,
           model=dict(quick_gelu=True), dtype=torch.float32, vision=dict(layers=1), text=dict(layers=3)),
    Golden('image-only', 'a checkpoint without the text tower', towers=('image',)),
    Golden('text-only', 'a checkpoint without the image tower', towers=('text',)),
    Golden('text-only-custom', 'a checkpoint without the image tower, CustomTextCLIP', towers=('text',), model=CUSTOM),
]
