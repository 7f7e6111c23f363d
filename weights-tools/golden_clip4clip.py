#!/usr/bin/env python3
"""Golden data for video towers: tiny models with random weights, computed by CLIP4Clip's own code (ArrowLuo/CLIP4Clip).

    git clone https://github.com/ArrowLuo/CLIP4Clip
    python3 weights-tools/golden_clip4clip.py CLIP4Clip

Nothing of it is kept but what it computes. For each configuration in tests/golden/videos/
    NAME.safetensors            the state dict as CLIP4Clip saves it: halves and floats, names under clip. and beside it
    NAME.bin                    the same as torch.save writes it, of one configuration (pytorch_model.bin.N)
    NAME.json                   {"model_cfg", "preprocess_cfg"}, the schema of open_clip_config.json
    NAME.expected.safetensors   pixels [frames, 3, H, W] F16 of all videos one after the other, lengths [videos] I32,
                                frame_features [frames, dim], video_features [videos, dim] (of length 1), image_features
                                [frames, dim] (each picture alone), logit_scale (e to it), tokens [n, context] I32, text_features [n, dim]
    index.json                  the list of {name, temporal, notes}

Every parameter is random and rounded to the stored type before anything is computed, in fp32. The script proves that the data can
tell right from wrong, and stops where it cannot: padding changes nothing; the order of frames matters where it should;
and every tensor of the video tower moves the vectors."""
import hashlib
import json
import logging
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from golden.checks import VISIBLE, median_distance, moved
from golden.inputs import make_pixels, make_tokens
from golden.weights import neutral, randomise

FOLDER = Path(__file__).resolve().parent.parent / 'tests' / 'golden' / 'videos'
LENGTHS = (12, 5, 1)
CONTEXT, VOCABULARY, PICTURE, PATCH, WIDTH = 16, 96, 12, 6, 64


@dataclass
class Golden:
    name: str
    temporal: str
    patches: str = '2d'
    dim: int = 64
    layers: int = 2            # of the transformer over frames
    notes: str = ''
    is_bin: bool = False


GOLDENS = [
    Golden('clip4clip-meanP', 'meanP', notes='CLIP under clip. and nothing beside it'),
    Golden('clip4clip-seqTransf', 'seqTransf', dim=128, layers=1, notes='two heads'),
    Golden('clip4clip-seqLSTM', 'seqLSTM', notes='positions of frames that are not used'),
    Golden('clip4clip-meanP-3d', 'meanP', '3d', notes='patches of three frames'),
    Golden('clip4clip-seqTransf-3d', 'seqTransf', '3d', is_bin=True),
    Golden('clip4clip-seqLSTM-3d', 'seqLSTM', '3d'),
]


def reference(folder):
    """CLIP4Clip's classes. What it downloads with is not needed."""
    for name in ('boto3', 'botocore', 'botocore.exceptions', 'requests'):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules['botocore.exceptions'].ClientError = Exception
    sys.path.insert(0, folder)
    logging.disable()
    from modules.modeling import CLIP4Clip
    from modules.module_clip import CLIP
    from modules.module_cross import CrossConfig
    return CLIP4Clip, CLIP, CrossConfig


