#!/usr/bin/env python3
"""Golden data for the towers: tiny models with random weights, computed by OpenCLIP (and Hugging Face's CLIPModel) itself.

    python3 weights-tools/golden_towers.py [NAME ...]          everything, or only the named ones

For each configuration in tests/golden/towers/
    NAME.safetensors            the checkpoint exactly as its state_dict has it (both towers, unless the notes say otherwise)
    NAME.json                   {"model_cfg", "preprocess_cfg"}, the schema of open_clip_config.json
    NAME.expected.safetensors   pixels [n, 3, H, W] F16, image_features [n, dim] F32,
                                tokens [n, context] I32, text_features [n, dim] F32; features are not normalised.
                                Where OpenCLIP returns a vector a token (pool_type none) they are [n, length, dim]
    index.json                  the list of {name, options, towers, notes}
and tests/golden/parameters.json: for the towers of OpenCLIP's own configurations, which tensors each has (see `tower_parameters`).

Every parameter and buffer is random, and weights are rounded to the stored type before anything is computed (in fp32, as OpenCLIP
does). The script itself proves that the data can tell right from wrong, and stops where it cannot:
  - the vectors differ from each other (median pairwise cosine), and fp64 arithmetic agrees with fp32;
  - every tensor of a tower matters: with a neutral value (0 for weights and biases, 1 for scales) the vectors move;
  - every option matters: with its default instead, OpenCLIP gives other vectors or wants other tensors.
"""
import copy
import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import open_clip
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP, _build_text_tower, _build_vision_tower
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

GOLDEN = Path(__file__).resolve().parent.parent / 'tests' / 'golden'
N = 8  # inputs of each configuration

# A change smaller than this share of the median distance between the vectors could pass unseen: the tests allow 0.5 %.
VISIBLE = 0.01

# OpenCLIP 3.3.0 multiplies 4-d tensors with torch.bmm in scaled cosine attention, which only takes 3-d ones, so that the option
# fails as released. matmul is what it means, and the same on 3-d tensors.
torch.bmm = torch.matmul

VISION = dict(image_size=18, patch_size=6, width=24, layers=2, head_width=12, mlp_ratio=2.0)
TEXT = dict(context_length=12, vocab_size=96, width=24, heads=2, layers=2, mlp_ratio=2.0)
# The tower that a configuration is not about, to keep the files small.
SMALL_VISION = {**VISION, 'width': 16, 'head_width': 8, 'layers': 1}
SMALL_TEXT = {**TEXT, 'width': 16, 'layers': 1}
LARGER_VISION = dict(image_size=32, patch_size=8, width=48, head_width=16, mlp_ratio=4.0)
LARGER_TEXT = dict(width=48, heads=3, mlp_ratio=4.0)


@dataclass
class Golden:
    name: str
    options: str                                   # what it covers, for people
    vision: dict = field(default_factory=dict)     # over VISION
    text: dict = field(default_factory=dict)       # over TEXT
    model: dict = field(default_factory=dict)      # over {"embed_dim": 24}
    dtype: torch.dtype = torch.float16             # of the stored weights
    towers: tuple = ('image', 'text')              # stored and expected
    names: object = None                           # state dict -> state dict, as other writers name things
    tail: bool = False                             # MLP inputs in GELU's left tail, where its variants differ visibly
    notes: str = ''
    hugging_face: bool = False                     # the same towers as Hugging Face's CLIPModel computes and stores them

    def config(self):
        vision = SMALL_VISION if self.text and not self.vision else VISION
        text = SMALL_TEXT if self.vision and not self.text else TEXT
        config = {'embed_dim': 24, **self.model, 'vision_cfg': {**vision, **self.vision}, 'text_cfg': {**text, **self.text}}
        if config.get('multimodal_cfg') is not None:
            config['multimodal_cfg'] = {'context_length': config['text_cfg']['context_length'],
                                        'vocab_size': config['text_cfg']['vocab_size'], **config['multimodal_cfg']}
        return config


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
    Golden('hugging-face', "Hugging Face's CLIPModel: split q/k/v, other names", hugging_face=True),
    Golden('hugging-face-quick-gelu', "Hugging Face's CLIPModel with quick_gelu (as OpenAI's models there), eos_token_id of the tokenizer, "
           'position_ids (as old files have); 1 and 3 layers; F32', hugging_face=True, names=old_hugging_face_names,
           model=dict(quick_gelu=True), dtype=torch.float32, vision=dict(layers=1), text=dict(layers=3)),
    Golden('image-only', 'a checkpoint without the text tower', towers=('image',)),
    Golden('text-only', 'a checkpoint without the image tower', towers=('text',)),
    Golden('text-only-custom', 'a checkpoint without the image tower, CustomTextCLIP', towers=('text',), model=CUSTOM),
]


