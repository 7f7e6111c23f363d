#!/usr/bin/env python3
"""What halfclip-emoji finds in pictures and for words that it was not trained on, in fp32 and at int8.

    python3 weights-tools/evaluate_emoji.py [--weights FOLDER] [--golden | QUERY ...]

Every emoji is drawn once by emoji_pictures.py (another generator than training's). Queries rank all these pictures:
    names      each emoji's name; right is that emoji alone
    keywords   each (emoji, keyword) pair kept out of training; right is that emoji alone. "filtered" leaves the emoji that have
               the keyword in training out of the ranking, as they are right as well and fill the first places of frequent keywords
Recall at k is the share of queries whose right picture is among the first k. --golden only writes tests/golden/emoji/expected.safetensors.
"""
import argparse
import copy
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from emoji_data import hold_out, load_emoji
from emoji_model import GOLDEN, load_model, new_preprocess, new_tokenizer
from emoji_pictures import draw_one

SEED = 777          # of the pictures; training's are drawn by other code altogether


@lru_cache(maxsize=1)
def evaluation_set():
    """(emoji without the held-out keywords, held-out pairs, pictures uint8 [n, 64, 64, 3])."""
    emoji, glyphs = load_emoji()
    held = hold_out(emoji)
    rng = np.random.default_rng(SEED)
    # The first steps of OpenCLIP's transform: resize and crop. The rest does not change a picture of that size.
    resize = new_preprocess().transforms[:2]
    small = []
    for glyph in glyphs:
        picture = draw_one(glyph, rng)
        for step in resize:
            picture = step(picture)
        small.append(np.asarray(picture))
    return emoji, held, np.stack(small)


@torch.no_grad()
def image_features(model, pictures, size=128):
    from PIL import Image
    preprocess = new_preprocess()
    pixels = torch.stack([preprocess(Image.fromarray(p)) for p in pictures])
    return torch.cat([model.encode_image(part) for part in pixels.split(size)])


@torch.no_grad()
def text_features(model, texts, size=128):
    tokens = new_tokenizer()(list(texts))
    return torch.cat([model.encode_text(part) for part in tokens.split(size)])


def ranks(queries, gallery, right, ignore=None):
    """Rank (from 0) of gallery[right[i]] for queries[i]; ties count against it."""
    scores = F.normalize(queries, dim=-1) @ F.normalize(gallery, dim=-1).T
    own = scores.gather(1, right[:, None])
    if ignore is not None:
        scores = scores.masked_fill(ignore, -9)
    better = scores >= own
    better[torch.arange(len(right)), right] = False
    return better.sum(1)


def recall(found, k):
    return (found < k).float().mean().item()


# Quantisation as the encoder does it: the inputs and weights of the four matrices of every block, and the token table by rows.

def _round_weights(w, limit):
    scale = w.abs().amax(1, keepdim=True).clamp(min=1e-12) / limit
    return (w / scale).round() * scale


def _asymmetric7(x):
    """x ~ s (q - z) with q in 0..127, for each token."""
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    scale = ((high - low) / 127).clamp(min=1e-12)
    zero = (-low / scale).round()
    return ((x / scale).round() + zero).clamp(0, 127).sub(zero) * scale


def _symmetric8(x):
    scale = (x.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-12)
    return (x / scale).round() * scale


SCHEMES = {'int8 weights, 7-bit asymmetric activations': (127, _asymmetric7),
           '7-bit weights, 8-bit symmetric activations': (63, _symmetric8)}


def quantized(model, limit, activation):
    """A copy of the model that computes as an int8 encoder does, but for the order of additions."""
    model = copy.deepcopy(model)
    model.token_embedding.weight.data = _round_weights(model.token_embedding.weight.data, 127)
    for block in [*model.visual.transformer.resblocks, *model.transformer.resblocks]:
        attn = block.attn
        attn.in_proj_weight.data = _round_weights(attn.in_proj_weight.data, limit)
        for linear in (attn.out_proj, block.mlp.c_fc, block.mlp.c_proj):
            linear.weight.data = _round_weights(linear.weight.data, limit)
        for linear in (block.mlp.c_fc, block.mlp.c_proj):
            linear.register_forward_pre_hook(lambda _, x: (activation(x[0]),))

        # nn.MultiheadAttention multiplies by out_proj's weight without calling the module, so attention is spelt out.
        def attend(x, _k, _v, attn_mask=None, attn=attn, **_):
            batch, tokens, width = x.shape
            q, k, v = F.linear(activation(x), attn.in_proj_weight, attn.in_proj_bias).view(
                batch, tokens, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask).transpose(1, 2).reshape(batch, tokens, width)
            return F.linear(activation(mixed), attn.out_proj.weight, attn.out_proj.bias), None
        attn.forward = attend
    return model


