"""A golden configuration, and the model that OpenCLIP makes of it."""
import copy
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from unittest.mock import patch

import open_clip
import timm
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from timm.models import vision_transformer_hybrid
from timm.models.vitamin import VitCfg
from transformers import AutoConfig, ChineseCLIPModel

VISION = dict(image_size=18, patch_size=6, width=24, layers=2, head_width=12, mlp_ratio=2.0)
TEXT = dict(context_length=12, vocab_size=96, width=24, heads=2, layers=2, mlp_ratio=2.0)
# The tower that a configuration is not about, to keep the files small.
SMALL_VISION = {**VISION, 'width': 16, 'head_width': 8, 'layers': 1}
SMALL_TEXT = {**TEXT, 'width': 16, 'layers': 1}

CONVOLUTIONAL = ('convnext', 'test_convnext', 'fastvit')   # classes of timm's that have no argument img_size

# OpenCLIP 3.3.0 multiplies 4-d tensors with torch.bmm in scaled cosine attention, which only takes 3-d ones, so that the option
# fails as released. matmul is what it means, and the same on 3-d tensors.
torch.bmm = torch.matmul


@dataclass
class Golden:
    name: str
    options: str                                   # what it covers, for people
    vision: dict = field(default_factory=dict)     # over VISION, or all of it for a tower of another kind
    text: dict = field(default_factory=dict)       # over TEXT, or all of it for a tower of another kind
    model: dict = field(default_factory=dict)      # over {"embed_dim": 24}
    dtype: torch.dtype = torch.float16             # of the stored weights
    towers: tuple = ('image', 'text')              # expected; stored, too, if there is only one
    names: object = None                           # state dict -> state dict, as other writers name things
    tail: bool = False                             # MLP inputs in GELU's left tail, where its variants differ visibly
    notes: str = ''
    prepare: object = None                         # (model, inputs, generator, dtype): what random weights need besides
    inputs: int = 8
    # The same towers as somebody else computes and stores them: a config's model, and its state dict under OpenCLIP's names.
    other: tuple = ()

    def is_foreign(self, tower):
        """The tower is not OpenCLIP's own transformer."""
        section = self.vision if tower == 'image' else self.text
        return 'timm_model_name' in section or 'hf_model_name' in section or isinstance(section.get('layers'), list)

    def config(self):
        vision = SMALL_VISION if self.text and not self.vision else VISION
        text = SMALL_TEXT if self.vision and not self.text else TEXT
        config = {'embed_dim': 24, **self.model, 'vision_cfg': {**({} if self.is_foreign('image') else vision), **self.vision},
                  'text_cfg': {**({} if self.is_foreign('text') else text), **self.text}}
        if config.get('multimodal_cfg') is not None:
            config['multimodal_cfg'] = {**{key: config['text_cfg'][key] for key in ('context_length', 'vocab_size')
                                           if key in config['text_cfg']}, **config['multimodal_cfg']}
        return copy.deepcopy(config)                # nobody changes another's sections


def narrow_stem(width):
    """MobileCLIP-B's stem, whose widths are written where it is made, in the proportion that it has there."""
    stem = vision_transformer_hybrid.ConvStem
    return patch.object(vision_transformer_hybrid, 'ConvStem',
                        lambda channels, **options: stem(channels=(width // 4, width // 4, width), **options))


def small_resnet(stack, args):
    """The ResNets before a hybrid's blocks with so many blocks and channels, which timm writes where it makes them."""
    layers = {'layers': args.pop('layers')} if 'layers' in args else {}
    channels = args.pop('channels', None)
    if not layers and not channels:
        return
    v2 = vision_transformer_hybrid.ResNetV2
    wide = dict(channels=channels, stem_chs=channels[0] // 4) if channels else {}
    stack.enter_context(patch.object(vision_transformer_hybrid, 'ResNetV2', lambda **options: v2(**{**options, **layers, **wide})))
    narrow = dict(channels=[count // 4 for count in channels], stem_width=channels[0] // 8) if channels else {}
    for name in ('resnet26d', 'resnet50d'):
        d = getattr(vision_transformer_hybrid, name)
        stack.enter_context(patch.object(vision_transformer_hybrid, name, partial(d, **layers, **narrow)))


def build(config):
    """The model as open_clip.factory.create_model builds it from a config, in eval mode.

    Two keys are halfclip's own, because names of published models stand for large ones only: `vision_cfg.timm_model_args`, over
    the arguments that timm's name stands for, and `text_cfg.hf_config`, in place of the config.json that the name stands for."""
    config = copy.deepcopy(config)
    vision, text = config['vision_cfg'], config['text_cfg']
    custom = config.pop('custom_text', False) or 'hf_model_name' in text
    model_class = (CoCa if 'multimodal_cfg' in config else CustomTextCLIP) if custom else CLIP
    with ExitStack() as stack:
        if 'timm_model_name' in vision:
            # In OpenCLIP's configs image_size is always the size that the name stands for; convolutions take any.
            sized = {} if vision['timm_model_name'].startswith(CONVOLUTIONAL) else {'img_size': vision['image_size']}
            args = {**sized, **vision.pop('timm_model_args', {})}
            if vision['timm_model_name'] == 'vit_base_mci_224':
                stack.enter_context(narrow_stem(args.get('embed_dim', 768)))
            if vision['timm_model_name'].startswith('vit_'):
                small_resnet(stack, args)
            if 'embed_cfg' in args:
                args['embed_cfg'] = VitCfg(**args['embed_cfg'], head_type='1d')
            create = timm.create_model
            stack.enter_context(patch.object(timm, 'create_model', lambda name, **options: create(name, **options, **args)))
        if 'hf_model_name' in text:
            text['hf_model_pretrained'] = False
            hf_config = AutoConfig.for_model(**text.pop('hf_config'))
            stack.enter_context(patch.object(open_clip.hf_model.AutoConfig, 'from_pretrained', lambda name: hf_config))
        return model_class(**config).eval()


def is_image_tower(model):
    """An image tower of transformers alone, and not a model of two."""
    return not hasattr(model, 'get_image_features') and not hasattr(model, 'encode_image')


def features(model, tower, inputs):
    if hasattr(model, 'get_image_features'):       # transformers' CLIPModel and SiglipModel
        masked = {}
        if isinstance(model, ChineseCLIPModel):        # where it is not told, it sees padding
            masked = {'attention_mask': (inputs != model.config.text_config.pad_token_id).long()}
        output = model.get_image_features(inputs) if tower == 'image' else model.get_text_features(inputs, **masked)
        return getattr(output, 'pooler_output', output)
    if is_image_tower(model):
        return model(inputs).pooler_output
    if isinstance(model, CoCa):
        return model.encode_image(inputs, normalize=False) if tower == 'image' else model.encode_text(inputs, normalize=False)
    output = model.encode_image(inputs) if tower == 'image' else model.encode_text(inputs)
    return output[0] if isinstance(output, tuple) else output


def in_tower(name, tower):
    image = name.startswith(('visual.', 'vision_model.', 'visual_projection.'))
    other = name in ('logit_scale', 'logit_bias') or name.startswith('text_decoder.') \
        or name.endswith(('position_ids', 'num_batches_tracked'))
    return not other and image == (tower == 'image')