def build(config):
    """The model as open_clip.factory.create_model builds it from a config, in eval mode."""
    config = copy.deepcopy(config)
    custom = config.pop('custom_text', False)
    model_class = (CoCa if 'multimodal_cfg' in config else CustomTextCLIP) if custom else CLIP
    return model_class(**config).eval()


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


def randomise(model, generator, dtype, tail):
    """Random values of sensible scales for every parameter and persistent buffer, rounded to `dtype`."""
    def uniform(shape, low, high):
        return torch.rand(shape, generator=generator) * (high - low) + low

    def normal(shape, std):
        return torch.randn(shape, generator=generator) * std

    for name, tensor in model.state_dict().items():
        shape, leaf = tensor.shape, name.rsplit('.', 1)[-1]
        parent = name.rsplit('.', 2)[-2] if '.' in name else ''
        is_norm = parent.startswith(('ln', 'layer_norm', 'pre_layrnorm', 'post_layernorm', 'final_layer_norm', 'layernorm'))
        is_fc = parent in ('c_fc', 'fc1')
        if name in ('logit_scale', 'logit_bias'):
            value = tensor.clone()
        elif leaf == 'logit_scale':                     # of scaled cosine attention, clamped at log(100) ~ 4.6
            value = uniform(shape, 0.5, 5.5)
        elif leaf == 'head_scale':
            value = uniform(shape, 0.4, 1.6)
        elif leaf == 'gamma':                           # LayerScale
            value = uniform(shape, 0.3, 1.2)
        elif is_norm:
            value = uniform(shape, 0.8, 1.2) if leaf == 'weight' else uniform(shape, -0.3, 0.3)
        elif leaf.endswith('bias'):
            value = uniform(shape, -0.3, 0.3) - (3 if tail else 1) * is_fc   # as in trained models, mostly off
        elif 'embedding' in leaf or leaf in ('cls_emb', 'query') or 'embedding' in parent and parent != 'patch_embedding':
            value = normal(shape, 0.5)
        elif leaf in ('proj', 'text_projection') and tensor.ndim == 2:
            value = normal(shape, shape[0] ** -0.5)
        else:
            gain = {'c_fc': 0.5 if tail else 1, 'c_proj': 150 if tail else 5, 'fc2': 5, 'q_proj': 2, 'k_proj': 2,
                    'conv1': 2, 'patch_embedding': 2}.get(parent, 1)
            if leaf in ('in_proj_weight', 'q_proj_weight', 'k_proj_weight'):
                gain = 2                                # attention that is neither flat nor one-hot
            value = normal(shape, gain * (tensor[0].numel() ** -0.5))
        tensor.copy_(value.to(dtype).to(tensor.dtype))