def make_model(golden, classes):
    CLIP4Clip, CLIP, CrossConfig = classes
    clip = CLIP(golden.dim, PICTURE, 1, WIDTH, PATCH, CONTEXT, VOCABULARY, golden.dim, golden.dim // 64, 1)
    task = types.SimpleNamespace(max_words=4, max_frames=12, loose_type=True, local_rank=0, linear_patch=golden.patches,
                                 sim_header=golden.temporal, cross_num_hidden_layers=golden.layers)
    cross = CrossConfig(VOCABULARY, hidden_size=golden.dim, max_position_embeddings=CONTEXT, num_hidden_layers=golden.layers)
    return CLIP4Clip(cross, clip.state_dict(), task).eval()


@torch.no_grad()
def video_features(model, pixels, length=None):
    """Of one video's pixels [frames, 3, H, W]: its vector, and those of its frames. `length`: the others are padding."""
    frames = len(pixels)
    mask = (torch.arange(frames) < (length or frames)).long()[None]
    hidden = model.get_visual_output(pixels, mask, shaped=True, video_frame=frames)
    # The logits of texts that are the axes are the coordinates of the video's vector.
    logits = model._loose_similarity(torch.eye(hidden.shape[-1])[:, None], hidden, None, mask, sim_header=model.sim_header)
    return logits[:, 0] / model.clip.logit_scale.exp(), hidden[0]


def all_videos(model, videos):
    return torch.stack([video_features(model, video)[0] for video in videos])


def cannot_matter(golden, name):
    """What meets only texts, what patches of three frames replace, and the positions that an LSTM does not look at."""
    return not name.startswith(('clip.visual.', 'transformerClip.', 'lstm_visual.', 'frame_position')) \
        or golden.patches == '3d' and name == 'clip.visual.conv1.weight' \
        or golden.temporal == 'seqLSTM' and name.startswith('frame_position')


def check(golden, model, videos, expected):
    scale = median_distance(expected)
    if not expected.isfinite().all():
        sys.exit(f'{golden.name}: the vectors are not finite')
    for video, vector in zip(videos, expected):
        padded = torch.cat([video, torch.zeros(3, *video.shape[1:])])
        if moved(vector[None], video_features(model, padded, len(video))[0][None], scale) > 1e-4:
            sys.exit(f'{golden.name}: padding changes the vector of {len(video)} frames')
    backwards = moved(expected[:1], all_videos(model, [videos[0].flip(0)]), scale)
    if (backwards < VISIBLE) != (golden.temporal == 'meanP' and golden.patches == '2d'):
        sys.exit(f'{golden.name}: frames in the other order move the vector by {backwards:.2e}')
    weakest = ('', float('inf'))
    for name, tensor in model.state_dict().items():
        if cannot_matter(golden, name):
            continue
        kept = tensor.clone()
        tensor.copy_(neutral(name, tensor))
        effect = moved(expected, all_videos(model, videos), scale)
        tensor.copy_(kept)
        if effect != effect:            # no length is left to divide by
            continue
        weakest = min(weakest, (name, effect), key=lambda pair: pair[1])
        if effect < VISIBLE:
            sys.exit(f'{golden.name}: {name} moves the vectors by only {effect:.2e} of their median distance')
    cosine = (expected @ expected.T)[torch.triu_indices(3, 3, 1).unbind()]
    print(f'{golden.name:24} cosines {" ".join(f"{c:5.2f}" for c in cosine)}  least effect {weakest[1]:.3f} of {weakest[0]}', flush=True)


def config_of(golden):
    size = dict(image_size=PICTURE, patch_size=PATCH, width=WIDTH, layers=1)
    text = dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=golden.dim, heads=golden.dim // 64, layers=1)
    preprocess = {'size': [PICTURE, PICTURE], 'mode': 'RGB', 'mean': list(open_clip.OPENAI_DATASET_MEAN),
                  'std': list(open_clip.OPENAI_DATASET_STD), 'interpolation': 'bicubic', 'resize_mode': 'shortest', 'fill_color': 0}
    return {'model_cfg': {'embed_dim': golden.dim, 'vision_cfg': size, 'text_cfg': text}, 'preprocess_cfg': preprocess}


def save(tensors, path, metadata=None):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    path.chmod(0o644)   # safetensors makes files that only their owner reads


@torch.no_grad()
def make_golden(golden, classes):
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(golden.name.encode()).digest()[:7], 'little'))
    model = make_model(golden, classes)
    randomise(model, generator, torch.float32, False)       # a parameter in halves rounds what is copied into it
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.float()
    pixels = make_pixels(sum(LENGTHS), PICTURE, generator)
    videos = pixels.split(LENGTHS)
    tokens = make_tokens(8, dict(context_length=CONTEXT, vocab_size=VOCABULARY), generator)
    expected = all_videos(model, videos)
    check(golden, model, videos, expected)
    FOLDER.mkdir(parents=True, exist_ok=True)
    save(state, FOLDER / f'{golden.name}.safetensors', {'format': 'pt'})
    if golden.is_bin:
        torch.save(state, FOLDER / f'{golden.name}.bin')
    save({
        'pixels': pixels.half(), 'lengths': torch.tensor(LENGTHS, dtype=torch.int32), 'video_features': expected,
        'frame_features': torch.cat([video_features(model, video)[1] for video in videos]),
        'image_features': torch.cat([model.clip.encode_image(picture[None], video_frame=1) for picture in pixels]),
        'logit_scale': model.clip.logit_scale.exp(), 'tokens': tokens.to(torch.int32), 'text_features': model.clip.encode_text(tokens),
    }, FOLDER / f'{golden.name}.expected.safetensors')
    (FOLDER / f'{golden.name}.json').write_text(json.dumps(config_of(golden), indent=2) + '\n')


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    classes = reference(sys.argv[1])
    for golden in GOLDENS:
        make_golden(golden, classes)
    lines = ',\n'.join('  ' + json.dumps({'name': g.name, 'temporal': g.temporal, 'notes': g.notes}) for g in GOLDENS)
    (FOLDER / 'index.json').write_text(f'[\n{lines}\n]\n')


if __name__ == '__main__':
    main()
