"""timm's VisionTransformer: SigLIP and SigLIP2, also as Hugging Face's SiglipVisionModel, and others of its pools and blocks."""
from functools import partial

import torch
from transformers import SiglipConfig, SiglipModel, SiglipVisionConfig, SiglipVisionModel

from .apple import apple, without_projection_bias
from .model import Golden
from .openclip import module_prefix
from .resnet import settle_statistics

VIT = dict(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0, patch_size=8)
SIGLIP = 'vit_base_patch16_siglip_224'            # exact GELU
SIGLIP2 = 'vit_so400m_patch16_siglip_256'         # GELU's approximation by tanh; mlp_ratio 3.7362
# OpenCLIP's SigLIP models: the text tower has no mask and takes the last token.
SIGLIP_TEXT = dict(width=16, layers=2, pool_type='last', no_causal_mask=True, proj_bias=True)
SIGLIP_MODEL = dict(custom_text=True, init_logit_bias=-10)


def bare(state):
    """timm's own checkpoints: the trunk alone."""
    return {name.removeprefix('visual.trunk.'): tensor for name, tensor in state.items()}


FIELDS = ('dtype', 'inputs', 'tail', 'names', 'towers', 'notes', 'other', 'text', 'prepare')


def timm_vit(name, options, timm_name=SIGLIP, image_size=32, model=None, drop=(), **rest):
    fields = {key: rest.pop(key) for key in FIELDS if key in rest}
    args = {key: value for key, value in {**VIT, **rest}.items() if key not in drop}
    vision = dict(timm_model_name=timm_name, timm_model_args=args, timm_pool='map', timm_proj='none', image_size=image_size)
    return Golden(name, options, vision=vision, model={'embed_dim': args['embed_dim'], **(model or {})}, **fields)


def vit(name, options, timm_name, pool, proj, embed_dim=20, width=24, **rest):
    """An image tower alone, of another pool and head."""
    proj_bias = {'timm_proj_bias': rest.pop('proj_bias')} if 'proj_bias' in rest else {}
    sizes = dict(image_size=16, embed_dim=width, patch_size=4) if 'mci' not in timm_name else dict(image_size=32, embed_dim=width, inputs=4)
    golden = timm_vit(name, options, timm_name, **{**sizes, 'towers': ('image',), 'model': {'embed_dim': embed_dim}, **rest})
    golden.vision.update(timm_pool=pool, timm_proj=proj, **proj_bias)
    return golden


def without_pool(golden):
    """timm_pool left out: OpenCLIP's default is in force, avg, for which the last norm is behind the mean."""
    del golden.vision['timm_pool']
    return golden


def hybrid(name, options, timm_name, layers=None, channels=None, **rest):
    resnet = dict(layers=layers, channels=channels) if layers else {}
    return vit(name, options, timm_name, 'token', None, **{'image_size': 64, 'inputs': 4, **resnet, **rest}, drop=('patch_size',))


def vitamin(name, options, timm_name, **rest):
    stem = dict(stem_width=6, embed_dim=[6, 10, 24], depths=[1, 2, 1])
    return vit(name, options, timm_name, '', 'linear', embed_cfg=stem, drop=('patch_size', 'mlp_ratio'), **{'image_size': 32, 'inputs': 4, **rest})


# ---- Hugging Face ----------------------------------------------------------------------------------------------------------------

def vision_config(config):
    args = config['vision_cfg']['timm_model_args']
    return dict(hidden_size=args['embed_dim'], intermediate_size=int(args['embed_dim'] * args.get('mlp_ratio', 3.7362)),
                num_hidden_layers=args['depth'], num_attention_heads=args['num_heads'], patch_size=args['patch_size'],
                image_size=config['vision_cfg']['image_size'])


def build_siglip(config):
    """The SiglipModel with the same image tower, and a text tower that nobody asks for."""
    text = dict(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
                max_position_embeddings=4, bos_token_id=1, eos_token_id=2)
    return SiglipModel(SiglipConfig(vision_config=vision_config(config), text_config=text)).eval()


def build_siglip_vision(config):
    return SiglipVisionModel(SiglipVisionConfig(**vision_config(config))).eval()


