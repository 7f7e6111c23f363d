"""halfclip-emoji's configuration and files, and a quicker way through OpenCLIP's modules for training.

The model is open_clip.model.CLIP, so that OpenCLIP itself loads it, runs it and stays its reference. Its vocabulary is CLIP's
own with the first MERGES of its merges, so that OpenCLIP's SimpleTokenizer, given the shortened list, is its tokenizer.
"""
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer, default_bpe
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import load_file, save_file

MERGES = 4000
CONFIG = {
    'model_cfg': {
        'embed_dim': 192,
        'vision_cfg': {'image_size': 64, 'layers': 8, 'width': 192, 'head_width': 64, 'patch_size': 16},
        'text_cfg': {'context_length': 32, 'vocab_size': 512 + MERGES + 2, 'width': 192, 'heads': 3, 'layers': 4},
    },
    'preprocess_cfg': {'size': 64, 'mode': 'RGB', 'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5],
                       'interpolation': 'bicubic', 'resize_mode': 'shortest', 'fill_color': 0},
}
GOLDEN = Path(__file__).resolve().parent.parent / 'tests' / 'golden' / 'emoji'


def new_model():
    cfg = CONFIG['model_cfg']
    return CLIP(embed_dim=cfg['embed_dim'], vision_cfg=cfg['vision_cfg'], text_cfg=cfg['text_cfg'])


def load_model(folder=GOLDEN):
    """The trained model in fp32, from weights stored as fp16."""
    model = new_model()
    model.load_state_dict({k: v.float() for k, v in load_file(folder / 'open_clip_model.safetensors').items()})
    return model.eval()


def save_model(model, folder=GOLDEN):
    """Writes open_clip_model.safetensors (fp16), open_clip_config.json and merges.bin."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().half().cpu().contiguous() for k, v in model.state_dict().items()}
    assert all(v.isfinite().all() for v in state.values()), 'a weight does not fit fp16'
    save_file(state, folder / 'open_clip_model.safetensors', metadata={'format': 'pt'})
    (folder / 'open_clip_model.safetensors').chmod(0o644)   # safetensors makes files that only their owner reads
    (folder / 'open_clip_config.json').write_text(json.dumps(CONFIG, indent=2) + '\n')
    tokenizer = new_tokenizer()
    pairs = [[tokenizer.encoder[a], tokenizer.encoder[b]] for a, b in sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)]
    assert len(pairs) == MERGES
    (folder / 'merges.bin').write_bytes(np.array(pairs, dtype='<u2').tobytes())


def new_tokenizer():
    """OpenCLIP's own tokenizer with the first MERGES merges."""
    lines = gzip.open(default_bpe()).read().decode('utf-8').split('\n')
    with tempfile.NamedTemporaryFile(suffix='.gz') as short:
        short.write(gzip.compress('\n'.join(lines[:1 + MERGES]).encode('utf-8')))
        short.flush()
        tokenizer = SimpleTokenizer(short.name, context_length=CONFIG['model_cfg']['text_cfg']['context_length'])
    assert tokenizer.vocab_size == CONFIG['model_cfg']['text_cfg']['vocab_size']
    return tokenizer


def new_preprocess():
    return image_transform_v2(PreprocessCfg(**CONFIG['preprocess_cfg']), is_train=False)


def normalize_pixels(pixels):
    """uint8 [n, 3, 64, 64] -> what `new_preprocess` gives for pictures of that size."""
    mean, std = (torch.tensor(CONFIG['preprocess_cfg'][k], device=pixels.device)[:, None, None] for k in ('mean', 'std'))
    return (pixels.float() / 255 - mean) / std


# The towers as plain matrix products over OpenCLIP's modules. On a CPU, attention's fused backward pass and the strided
# convolution take more time than all the rest; `check_fast_towers` holds these against OpenCLIP's own forward passes.

def _block(block, x, mask):
    a, (batch, tokens, width) = block.attn, x.shape
    q, k, v = F.linear(block.ln_1(x), a.in_proj_weight, a.in_proj_bias).view(
        batch, tokens, 3, a.num_heads, width // a.num_heads).permute(2, 0, 3, 1, 4)
    scores = torch.matmul(q * (width // a.num_heads) ** -0.5, k.transpose(-1, -2))
    if mask is not None:
        scores = scores + mask
    mixed = torch.matmul(scores.softmax(-1).to(v.dtype), v).transpose(1, 2).reshape(batch, tokens, width)
    x = x + a.out_proj(mixed)
    return x + block.mlp(block.ln_2(x))


def encode_image(model, x):
    """x: normalised [B, 3, 64, 64] -> [B, dim]."""
    v, batch = model.visual, len(x)
    patch = v.conv1.kernel_size[0]
    grid = x.shape[-1] // patch
    x = x.view(batch, 3, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5).reshape(batch, grid * grid, -1)
    x = F.linear(x, v.conv1.weight.flatten(1))
    x = torch.cat([v.class_embedding.to(x.dtype).expand(batch, 1, -1), x], 1) + v.positional_embedding
    x = v.ln_pre(x)
    for block in v.transformer.resblocks:
        x = _block(block, x, None)
    return v.ln_post(x[:, 0]) @ v.proj


def encode_text(model, tokens):
    """tokens: [B, L] with L up to the context length; causal attention makes the padding after the end token irrelevant."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    for block in model.transformer.resblocks:
        x = _block(block, x, model.attn_mask[:length, :length])
    x = model.ln_final(x[torch.arange(len(x), device=x.device), tokens.argmax(-1)])
    return x @ model.text_projection


def check_fast_towers(model):
    """Raises unless the functions above agree with OpenCLIP's own."""
    tokens = new_tokenizer()(['red apple', 'a picture of a cat and a dog']).to(model.logit_scale.device)
    pixels = torch.randn(2, 3, 64, 64, device=tokens.device)
    with torch.no_grad():
        torch.testing.assert_close(encode_image(model, pixels), model.encode_image(pixels), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(encode_text(model, tokens[:, :12]), model.encode_text(tokens), rtol=1e-3, atol=1e-4)
