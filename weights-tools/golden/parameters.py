"""Which tensors the towers of OpenCLIP's own configurations have."""
import copy
import hashlib
import json
import re
from pathlib import Path
from unittest.mock import patch

import open_clip
import torch
from open_clip.model import _build_text_tower, _build_vision_tower

from sizing.hugging_face import HUGGING_FACE, hugging_face_config


def family(config, tower):
    cfg = config['vision_cfg' if tower == 'image' else 'text_cfg']
    if tower == 'image' and cfg.get('timm_model_name'):
        return 'timm'
    if tower == 'image' and isinstance(cfg.get('layers'), list):
        return 'resnet'
    return 'hf' if tower == 'text' and cfg.get('hf_model_name') else 'openclip'


def tower_parameters(config, tower, timm_names):
    """How many tensors and numbers the tower of a config has, and the SHA-256 of its sorted lines "name 2x3\\n" (a name as in
    OpenCLIP's CLIP state dict, `visual.` before the image tower's and nothing before the text tower's; then its shape).
    Running statistics are numbers of the tower, BatchNorm's count of batches is not. Where the sizes behind a name of timm or
    Hugging Face are not in the tables of sizes.py, there is the family only."""
    cfg = copy.deepcopy(config['vision_cfg' if tower == 'image' else 'text_cfg'])
    kind = family(config, tower)
    if kind == 'timm' and cfg['timm_model_name'] not in timm_names or kind == 'hf' and cfg['hf_model_name'] not in HUGGING_FACE:
        return {'family': kind}
    if kind == 'hf':
        cfg['hf_model_pretrained'] = False
    make = _build_vision_tower if tower == 'image' else _build_text_tower
    with torch.device('meta'), patch.object(open_clip.hf_model.AutoConfig, 'from_pretrained', hugging_face_config):
        state = make(config['embed_dim'], cfg, config.get('quick_gelu', False)).state_dict()
    state = {name: tensor for name, tensor in state.items() if not name.endswith('num_batches_tracked')}
    prefix = 'visual.' if tower == 'image' else ''
    lines = sorted(f'{prefix}{name} {"x".join(map(str, tensor.shape))}\n' for name, tensor in state.items())
    return {'family': kind, 'tensors': len(lines), 'parameters': sum(tensor.numel() for tensor in state.values()),
            'sha256': hashlib.sha256(''.join(lines).encode()).hexdigest()}


def write_parameters(path):
    tables = [path.read_text() for path in (Path(__file__).resolve().parents[2] / 'src' / 'families').glob('*_sizes.inc')]
    timm_names = {name for table in tables for name in re.findall(r'^    (?:\{|ROW\()"([^"]+)"', table, re.MULTILINE)}
    lines = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        towers = {tower: tower_parameters(config, tower, timm_names) for tower in ('image', 'text')}
        lines.append(f'  {json.dumps(name)}: {json.dumps(towers)}')
    path.write_text('{\n' + ',\n'.join(lines) + '\n}\n')