def from_siglip(state):
    """The tensors of either under OpenCLIP's names: how this script knows that both are the same towers."""
    pieces = [('embeddings.patch_embedding.', 'patch_embed.proj.'), ('embeddings.position_embedding.weight', 'pos_embed'),
              ('post_layernorm.', 'norm.'), ('encoder.layers.', 'blocks.'), ('.layer_norm1.', '.norm1.'), ('.layer_norm2.', '.norm2.'),
              ('.self_attn.out_proj.', '.attn.proj.'), ('.self_attn.q_proj.', '.attn.qkv.'), ('head.probe', 'attn_pool.latent'),
              ('head.attention.out_proj.', 'attn_pool.proj.'), ('head.layernorm.', 'attn_pool.norm.'), ('head.mlp.', 'attn_pool.mlp.')]
    state = {name.removeprefix('vision_model.'): tensor for name, tensor in state.items()
             if not name.startswith(('text_model.', 'logit_')) and not name.endswith('position_ids')}
    result = {}
    for name, tensor in state.items():
        if '.k_proj.' in name or '.v_proj.' in name:
            continue
        renamed = name
        for theirs, ours in pieces:
            renamed = renamed.replace(theirs, ours)
        if '.q_proj.' in name:
            tensor = torch.cat([state[name.replace('.q_proj.', f'.{which}_proj.')] for which in 'qkv'])
        if name == 'embeddings.position_embedding.weight':
            tensor = tensor.unsqueeze(0)
        if name.startswith('head.attention.in_proj_'):
            width, leaf = len(tensor) // 3, name.rsplit('_', 1)[-1]
            result[f'visual.trunk.attn_pool.q.{leaf}'], result[f'visual.trunk.attn_pool.kv.{leaf}'] = tensor.split([width, 2 * width])
        else:
            result['visual.trunk.' + renamed] = tensor
    return result


def old_position_ids(state):
    """Until 2023 transformers stored its counting buffers, too."""
    positions = state['vision_model.embeddings.position_embedding.weight'].shape[0]
    return {**state, 'vision_model.embeddings.position_ids': torch.arange(positions).unsqueeze(0)}


def with_names(golden, names):
    golden.names = partial(names, config=golden.config())
    return golden