def figures(model):
    """Recall of a model: a dict of (query, figure) -> value, and its features of pictures and names."""
    emoji, held, pictures = evaluation_set()
    images, names = image_features(model, pictures), text_features(model, [e.name for e in emoji])
    keywords = sorted({k for _, k in held})
    features = text_features(model, keywords)[[keywords.index(k) for _, k in held]]
    right = torch.tensor([i for i, _ in held])
    known = torch.tensor([[k in e.keywords for e in emoji] for _, k in held])
    everyone = torch.arange(len(emoji))
    found = {'names': ranks(names, images, everyone), 'keywords': ranks(features, images, right),
             'keywords, filtered': ranks(features, images, right, known), 'pictures to names': ranks(images, names, everyone)}
    return {(query, k): recall(r, k) for query, r in found.items() for k in (1, 10)}, images, names


def show(title, result):
    print(f'{title:46s}' + '  '.join(f'{q} R@1 {result[q, 1]:.3f} R@10 {result[q, 10]:.3f}' for q in dict.fromkeys(q for q, _ in result)),
          flush=True)


def report(folder, quick=False):
    model = load_model(Path(folder))
    result, images, names = figures(model)
    show('fp32 arithmetic, weights stored as fp16', result)
    if quick:
        return
    for title, (limit, activation) in SCHEMES.items():
        other, images8, names8 = figures(quantized(model, limit, activation))
        show(title, other)
        for kind, a, b in (('pictures', images, images8), ('names', names, names8)):
            cosine = F.cosine_similarity(a, b)
            print(f'    cosine with fp32, {kind}: mean {cosine.mean():.5f}, least {cosine.min():.5f}')


def search(folder, queries, top=5):
    model = load_model(Path(folder))
    emoji, _, pictures = evaluation_set()
    scores = F.normalize(text_features(model, queries), dim=-1) @ F.normalize(image_features(model, pictures), dim=-1).T
    for query, row in zip(queries, scores):
        best = row.topk(top)
        print(f'{query}: ' + ', '.join(f'{emoji[i].name} {s:.2f}' for s, i in zip(best.values.tolist(), best.indices.tolist())))


def write_golden(folder, count=128):
    """expected.safetensors: OpenCLIP's own features, in fp32 from the stored weights, for the accuracy tests.

        pixels              U8  [count, 64, 64, 3]   pictures, to go through the preprocessing as they are
        pixel_emoji         I32 [count]              which emoji each shows
        image_features      F32 [count, dim]         not normalised
        all_image_features  F16 [N, dim]             normalised, one picture of every emoji
        text_features       F16 [N, dim]             normalised, every emoji's name
        keyword_pairs       I32 [m, 2]               held-out pairs: emoji, keyword
        __metadata__        names, keywords: JSON lists
    """
    model = load_model(folder)
    emoji, held, pictures = evaluation_set()
    keywords = sorted({k for _, k in held})
    chosen = np.sort(np.random.default_rng(SEED).choice(len(emoji), count, replace=False))
    images = image_features(model, pictures)
    names = [e.name for e in emoji]
    save_file({
        'pixels': torch.from_numpy(pictures[chosen].copy()),
        'pixel_emoji': torch.from_numpy(chosen.astype(np.int32)),
        'image_features': images[torch.from_numpy(chosen)].contiguous(),
        'all_image_features': F.normalize(images, dim=-1).half(),
        'text_features': F.normalize(text_features(model, names), dim=-1).half(),
        'keyword_pairs': torch.tensor([[i, keywords.index(k)] for i, k in held], dtype=torch.int32),
    }, folder / 'expected.safetensors', metadata={'names': json.dumps(names), 'keywords': json.dumps(keywords)})
    (folder / 'expected.safetensors').chmod(0o644)   # safetensors makes files that only their owner reads


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--weights', type=Path, default=GOLDEN)
    parser.add_argument('--golden', action='store_true')
    parser.add_argument('queries', nargs='*')
    args = parser.parse_args()
    if args.golden:
        write_golden(args.weights)
    elif args.queries:
        search(args.weights, args.queries)
    else:
        report(args.weights)


if __name__ == '__main__':
    main()
