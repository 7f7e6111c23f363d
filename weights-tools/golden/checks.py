"""Proof that golden data can tell right from wrong."""
import sys

import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from transformers import AutoConfig

from .model import build, features, in_tower, is_image_tower
from .weights import neutral

# A change smaller than this share of the median distance between the vectors could pass unseen: the tests allow 0.5 %.
VISIBLE = 0.01


def median_distance(vectors):
    return torch.pdist(vectors.flatten(1).double()).median().item()


def moved(before, after, scale):
    """The largest distance that a vector moved, as a share of `scale`."""
    if before.shape != after.shape:
        return float('inf')
    return (before.double() - after.double()).flatten(1).norm(dim=1).max().item() / scale


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
    # tensor, and that of a whole context's norm reaches the values too.) So does the last bias of an MLP of relative positions, but for
    # class tokens, which have no positions. (And of the last block only the class token is looked at in vit-relpos-class.)
    # Apple's projections have no bias.
    return golden.name == 'attn-pool-parallel' and name.startswith('visual.attn_pool.') \
        or golden.name == 'vit-relpos-class' and '.blocks.1.attn.rel_pos.' in name \
        or golden.name.startswith('pe-meta') and name.endswith('.head.bias') \
        or golden.name.endswith('-apple') and name.endswith(('.head.fc.bias', '.head.bias')) \
        or name.endswith(('.attn.ln_k.bias', '.k_proj.bias', '.key.bias', 'rel_pos.mlp.fc2.bias'))


def check_tensors(golden, model, tower, inputs, vectors):
    """Every tensor of the tower moves the vectors. Returns the name and effect of the one that does least."""
    scale = median_distance(vectors)
    weakest = ('', float('inf'))
    for name, tensor in model.state_dict().items():
        if not is_image_tower(model) and not in_tower(name, tower) or cannot_matter(golden, name):
            continue
        kept = tensor.clone()
        tensor.copy_(neutral(name, tensor))
        effect = moved(vectors, features(model, tower, inputs), scale)
        tensor.copy_(kept)
        if not effect >= VISIBLE:
            sys.exit(f'{golden.name}: {name} moves the {tower} vectors by only {effect:.2e} of their median distance')
        weakest = min(weakest, (name, effect), key=lambda pair: pair[1])
    return weakest


# Options that change no number of the vectors: shapes that the tensors fix, what only training reads, what OpenCLIP ignores there.
IDLE = {'image_size', 'patch_size', 'width', 'layers', 'context_length', 'vocab_size', 'output_tokens', 'patch_dropout', 'block_type',
        'pos_embed_type', 'attn_pooler_queries', 'hf_tokenizer_name'}


def is_idle(golden, section, option):
    cfg = golden.config()[section]
    return option in IDLE \
        or option == 'final_ln_after_pool' and (section == 'text_cfg' or cfg.get('pool_type') != 'avg' or 'attentional_pool' in cfg) \
        or option == 'pool_type' and cfg.get('embed_cls') \
        or option == 'heads' and cfg.get('pool_type') == 'first' and not cfg.get('no_causal_mask') \
        or option == 'timm_pool' and cfg[option] == '' and cfg['timm_proj'] in ('linear', 'mlp') \
        or option == 'ls_init_value' \
        or option == 'mlp_ratio' \
        or option == 'timm_pool' and cfg[option] == '' \
        or option == 'hf_pooler_type' and cfg[option] is None and cfg['hf_config']['model_type'] != 'bert'   # the mean either way


def is_idle_in_hugging_face(key, value):
    # Shapes; decoders, which OpenCLIP leaves out; and an eps too small to be seen in these networks.
    return key in ('max_position_embeddings', 'vocab_size') or key == 'layer_norm_eps' and value < 1e-3 or key.startswith('decoder_')


REMOVED = object()


def other_options(golden, section, foreign):
    """(the option's holders from the config inwards, option, value) for each option and its default."""
    config = golden.config()
    defaults = CLIPVisionCfg() if section == 'vision_cfg' else CLIPTextCfg()
    for option, value in config[section].items():
        if option == 'timm_model_args':
            yield from (((section, option), key, REMOVED) for key in value)
        elif option == 'hf_config':
            standard = AutoConfig.for_model(value['model_type'])
            yield from (((section, option), key, REMOVED) for key in value
                        if value[key] != getattr(standard, key) and not is_idle_in_hugging_face(key, value[key]))
        elif value == getattr(defaults, option) or is_idle(golden, section, option):
            continue
        elif option == 'head_width':                    # one head: 64 is more than there is
            yield (section,), option, config[section]['width'] * (32 if foreign else 1)
        else:
            yield (section,), option, getattr(defaults, option)


def effect_of(golden, tower, model, inputs, expected, holders, option, value):
    """How far the vectors move with another value of an option; None where such a model has other tensors, or cannot be."""
    config = golden.config()
    holder = config
    for key in holders:
        holder = holder[key]
    if value is REMOVED:
        del holder[option]
    else:
        holder[option] = value
    try:
        other = build(config)
    except (AssertionError, AttributeError, IndexError, RuntimeError, ValueError):
        return None
    state = model.state_dict()
    if {name: t.shape for name, t in other.state_dict().items()} != {name: t.shape for name, t in state.items()}:
        return None
    other.load_state_dict(state)
    try:
        found = features(other, tower, inputs)
    except (RuntimeError, ValueError):   # heads that rotary positions cannot turn
        return None
    return moved(expected, found, median_distance(expected))


def check_options(golden, model, inputs, expected):
    """Every option that is not the default changes the vectors, or the tensors (so that a loader that ignores it fails).
    quick_gelu changes OpenCLIP's own transformers and no other tower."""
    for section, tower in (('vision_cfg', 'image'), ('text_cfg', 'text')):
        if tower not in golden.towers:
            continue
        given = model, inputs[tower], expected[tower]
        foreign = golden.is_foreign(tower)
        for holders, option, value in other_options(golden, section, foreign):
            effect = effect_of(golden, tower, *given, holders, option, value)
            if effect is not None and not effect >= VISIBLE:
                sys.exit(f'{golden.name}: {tower} {option} moves the vectors by only {effect:.2e} of their median distance')
        if 'act_kwargs' in golden.config()[section]:
            continue
        effect = effect_of(golden, tower, *given, (), 'quick_gelu', not golden.config().get('quick_gelu', False))
        if foreign and effect > 1e-4 or not foreign and not effect >= VISIBLE:
            sys.exit(f'{golden.name}: {tower} quick_gelu moves the vectors by {effect:.2e} of their median distance')