def make_tokens(text, generator):
    """Token ids [N, context_length] as tokenizers make them (start, ids, end, zeros), and what they could make at worst:
    an empty text, one that fills the context, a second end token, padding in the middle, the eos missing or twice."""
    length, vocab = text['context_length'], text['vocab_size']
    start, end = vocab - 2, vocab - 1
    pad = text.get('pad_id', 0)
    eos = text.get('eos_id', 2)
    tokens = torch.full((N, length), pad)
    for i in range(N):
        used = [length - 2, 0, length // 2, length // 3, length - 3, 2, length // 2 + 1, 1][i]
        ids = torch.randint(8, vocab - 2, (used,), generator=generator)
        if text.get('pool_type') == 'eos' and used > 2 and i != 4:
            ids[used // 2] = eos
            if i == 0:
                ids[used - 1] = eos
        if text.get('embed_cls') and used > 3 and i % 2 == 0:
            ids[used // 2] = pad
        tokens[i, :used + 2] = torch.cat([torch.tensor([start]), ids, torch.tensor([end])])
    if text.get('pool_type') == 'eos':
        tokens[5, 2] = eos
    else:
        tokens[2, 2] = end                              # argmax takes the first
    if text.get('pool_type') == 'first' and not text.get('no_causal_mask'):
        tokens[:, 0] = torch.randperm(vocab, generator=generator)[:N]   # all that such a vector depends on
    if text.get('embed_cls'):
        tokens[7] = pad
    return tokens


def features(model, tower, inputs):
    if isinstance(model, CLIPModel):
        output = model.get_image_features(inputs) if tower == 'image' else model.get_text_features(inputs)
        return getattr(output, 'pooler_output', output)
    if isinstance(model, CoCa):
        return model.encode_image(inputs, normalize=False) if tower == 'image' else model.encode_text(inputs, normalize=False)
    output = model.encode_image(inputs) if tower == 'image' else model.encode_text(inputs)
    return output[0] if isinstance(output, tuple) else output


def median_distance(vectors):
    return torch.pdist(vectors.flatten(1).double()).median().item()


def moved(before, after, scale):
    """The largest distance that a vector moved, as a share of `scale`."""
    if before.shape != after.shape:
        return float('inf')
    return (before.double() - after.double()).flatten(1).norm(dim=1).max().item() / scale


def neutral(name, tensor):
    leaf, parent = name.rsplit('.', 1)[-1], name.rsplit('.', 2)[-2] if '.' in name else ''
    is_scale = leaf in ('gamma', 'head_scale') or leaf == 'weight' and tensor.ndim == 1 and parent != ''
    return torch.ones_like(tensor) if is_scale else torch.zeros_like(tensor)


def in_tower(name, tower):
    image = name.startswith(('visual.', 'vision_model.', 'visual_projection.'))
    other = name in ('logit_scale', 'logit_bias') or name.startswith('text_decoder.') or name.endswith('position_ids')
    return not other and image == (tower == 'image')


def check_vectors(name, tower, vectors, exact):
    """Finite, different from each other, and the same in fp64."""
    if not vectors.isfinite().all():
        sys.exit(f'{name}: {tower} vectors are not finite')
    unit = torch.nn.functional.normalize(vectors.flatten(1), dim=-1)
    cosine = (unit @ unit.T)[torch.triu_indices(len(unit), len(unit), 1).unbind()].median().item()
    error = moved(vectors, exact, median_distance(vectors))
    if abs(cosine) > 0.9 or error > 1e-4:
        sys.exit(f'{name}: {tower} vectors have a median cosine of {cosine:.3f} and lie {error:.1e} from fp64')
    return cosine


def cannot_matter(golden, name):
    # A key bias adds the same number to all logits of a query, which softmax takes away again. (The bias of the packed q/k/v is one
    # tensor, and that of a whole context's norm reaches the values too.)
    return golden.name == 'attn-pool-parallel' and name.startswith('visual.attn_pool.') \
        or name.endswith(('.attn.ln_k.bias', '.k_proj.bias'))


def check_tensors(golden, model, tower, inputs, vectors, run):
    """Every tensor of the tower moves the vectors. Returns the name and effect of the one that does least."""
    scale = median_distance(vectors)
    weakest = ('', float('inf'))
    for name, tensor in model.state_dict().items():
        if not in_tower(name, tower) or cannot_matter(golden, name):
            continue
        kept = tensor.clone()
        tensor.copy_(neutral(name, tensor))
        effect = moved(vectors, run(model, tower, inputs), scale)
        tensor.copy_(kept)
        if not effect >= VISIBLE:
            sys.exit(f'{golden.name}: {name} moves the {tower} vectors by only {effect:.2e} of their median distance')
        weakest = min(weakest, (name, effect), key=lambda pair: pair[1])
    return weakest


# Options that change no number of the vectors: shapes that the tensors fix, what only training reads, what OpenCLIP ignores there.
IDLE = {'image_size', 'patch_size', 'width', 'layers', 'context_length', 'vocab_size', 'output_tokens', 'patch_dropout', 'block_type',
        'pos_embed_type', 'attn_pooler_queries'}


def is_idle(golden, section, option):
    cfg = golden.config()[section]
    return option in IDLE \
        or option == 'final_ln_after_pool' and (section == 'text_cfg' or cfg.get('pool_type') != 'avg' or 'attentional_pool' in cfg) \
        or option == 'pool_type' and cfg.get('embed_cls') \
        or option == 'heads' and cfg.get('pool_type') == 'first' and not cfg.get('no_causal_mask') \
        or option == 'ls_init_value' \
        or option == 'mlp_ratio'


def check_options(golden, model, inputs, expected):
    """Every option that is not the default changes the vectors, or the tensors (so that a loader that ignores it fails)."""
    defaults = {'vision_cfg': CLIPVisionCfg(), 'text_cfg': CLIPTextCfg()}
    for section, tower in (('vision_cfg', 'image'), ('text_cfg', 'text')):
        if tower not in golden.towers:
            continue
        options = [(section, option, getattr(defaults[section], option)) for option in golden.config()[section]]
        options.append((None, 'quick_gelu', not golden.config().get('quick_gelu', False)))
        for where, option, default in options:
            config = golden.config()
            holder = config[where] if where else config
            if where and (holder[option] == default or is_idle(golden, section, option)):
                continue
            if option == 'quick_gelu' and 'act_kwargs' in config[section]:
                continue
            holder[option] = holder['width'] if option == 'head_width' else default   # one head: 64 is more than there is
            try:
                other = build(config)
            except (AssertionError, RuntimeError, ValueError):
                continue
            state = model.state_dict()
            if {name: t.shape for name, t in other.state_dict().items()} != {name: t.shape for name, t in state.items()}:
                continue
            other.load_state_dict(state)
            effect = moved(expected[tower], features(other, tower, inputs[tower]), median_distance(expected[tower]))
            if not effect >= VISIBLE:
                sys.exit(f'{golden.name}: {tower} {option} moves the vectors by only {effect:.2e} of their median distance')


def make_inputs(golden, generator):
    config = golden.config()
    size = config['vision_cfg']['image_size']
    height, width = size if isinstance(size, list) else (size, size)
    pixels = torch.randn((N, 3, height, width), generator=generator)
    # A broad gradient besides the noise: real pictures are not white.
    slope = torch.randn((N, 3, 2), generator=generator)
    pixels = pixels * 0.7 + slope[..., :1, None] * torch.linspace(-1, 1, height)[:, None] \
        + slope[..., 1:, None] * torch.linspace(-1, 1, width)
    return {'image': pixels.half().float(), 'text': make_tokens(config['text_cfg'], generator)}


def save(tensors, path, metadata=None):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    path.chmod(0o644)   # safetensors makes files that only their owner reads


def write(golden, state, inputs, expected, preprocess_size):
    folder = GOLDEN / 'towers'
    folder.mkdir(parents=True, exist_ok=True)
    save(state, folder / f'{golden.name}.safetensors', {'format': 'pt'})
    arrays = {}
    if 'image' in golden.towers:
        arrays.update(pixels=inputs['image'].half(), image_features=expected['image'])
    if 'text' in golden.towers:
        arrays.update(tokens=inputs['text'].to(torch.int32), text_features=expected['text'])
    save(arrays, folder / f'{golden.name}.expected.safetensors')
    size = list(preprocess_size) if isinstance(preprocess_size, (list, tuple)) else [preprocess_size] * 2
    preprocess = {'size': size, 'mode': 'RGB', 'mean': list(open_clip.OPENAI_DATASET_MEAN),
                  'std': list(open_clip.OPENAI_DATASET_STD), 'interpolation': 'bicubic', 'resize_mode': 'shortest', 'fill_color': 0}
    (folder / f'{golden.name}.json').write_text(
        json.dumps({'model_cfg': golden.config(), 'preprocess_cfg': preprocess}, indent=2) + '\n')


def seeded(name):
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], 'little'))


