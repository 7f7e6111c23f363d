"""Pixels and token ids."""
import torch


def make_pixels(n, size, generator):
    height, width = size if isinstance(size, list) else (size, size)
    pixels = torch.randn((n, 3, height, width), generator=generator)
    # A broad gradient besides the noise: real pictures are not white.
    slope = torch.randn((n, 3, 2), generator=generator)
    pixels = pixels * 0.7 + slope[..., :1, None] * torch.linspace(-1, 1, height)[:, None] \
        + slope[..., 1:, None] * torch.linspace(-1, 1, width)
    return pixels.half().float()


def make_tokens(n, text, generator):
    """Token ids [n, context_length] as tokenizers make them (start, ids, end, zeros), and what they could make at worst:
    an empty text, one that fills the context, a second end token, padding in the middle, the eos missing or twice."""
    length, vocab = text['context_length'], text['vocab_size']
    start, end = vocab - 2, vocab - 1
    pad = text.get('pad_id', 0)
    eos = text.get('eos_id', 2)
    tokens = torch.full((n, length), pad)
    for i in range(n):
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
        tokens[:, 0] = torch.randperm(vocab, generator=generator)[:n]   # all that such a vector depends on
    if text.get('embed_cls'):
        tokens[7] = pad
    return tokens
