#!/usr/bin/env python3
"""Trains halfclip-emoji, a small CLIP that finds emoji by words, from packaged data, with OpenCLIP's own classes.

    apt-get install fonts-noto-color-emoji unicode-cldr-core
    pip install -r weights-tools/requirements.txt
    python3 weights-tools/train_emoji.py [--steps N] [--batch N] [--threads N] [--work FOLDER] [--out FOLDER]

On a GPU where there is one, else on the CPU in bf16 (an hour on one core that knows AMX). State is kept in the
work folder; the same command goes on where it stopped, also with another number of steps (the released weights ran the first 500 steps
on the schedule of --steps 5000, the rest on the default one). At the end the averaged weights, rounded to fp16, are written to
tests/golden/emoji and evaluated as `evaluate_emoji.py` does.

Licences of the data: Noto colour emoji font, SIL Open Font License 1.1 (Google; the training pictures are drawn from it);
CLDR annotations, Unicode licence (Unicode, Inc.; the phrases are made from them). The weights contain neither, and are
under this repository's licence.

How it learns. A batch is B pictures, each with two texts: one that names the emoji, one made of its keywords or categories. A
text is right for every picture in the batch that it is true of (all its words are among the emoji's), so the contrastive loss has
soft targets shared by all that is right. Some pictures show two emoji, with texts such as "X next to Y".
"""
import argparse
import math
import random
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import evaluate_emoji
from emoji_augment import Augmenter, glyph_levels
from emoji_data import hold_out, load_emoji, words
from emoji_model import (GOLDEN, check_fast_towers, encode_image, encode_text, new_model, new_tokenizer, normalize_pixels,
                         save_model)

NAME_TEMPLATES = ('{}', '{}', '{}', '{}', 'a picture of {}', 'a photo of a {}', 'an image of a {}', 'a {}', '{} emoji', 'the {} emoji',
                  'an emoji of a {}', 'emoji: {}', 'a drawing of a {}', 'this is a {}')
KEYWORD_TEMPLATES = ('{}', '{}', '{}', '{}', '{} emoji', 'a picture of {}', 'something with {}', 'a photo of {}', 'an emoji for {}')
PAIR_TEMPLATES = ('{} and {}', 'a {} and a {}', '{} next to {}', 'a {} next to a {}', '{}, {}', '{} with {}', 'a picture of {} and {}',
                  '{} {}', '{} & {}')
TWO_EMOJI = 0.12              # share of pictures with two emoji
EXACT = -1                    # "attribute" of a text that names its emoji and is right for no other


class Phrases:
    """Texts about emoji, and of which emoji each is true."""

    def __init__(self, emoji):
        self.names = [self._name_forms(e.name) for e in emoji]
        known = [words(e.name).union(*map(words, e.keywords), *map(words, e.labels)) for e in emoji]
        self.terms = [list(dict.fromkeys([*e.keywords, *e.labels, *(sorted(words(e.name)) if len(words(e.name)) > 1 else ())]))
                      or [e.name] for e in emoji]
        terms = sorted(set().union(*self.terms))
        self.number = {term: i for i, term in enumerate(terms)}
        # true[i, t]: every word of term t is a word of emoji i. The last column is always true, for texts of fewer terms.
        self.true = np.array([[words(t) <= k for t in terms] + [True] for k in known])
        # Frequent terms ("face", "flag") would crowd out the others.
        weight = 1 / np.sqrt(self.true.sum(0))
        self.weights = [[weight[self.number[t]] for t in ts] for ts in self.terms]

    @staticmethod
    def _name_forms(name):
        """"flag: France" is also "France flag", "flag of France"."""
        if ': ' not in name:
            return [name]
        kind, rest = name.split(': ', 1)
        return [name, f'{kind} {rest}', f'{rest} {kind}', f'{kind} of {rest}']

    def name(self, rng, i):
        return rng.choice(self.names[i])

    def term(self, rng, i):
        return rng.choices(self.terms[i], self.weights[i])[0]

    def naming(self, rng, i):
        """A text that names emoji i: (template, parts, attributes)."""
        if rng.random() < 0.1:
            return '{}, {}', [self.name(rng, i), self.term(rng, i)], [EXACT]
        return rng.choice(NAME_TEMPLATES), [self.name(rng, i)], [EXACT]

    def describing(self, rng, i):
        """A text of one to three keywords of emoji i."""
        draw = rng.random()
        terms = list(dict.fromkeys(self.term(rng, i) for _ in range(1 if draw < 0.55 else 2 if draw < 0.85 else 3)))
        template = rng.choice(KEYWORD_TEMPLATES) if len(terms) == 1 else rng.choice((' ', ' ', ', ')).join(['{}'] * len(terms))
        return template, terms, [self.number[t] for t in terms]

    def pair(self, rng, i, j, term):
        """A text about pictures of emoji i and j."""
        part = self.term if term else self.name
        return rng.choice(PAIR_TEMPLATES), [part(rng, i), part(rng, j)], [EXACT]