GOLDENS = [
    timm_vit('timm-vit-siglip', 'SigLIP: map pooling, timm_proj none, exact GELU; the text tower as in SigLIP',
             model=SIGLIP_MODEL, text=SIGLIP_TEXT),
    timm_vit('timm-vit-erf', "exact GELU in its tail, where tanh's would show; F32; quick_gelu, which timm's towers do not know", tail=True,
             dtype=torch.float32, model=dict(quick_gelu=True)),
    timm_vit('timm-vit-siglip2', "a name that stands for GELU's approximation by tanh, in its tail, and mlp_ratio 3.7362 (hidden width 119); "
             'BF16', SIGLIP2, tail=True, dtype=torch.bfloat16, drop=('mlp_ratio',)),
    timm_vit('timm-vit-act-layer', "act_layer 'gelu_tanh' in timm_model_args, over the name's; quick_gelu", tail=True, act_layer='gelu_tanh',
             model=dict(quick_gelu=True)),
    timm_vit('timm-vit-odd-widths', 'width 36, 3 heads of 12, one layer, hidden width 97; image_size 30, not divisible by the patch of 7',
             image_size=30, embed_dim=36, num_heads=3, depth=1, mlp_ratio=2.7, patch_size=7),
    timm_vit('timm-vit-wide', 'image_size [height, width] = [16, 40]; 5 heads of 8', image_size=[16, 40], embed_dim=40, num_heads=5),
    timm_vit('timm-vit-tall', 'image_size [42, 16], the height not divisible by the patch of 8; a checkpoint without the text tower',
             image_size=[42, 16], towers=('image',)),
    timm_vit('timm-vit-module-prefix', 'names with module.', names=module_prefix, model=SIGLIP_MODEL, text=SIGLIP_TEXT),
    timm_vit('timm-vit-bare', "timm's own checkpoint: no visual.trunk. before the names", names=bare, towers=('image',)),
    timm_vit('siglip-hf', "Hugging Face's SiglipModel: split q/k/v in the layers, packed in the head; other names", SIGLIP2, towers=('image',),
             other=(build_siglip, from_siglip), notes='text_model.* is of another size than model_cfg says, and not expected'),
    timm_vit('siglip-hf-tail', "SiglipModel, GELU's approximation by tanh in its tail; position_ids (as old files have); hidden width 119; F32",
             SIGLIP2, towers=('image',), drop=('mlp_ratio',), tail=True, dtype=torch.float32, names=old_position_ids,
             other=(build_siglip, from_siglip), notes='text_model.* is of another size than model_cfg says, and not expected'),
    timm_vit('siglip-hf-vision', "Hugging Face's SiglipVisionModel as transformers 5 writes it: no vision_model. before the names", SIGLIP2,
             towers=('image',), other=(build_siglip_vision, from_siglip)),
    vit('vit-timm-token', "a class token; timm's own classifier (timm_proj null)", 'vit_base_patch16_224', 'token', None),
    vit('vit-timm-clip', 'norm_pre, eps 1e-5, patches without a bias: the image tower of MobileCLIP2-L-14', 'vit_large_patch14_clip_224',
        'token', None),
    vit('vit-timm-quick-gelu', "QuickGELU; timm_pool '', which is token there, and a linear head", 'vit_base_patch16_clip_quickgelu_224', '', 'linear'),
    vit('vit-timm-gap', 'queries, keys and values without a bias, LayerScale, a mean of normed tokens', 'vit_medium_patch16_gap_256', '', 'linear'),
    vit('vit-timm-dinov2', "DINOv2: LayerScale, a class token; timm's own checkpoint without a classifier", 'vit_small_patch14_dinov2', 'token',
        'none', 24, names=bare),
    vit('vit-timm-registers', 'a class token and four registers without positions; the mean of the others is normed',
        'vit_small_patch14_reg4_dinov2', 'avg', 'none', 24),
    vit('vit-timm-register-positions', 'a register that has a position; a linear head with a bias', 'vit_so150m2_patch16_reg1_gap_256', 'avg', 'linear',
        proj_bias=True),
    vit('vit-timm-no-fc-norm', 'registers, and a mean of normed tokens though timm_pool is avg', 'vit_so150m_patch16_reg4_gap_256', 'avg', None),
    vit('vit-timm-post-norm', 'branches normed before they are added; an MLP as head', 'vit_base_patch16_rpn_224', '', 'mlp'),
    vit('vit-timm-deit3', 'a class token without a position', 'deit3_small_patch16_224', 'token', 'mlp', proj_bias=True),
    vit('vit-timm-changed-pool', 'a mean of what is normed for a class token: timm_pool avg, set after the trunk is made', 'vit_base_patch16_224',
        'avg', 'linear'),
    vit('vit-mci', "MobileCLIP-B's stem of convolutions with BatchNorm and GELU; a class token without a position", 'vit_base_mci_224', 'token', None,
        drop=('patch_size',)),
    vit('vit-mci-not-square', 'the same of a picture that is not square', 'vit_base_mci_224', 'token', 'mlp', image_size=[32, 48],
        drop=('patch_size',)),
    with_names(vit('vit-mci-apple', "MobileCLIP-B under Apple's own names: a projection without a bias", 'vit_base_mci_224', 'token', None,
                   drop=('patch_size',), towers=('image', 'text'), model=dict(custom_text=True, embed_dim=20), prepare=without_projection_bias), apple),
    hybrid('vit-hybrid-v2', 'a ResNetV2 before the blocks: standardised weights, GroupNorm, SAME padding', 'vit_small_r26_s32_224',
           [1, 1, 1, 1], [128, 128, 128, 128], image_size=96, inputs=3),
    hybrid('vit-hybrid-v2-odd', "the same in three stages, where grids have odd and even sides and groups four channels; timm's own checkpoint",
           'vit_base_r50_s16_224', [1, 2, 1], [128, 128, 128], image_size=[76, 84], inputs=3, names=bare),
    hybrid('vit-hybrid-stem', "a ResNetV2's stem alone, and patches of what it makes", 'vit_tiny_r_s16_p8_224'),
    hybrid('vit-hybrid-d', 'a ResNet-D before the blocks: a stem of three convolutions, BatchNorm, shortcuts by average pooling',
           'vit_small_resnet26d_224', [1, 1, 2, 1], [32, 40, 64, 64], prepare=partial(settle_statistics, lowered=0)),
    hybrid('vit-hybrid-d-odd', 'the same in three stages, where grids have odd and even sides; BF16',
           'vit_small_resnet50d_s16_224', [2, 1, 1], [64, 48, 128], image_size=[44, 60], prepare=partial(settle_statistics, lowered=0), dtype=torch.bfloat16),
    vit('vit-timm-swiglu', "DINOv2's giant: an MLP gated by its first half, SiLU", 'vit_giant_patch14_dinov2', 'token', 'none', 24, mlp_ratio=3.0),
    vit('vit-timm-aim', 'AIMv2: RMSNorm, also of patches, no bias in the blocks, SwiGLU of two matrices; the mean of normed tokens of a picture that is not square',
        'aimv2_large_patch14_224', 'avg', 'linear', image_size=[16, 24]),
    vit('vit-timm-beit3', "BEiT-3: norms within attention and the MLP; a class token; timm's own classifier", 'beit3_base_patch16_224', 'token', None),
    vit('vit-timm-rms', 'a register, LayerScale and the mean of the others under RMSNorm; an MLP as head; BF16', 'test_vit4', 'avg', 'mlp', dtype=torch.bfloat16),
    vitamin('vitamin', 'ViTamin: a stem and stages of MBConv blocks, GEGLU; widths that are not multiples of eight', 'vitamin_small_224'),
    vitamin('vitamin-xlarge', 'ViTamin without positions, of a picture that is not square', 'vitamin_xlarge_384', image_size=[32, 48]),
    vit('vit-relpos-class', 'relative position bias made by an MLP; a class token, which has none', 'vit_relpos_medium_patch16_cls_224', '', 'linear',
        rel_pos_dim=12),
    vit('vit-relpos-shared', 'the same bias in all blocks; a picture that is not square', 'vit_srelpos_small_patch16_224', '', 'linear', rel_pos_dim=12,
        image_size=[12, 20]),
    vit('vit-relpos-post-norm', 'relative position bias in blocks that are normed afterwards; the mean is normed', 'vit_relpos_small_patch16_rpn_224',
        'avg', None, rel_pos_dim=12),
    vit('vit-relpos-class-mean', 'a class token and the normed mean of the others', 'vit_relpos_base_patch16_clsgap_224', '', 'mlp', rel_pos_dim=12),
    vit('vit-timm-distilled', "DeiT's two class tokens, and the mean of what a classifier each makes of them", 'deit_tiny_distilled_patch16_224', 'token', None),
    vit('vit-timm-distilled-mean', "the mean of DeiT's two class tokens, of a picture that is not square; timm_pool ''; timm_proj linear",
        'deit_base_distilled_patch16_384', '', 'linear', image_size=[12, 20]),
    vit('vit-timm-distilled-bare', "timm's own checkpoint of the same; timm_pool null, which is token there; F32", 'deit_small_distilled_patch16_224', None, 'none',
        24, names=bare, dtype=torch.float32),
    without_pool(vit('vit-timm-default-pool', "no timm_pool, which is the normed mean; timm's own classifier", 'vit_tiny_patch16_224', None, None)),
    vit('vit-timm-map-registers', 'a map pool that looks at patches alone, behind four registers with positions', 'vit_so150m_patch16_reg4_map_256', 'map', 'none', 24),
    vit('vit-timm-map-all', 'a map pool that looks at a register, too; LayerScale', 'test_vit3', 'map', None, mlp_ratio=3.0),
    vit('vit-timm-map-rms', 'a map pool where the name stands for the mean, behind a register; RMSNorm', 'test_vit4', 'map', None),
    vit('vit-timm-parallel', 'attention and MLP side by side, norms of queries and keys, RMSNorm, also before the blocks; the class token without a position',
        'vit_base_patch16_xp_224', 'token', None),
    vit('vit-timm-parallel-odd', 'the same under LayerNorm, with biases and LayerScale; a register; width 36, heads of 12, hidden width 97',
        'vit_pwee_patch16_reg1_gap_256', 'avg', 'linear', width=36, num_heads=3, mlp_ratio=2.7),
    vit('vit-timm-twofold', 'two attentions side by side, then two MLPs, LayerScale; a class token', 'vit_small_patch16_18x2_224', 'token', 'mlp'),
    vit('vit-timm-differential', 'differential attention, whose factor depends on the layer; LayerScale; a register', 'vit_dwee_patch16_reg1_gap_256', 'avg', None,
        depth=3),
    vit('vit-timm-differential-parallel', 'differential attention and MLP side by side, of a picture that is not square; heads of 20; BF16',
        'vit_dpwee_patch16_reg1_gap_256', 'avg', 'none', 40, width=40, image_size=[12, 20], dtype=torch.bfloat16),
    vit('vit-timm-tokens', "a vector a token: timm_pool '' and timm_proj none", 'vit_base_patch16_224', '', 'none', 24),
]