def report(golden, tower, cosine, weakest):
    print(f'{golden.name:24} {tower:5}  median cosine {cosine:5.2f}  least effect {weakest[1]:8.3f} of {weakest[0]}', flush=True)


def make_golden(golden):
    generator = seeded(golden.name)
    model = build_hugging_face(golden.config()) if golden.hugging_face else build(golden.config())
    randomise(model, generator, golden.dtype, golden.tail)
    inputs = make_inputs(golden, generator)
    exact = copy.deepcopy(model).double()
    expected = {}
    for tower in golden.towers:
        expected[tower] = features(model, tower, inputs[tower])
        wide = inputs[tower].double() if tower == 'image' else inputs[tower]
        cosine = check_vectors(golden.name, tower, expected[tower], features(exact, tower, wide))
        report(golden, tower, cosine, check_tensors(golden, model, tower, inputs[tower], expected[tower], features))
    reference = model
    if golden.hugging_face:
        reference = build(golden.config())
        reference.load_state_dict(from_hugging_face(model.state_dict()))
        for tower in golden.towers:
            check_vectors(golden.name, tower, expected[tower], features(reference, tower, inputs[tower]))
    check_options(golden, reference, inputs, expected)
    state = {name: tensor.to(golden.dtype) for name, tensor in model.state_dict().items()
             if len(golden.towers) == 2 or in_tower(name, golden.towers[0])}
    write(golden, golden.names(state) if golden.names else state, inputs, expected, golden.config()['vision_cfg']['image_size'])