class Batches(torch.utils.data.IterableDataset):
    """Endless batches of (pixels, tokens [2B, L], right [B, 2B], ignored [B, 2B]), a function of the seed."""

    def __init__(self, emoji, levels, batch, seed, device='cpu'):
        self.emoji, self.levels, self.batch, self.seed, self.device = emoji, levels, batch, seed, device

    def __iter__(self):
        torch.set_num_threads(1)
        rng, augmenter = random.Random(self.seed), Augmenter(self.levels, self.seed, self.device)
        phrases, tokenizer = Phrases(self.emoji), new_tokenizer()
        encode = lru_cache(maxsize=None)(tokenizer.encode)
        order = []
        while True:
            if len(order) < self.batch:
                order = rng.sample(range(len(self.emoji)), len(self.emoji)) + order
            first = np.array([order.pop() for _ in range(self.batch)])
            second = np.array([rng.randrange(len(self.emoji)) if rng.random() < TWO_EMOJI else -1 for _ in first])
            texts = []
            for make, term in ((phrases.naming, False), (phrases.describing, True)):
                texts += [make(rng, i) if j < 0 else phrases.pair(rng, i, j, term) for i, j in zip(first, second)]
            right, ignored = self._truth(phrases, first, second, texts)
            yield augmenter.draw(first, second), self._tokens(tokenizer, encode, texts), right, ignored

    def _truth(self, phrases, first, second, texts):
        always, owner = phrases.true.shape[1] - 1, np.tile(np.arange(len(first)), 2)
        exact = np.array([attributes[0] == EXACT for *_, attributes in texts])
        needed = np.array([(a + [always] * 3)[:3] if a[0] != EXACT else [always] * 3 for *_, a in texts])
        two = second >= 0
        true = lambda who: phrases.true[who][:, needed].all(-1)
        named = first[:, None] == first[owner]
        single = np.where(exact, named & ~two[owner], true(first)) & ~two[:, None]
        right = single | (np.arange(len(first))[:, None] == owner)
        # A text about one emoji is half true of a picture of two.
        about = np.where(exact, named | (second[:, None] == first[owner]), true(first) | true(second))
        ignored = two[:, None] & ~two[owner] & about & ~right
        return torch.from_numpy(right), torch.from_numpy(ignored)

    def _tokens(self, tokenizer, encode, texts):
        rows = []
        for template, parts, _ in texts:
            pieces, ids = template.split('{}'), []
            for piece, part in zip(pieces, [*parts, '']):
                ids += encode(piece) + encode(part)
            rows.append([tokenizer.sot_token_id, *ids[:tokenizer.context_length - 2], tokenizer.eot_token_id])
        tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, ids in zip(tokens, rows):
            row[:len(ids)] = torch.tensor(ids)
        return tokens


