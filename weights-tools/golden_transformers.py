#!/usr/bin/env python3
"""Golden data for repositories of Hugging Face: what transformers writes of a CLIP model's pictures' processor, and the pixels that it makes with that.

    python3 weights-tools/golden_transformers.py

In tests/golden/transformers/
    repositories.json      {case: {file: its content}}: processor_config.json as transformers 5 writes it, preprocessor_config.json as 4 and 5 do
    pixels.safetensors     the picture, U8 [height, width, 3], and what each case makes of it, F32 [3, 18, 18]

The pixels are those of the processors that work with Pillow, as transformers' own were before version 5, and as this project's are.
"""
import json
import tempfile
from pathlib import Path

import numpy
from PIL import Image
from safetensors.numpy import save_file
from transformers import CLIPImageProcessorPil, CLIPProcessor, CLIPTokenizer, SiglipImageProcessorPil

OUT = Path(__file__).resolve().parent.parent / 'tests' / 'golden' / 'transformers'
SIDE = 18           # of the tower tests/golden/towers/hugging-face
CROP = {'height': SIDE, 'width': SIDE}
OTHER = {'image_mean': [0.61, 0.25, 0.4], 'image_std': [0.2, 0.31, 0.17]}

# Of CLIPImageProcessor, saved alone and read again.
CLIP = {
    'shortest-edge': {'size': {'shortest_edge': SIDE}, 'crop_size': CROP, **OTHER},
    'number': {'size': SIDE, 'crop_size': SIDE, **OTHER},
    'bilinear': {'size': SIDE, 'crop_size': SIDE, 'resample': 2, **OTHER},
    'lanczos': {'size': SIDE, 'crop_size': SIDE, 'resample': 1, **OTHER},
    'height-and-width': {'size': CROP, 'crop_size': CROP, **OTHER},
    'height-and-width-without-crop': {'size': CROP, 'do_center_crop': False, **OTHER},
    'not-normalised': {'size': SIDE, 'crop_size': SIDE, 'do_normalize': False},
    'not-rescaled': {'size': SIDE, 'crop_size': SIDE, 'do_rescale': False, **OTHER},
    'rescaled-twice-as-far': {'size': SIDE, 'crop_size': SIDE, 'rescale_factor': 1 / 127.5, **OTHER},
}
# Of SiglipImageProcessor, whose pictures are squashed to a square.
SIGLIP = {'siglip': {'size': CROP}, 'siglip-bilinear': {'size': CROP, 'resample': 2, **OTHER}}
# As version 4 wrote them, and OpenAI's repositories still have them; the keys are all there is.
VERSION_4 = {
    'version-4': {'crop_size': SIDE, 'do_center_crop': True, 'do_normalize': True, 'do_resize': True, 'feature_extractor_type': 'CLIPFeatureExtractor',
                  'resample': 3, 'size': SIDE, **OTHER},
    'version-4-fast': {'crop_size': CROP, 'data_format': 'channels_first', 'default_to_square': False, 'device': None, 'disable_grouping': None,
                       'do_center_crop': True, 'do_convert_rgb': True, 'do_normalize': True, 'do_pad': None, 'do_rescale': True, 'do_resize': True,
                       'image_processor_type': 'CLIPImageProcessorFast', 'input_data_format': None, 'resample': 3, 'rescale_factor': 1 / 255,
                       'return_tensors': None, 'size': {'shortest_edge': SIDE}, **OTHER},
}


def picture():
    """Waves and an edge, 40 by 29 pixels, so that what is resized to 18 is cropped."""
    y, x = numpy.mgrid[0:29, 0:40]
    channels = [127 + 120 * numpy.sin(x / 3 + y / 7), 127 + 120 * numpy.cos(y / 2 - x / 9), numpy.where(x + y > 33, 230, 20)]
    return numpy.stack(channels, -1).astype(numpy.uint8)


def saved(thing):
    """The files of a save_pretrained that say how pictures become pixels."""
    with tempfile.TemporaryDirectory() as folder:
        thing.save_pretrained(folder)
        return {path.name: json.loads(path.read_text()) for path in Path(folder).glob('*processor_config.json')}


def tokenizer():
    return CLIPTokenizer(vocab={'<|startoftext|>': 0, '<|endoftext|>': 1, 'a</w>': 2}, merges=[])


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    image = picture()
    repositories, pixels = {}, {'picture': image}

    def add(name, processor, files):
        repositories[name] = files
        result = processor(Image.fromarray(image), return_tensors='np')['pixel_values'][0]
        assert result.shape == (3, SIDE, SIDE), (name, result.shape)
        pixels[name] = numpy.ascontiguousarray(result, dtype=numpy.float32)

    for name, options in CLIP.items():
        processor = CLIPImageProcessorPil(**options)
        add(name, processor, saved(processor))
    for name, options in SIGLIP.items():
        processor = SiglipImageProcessorPil(**options)
        add(name, processor, saved(processor))
    for name, options in VERSION_4.items():
        add(name, CLIPImageProcessorPil.from_dict(options), {'preprocessor_config.json': options})
    processor = CLIPImageProcessorPil(**CLIP['shortest-edge'])
    files = saved(CLIPProcessor(processor, tokenizer()))
    assert list(files) == ['processor_config.json'], files
    add('version-5', processor, files)
    # One that was converted: what is nested counts.
    add('both', processor, {**files, 'preprocessor_config.json': VERSION_4['version-4'] | {'image_mean': [0, 0, 0]}})
    add('not-nested', CLIPImageProcessorPil.from_dict(VERSION_4['version-4']),
        {'processor_config.json': {'processor_class': 'CLIPProcessor'}, 'preprocessor_config.json': VERSION_4['version-4']})

    (OUT / 'repositories.json').write_text('{\n' + ',\n'.join(f'{json.dumps(name)}: {json.dumps(files)}' for name, files in repositories.items()) + '\n}\n')
    save_file(pixels, OUT / 'pixels.safetensors')
    print(f'{len(repositories)} repositories')


if __name__ == '__main__':
    main()