def tower_parameters(config, tower):
    """How many tensors and numbers the tower of a config has, and the SHA-256 of its sorted lines "name 2x3\\n" (a name as in
    OpenCLIP's CLIP state dict, `visual.` before the image tower's and nothing before the text tower's; then its shape).
    Towers that are not OpenCLIP's own transformers have a family only."""
    cfg = config['vision_cfg' if tower == 'image' else 'text_cfg']
    if tower == 'image' and cfg.get('timm_model_name'):
        return {'family': 'timm'}
    if tower == 'image' and isinstance(cfg.get('layers'), list):
        return {'family': 'resnet'}
    if tower == 'text' and cfg.get('hf_model_name'):
        return {'family': 'hf'}
    make = _build_vision_tower if tower == 'image' else _build_text_tower
    with torch.device('meta'):
        state = make(config['embed_dim'], copy.deepcopy(cfg), config.get('quick_gelu', False)).state_dict()
    prefix = 'visual.' if tower == 'image' else ''
    lines = sorted(f'{prefix}{name} {"x".join(map(str, tensor.shape))}\n' for name, tensor in state.items())
    return {'family': 'openclip', 'tensors': len(lines), 'parameters': sum(tensor.numel() for tensor in state.values()),
            'sha256': hashlib.sha256(''.join(lines).encode()).hexdigest()}


def write_parameters():
    lines = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        lines.append(f'  {json.dumps(name)}: ' + json.dumps({tower: tower_parameters(config, tower) for tower in ('image', 'text')}))
    (GOLDEN / 'parameters.json').write_text('{\n' + ',\n'.join(lines) + '\n}\n')


def main():
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    unknown = set(wanted) - {golden.name for golden in GOLDENS}
    if unknown:
        sys.exit(f'no such configuration: {", ".join(sorted(unknown))}')
    for golden in GOLDENS:
        if not wanted or golden.name in wanted:
            make_golden(golden)
    index = [{'name': g.name, 'options': g.options, 'towers': list(g.towers), 'notes': g.notes}
             for g in GOLDENS if (GOLDEN / 'towers' / f'{g.name}.safetensors').exists()]
    lines = ',\n'.join('  ' + json.dumps(entry) for entry in index)
    (GOLDEN / 'towers' / 'index.json').write_text(f'[\n{lines}\n]\n')
    if not wanted:
        write_parameters()


if __name__ == '__main__':
    main()
