"""Random weights of sensible scales, by the names of the tensors, and the values that make a tensor idle."""
import torch


def kind(name):
    """(leaf, parent) of a tensor's name."""
    return (['', ''] + name.split('.'))[:-3:-1]


def is_norm(leaf, parent, tensor):
    return leaf == 'weight' and tensor.ndim == 1 or parent.lower().startswith(
        ('ln', 'layer_norm', 'pre_layrnorm', 'post_layernorm', 'final_layer_norm', 'layernorm', 'norm', 'bn'))


def is_first_of_mlp(name):
    return kind(name)[1] in ('c_fc', 'fc1', 'fc1_g') or '.intermediate.dense.' in name


def gain_of(name, tail):
    leaf, parent = kind(name)
    if '.SelfAttention.q.' in name:
        return 0.5                                      # T5's scores are not scaled
    if leaf in ('in_proj_weight', 'q_proj_weight', 'k_proj_weight') \
            or parent in ('q_proj', 'k_proj', 'qkv', 'q', 'kv', 'query', 'key', 'in_proj'):
        return 2                                        # attention that is neither flat nor one-hot
    if is_first_of_mlp(name):
        return 0.5 if tail else 1
    if parent in ('c_proj', 'fc2') and '.attnpool.' not in name or '.output.dense.' in name and '.attention.' not in name or parent == 'wo':
        return 150 if tail else 5
    return 2 if parent in ('conv1', 'patch_embedding') or 'patch_embed.proj' in name else 1


def randomise(model, generator, dtype, tail):
    """Random values for every parameter and persistent buffer, rounded to `dtype`."""
    def uniform(shape, low, high):
        return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low

    def normal(shape, std):
        return torch.randn(shape, generator=generator, device=generator.device) * std

    for name, tensor in model.state_dict().items():
        shape = tensor.shape
        leaf, parent = kind(name)
        if name in ('logit_scale', 'logit_bias') or leaf == 'num_batches_tracked':
            value = tensor.clone()
        elif leaf == 'logit_scale':                     # of scaled cosine attention, clamped at log(100) ~ 4.6
            value = uniform(shape, 0.5, 5.5)
        elif leaf == 'head_scale':
            value = uniform(shape, 0.4, 1.6)
        elif leaf in ('gamma', 'gamma_1', 'gamma_2'):                           # LayerScale
            value = uniform(shape, 0.3, 1.2)
        elif leaf.startswith('lambda_'):                # of differential attention: e to the power of a sum of products
            value = normal(shape, 0.5)
        elif leaf == 'freqs':                           # of rotary positions, in radians a patch
            value = normal(shape, 0.5)
        elif leaf == 'running_mean':
            value = normal(shape, 0.3)
        elif leaf == 'running_var':
            value = uniform(shape, 0.5, 1.5)
        elif is_norm(leaf, parent, tensor):
            value = uniform(shape, 0.8, 1.2) if leaf == 'weight' else uniform(shape, -0.3, 0.3)
        elif leaf.endswith('bias'):                     # those of an MLP as in trained models, mostly off
            value = uniform(shape, -0.3, 0.3) - (3 if tail else 1) * is_first_of_mlp(name)
        elif 'embed' in leaf or leaf in ('cls_emb', 'query', 'latent', 'probe') or parent == 'embed_tokens' or 'embedding' in parent and parent != 'patch_embedding':
            value = normal(shape, 1.5 if parent == 'word_embeddings' else 0.5)
        elif leaf in ('proj', 'text_projection') and tensor.ndim == 2:
            value = normal(shape, shape[0] ** -0.5)
        else:
            value = normal(shape, gain_of(name, tail) * (tensor[0].numel() ** -0.5))
        tensor.copy_(value.to(dtype).to(tensor.dtype))


def neutral(name, tensor):
    """The value with which a tensor does nothing."""
    leaf, parent = kind(name)
    is_scale = leaf in ('gamma', 'gamma_1', 'gamma_2', 'head_scale', 'running_var') or leaf == 'weight' and tensor.ndim == 1 and parent != ''
    return torch.ones_like(tensor) if is_scale else torch.zeros_like(tensor)