def encode_texts(model, tokens, groups=4):
    """Texts of like length go together, so that little is computed on padding."""
    order = tokens.argmax(-1).argsort()
    features = [encode_text(model, tokens[part, :int(tokens[part].argmax(-1).max()) + 1]) for part in order.chunk(groups)]
    return torch.cat(features)[order.argsort()]


def contrastive_loss(image, text, scale, right, ignored):
    """Cross entropy both ways, its target shared evenly by all that is right."""
    logits = (scale * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T).masked_fill(ignored, -1e4)
    right = right.float()
    to_text = -(right / right.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    to_image = -(right / right.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (to_text + to_image) / 2


def train(args):
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    emoji, pictures = load_emoji()
    pairs = sum(len(e.keywords) for e in emoji)
    held = hold_out(emoji)
    print(f'{len(emoji)} emoji, {pairs} (emoji, keyword) pairs, {len(held)} of them held out', flush=True)

    model = new_model().to(device)
    check_fast_towers(model)
    print(f'{sum(p.numel() for p in model.parameters()):,} parameters', flush=True)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([{'params': matrices, 'weight_decay': args.weight_decay}, {'params': vectors, 'weight_decay': 0.0}],
                                  lr=args.lr, betas=(0.9, 0.98), fused=True)
    average = [p.detach().clone() for p in model.parameters()]

    start, args.work = 0, Path(args.work)
    args.work.mkdir(parents=True, exist_ok=True)
    state_file = args.work / 'state.pt'
    if state_file.exists():
        state = torch.load(state_file, map_location=device)
        model.load_state_dict(state['model'])
        optimizer.load_state_dict(state['optimizer'])
        average, start = state['average'], state['step']

    def averaged():
        copy = new_model()
        copy.load_state_dict(model.state_dict())
        with torch.no_grad():
            for p, a in zip(copy.parameters(), average):
                p.copy_(a)
        return copy.eval()

    # On a CPU a second process draws the pictures; on a GPU they are drawn there.
    batches = Batches(emoji, glyph_levels(pictures), args.batch, args.seed + start, device)
    loader = iter(batches if device == 'cuda' else
                  torch.utils.data.DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4))
    began, running = time.time(), None
    for step in range(start, args.steps):
        rate = args.lr * min((step + 1) / args.warmup, 0.5 + 0.5 * math.cos(math.pi * step / args.steps))
        for group in optimizer.param_groups:
            group['lr'] = rate
        pixels, tokens, right, ignored = (t.to(device, non_blocking=True) for t in next(loader))
        with torch.autocast(device, torch.bfloat16):
            image, text = encode_image(model, normalize_pixels(pixels)), encode_texts(model, tokens)
        loss = contrastive_loss(image, text, model.logit_scale.exp(), right, ignored)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
            torch._foreach_lerp_(average, list(model.parameters()), 1 - min(args.average, (step + 1) / (step + 10)))
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        done = step + 1
        if done % 50 == 0:
            speed = (done - start) * args.batch / (time.time() - began)
            print(f'step {done}/{args.steps}  loss {running:.3f}  scale {model.logit_scale.exp().item():.1f}  '
                  f'{speed:.0f} pictures/s  {time.time() - began:.0f} s', flush=True)
        if done % args.save == 0 or done == args.steps:
            torch.save({'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'average': average, 'step': done}, state_file)
            save_model(averaged(), args.work)
            evaluate_emoji.report(args.work, quick=done < args.steps)
    save_model(averaged(), Path(args.out))
    print(f'wrote {args.out} after {time.time() - began:.0f} s')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=3600)
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--warmup', type=int, default=300, help='steps until the learning rate is full')
    parser.add_argument('--weight-decay', type=float, default=0.1)
    parser.add_argument('--average', type=float, default=0.995, help='decay of the averaged weights')
    parser.add_argument('--save', type=int, default=500, help='steps between savings and quick evaluations')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--work', default='/tmp/halfclip-emoji')
    parser.add_argument('--out', default=str(GOLDEN))
    train(parser.parse_args())


if __name__ == '__main__':
    main()
