#!/usr/bin/env python3
"""Golden data for hc_preprocess: what OpenCLIP's own transform (PIL, torchvision) makes of pictures that a formula makes.

    golden_pixels.py OUT_DIR                       write the committed cases
    golden_pixels.py --compare N --library LIB.so  N random cases against a native build of src/, every float bit for bit

Needs open_clip_torch and Pillow 13 (earlier versions resample tall pictures in another order of passes).

Four text files, `#` begins a comment:

  cases.txt      picture kind, seed, width, height, channels, target height, target width, resize mode, filter, fill colour,
                 then FNV-1a (64 bits, hex) of the expected RGB bytes [height, width, 3] before mean and std
  pixels.txt     the same ten fields, then the bytes themselves in hex
  modes.txt      Pillow's mode of the picture and EXIF's orientation by which it is turned first, then as cases.txt
  normalize.txt  three means, three stds, then the float32 bits (hex) of all 256 values through ToTensor and Normalize,
                 for each of three channels
"""
import argparse
import ctypes
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from open_clip.constants import IMAGENET_MEAN, IMAGENET_STD, INCEPTION_MEAN, INCEPTION_STD, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transform import ResizeKeepRatio, image_transform
from torchvision.transforms import InterpolationMode, Resize

MODES = ['shortest', 'longest', 'squash']
FILTERS = ['bicubic', 'bilinear', 'lanczos']
FIELDS = ['kind', 'seed', 'width', 'height', 'channels', 'target_height', 'target_width', 'mode', 'filter', 'fill']


def picture(kind, seed, width, height, channels):
    """uint8 [height, width, channels]. The C and JavaScript tests make the same picture with 32-bit integers."""
    x = np.arange(width, dtype=np.uint32)[None, :, None]
    y = np.arange(height, dtype=np.uint32)[:, None, None]
    c = np.arange(channels, dtype=np.uint32)[None, None, :]
    u = np.uint32
    with np.errstate(over='ignore'):
        if kind in ('noise', 'opaque'):
            h = x * u(374761393) + y * u(668265263) + c * u(2246822519) + u(seed) * u(3266489917)
            h = (h ^ (h >> u(13))) * u(1274126177)
            v = h ^ (h >> u(16))
        elif kind == 'smooth':
            v = (x * (c + u(1)) * u(255) // u(width) + y * (u(4) - c) * u(255) // u(height) + u(seed)) & u(511)
            v = np.where(v > 255, u(511) - v, v)
        elif kind == 'edges':
            v = ((x // (c + u(2)) ^ y // (c + u(3))) + u(seed) & u(1)) * u(255)
        else:
            raise ValueError(kind)
    v = np.ascontiguousarray(np.broadcast_to(v & u(255), (height, width, channels)).astype(np.uint8))
    if kind == 'opaque' and channels == 4:
        v[..., 3] = 255
    return v


def transform(case, mean=(0., 0., 0.), std=(1., 1., 1.)):
    """OpenCLIP's transform. It knows no lanczos: there its own steps are told to use that filter, where they use the configured one."""
    lanczos = case['filter'] == 'lanczos'
    size = (case['target_height'], case['target_width'])
    t = image_transform(size, is_train=False, mean=mean, std=std, resize_mode=case['mode'],
                        interpolation='bicubic' if lanczos else case['filter'], fill_color=case['fill'])
    resize = t.transforms[0]
    fixed = isinstance(resize, ResizeKeepRatio) and case['mode'] == 'shortest'
    if lanczos and not fixed:
        assert isinstance(resize, (Resize, ResizeKeepRatio))
        resize.interpolation = InterpolationMode.LANCZOS
    return t


def image_of(case):
    array = picture(*(case[k] for k in FIELDS[:5]))
    return array, Image.fromarray(array)


def expected_bytes(case):
    pixels = transform(case)(image_of(case)[1]).numpy()
    values = np.rint(pixels * np.float32(255)).astype(np.uint8)
    assert (values.astype(np.float32) / np.float32(255) == pixels).all()
    return np.ascontiguousarray(values.transpose(1, 2, 0)).tobytes()


def fnv1a(data):
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return h


# ---- pictures that are not RGB, and pictures that are turned ----

TURNS = {2: 'FLIP_LEFT_RIGHT', 3: 'ROTATE_180', 4: 'FLIP_TOP_BOTTOM', 5: 'TRANSPOSE', 6: 'ROTATE_270', 7: 'TRANSVERSE', 8: 'ROTATE_90'}


def image_of_mode(case):
    """The formula's bytes as what they are in `pil_mode`: a palette's indices (its 256 colours are a picture themselves), bits, inks."""
    mode = case['pil_mode']
    array = picture(case['kind'], case['seed'], case['width'], case['height'], {'RGB': 3, 'P': 1, '1': 1}.get(mode, 4))
    if mode == '1':
        image = Image.fromarray((array[..., 0] & 1) * np.uint8(255)).convert('1')
    elif mode == 'P':
        image = Image.fromarray(array[..., 0])
        image.putpalette(picture('noise', 99, 16, 16, 3).tobytes())
    elif mode == 'CMYK':
        image = Image.frombytes('CMYK', (case['width'], case['height']), array.tobytes())
    else:
        image = Image.fromarray(array)
    turn = TURNS.get(case['orientation'])
    return image.transpose(Image.Transpose[turn]) if turn else image


def bytes_of_mode(case):
    values = np.rint(transform(case)(image_of_mode(case)).numpy() * np.float32(255)).astype(np.uint8)
    return np.ascontiguousarray(values.transpose(1, 2, 0)).tobytes()


def mode_cases():
    cases = []
    targets = [16, (24, 10), (9, 31)]
    sizes = [(1, 1), (1, 37), (16, 16), (17, 15), (48, 64), (64, 48), (31, 200), (200, 31), (16, 40), (333, 97), (5, 7)]
    for i, (width, height) in enumerate(sizes):
        for j, pil_mode in enumerate(('RGB', 'RGBA', 'P', '1', 'CMYK')):
            for orientation in range(1, 9):
                k = i + j + orientation
                case = make('noise', k, width, height, 0, targets[k % 3], MODES[(i + orientation) % 3], FILTERS[k // 3 % 3], [0, 255, 100][k % 3])
                case.update(pil_mode=pil_mode, orientation=orientation)
                if possible(case):
                    cases.append(case)
    for width, height in ((640, 480), (481, 641), (1000, 221), (20000, 3), (3, 20000)):
        cases += [{**make('smooth', 3, width, height, 0, 224 if width < 2000 > height else 8, 'shortest', 'bicubic'), 'pil_mode': pil_mode, 'orientation': orientation}
                  for pil_mode in ('P', 'CMYK') for orientation in (1, 6)]
    return cases


def make(kind, seed, width, height, channels, target, mode, filter_, fill=0):
    th, tw = target if isinstance(target, tuple) else (target, target)
    return dict(zip(FIELDS, (kind, seed, width, height, channels, th, tw, mode, filter_, fill)))


def possible(case):
    """False where OpenCLIP itself fails (`longest` of a strip that shrinks to nothing) or would need gigabytes."""
    w, h, tw, th = case['width'], case['height'], case['target_width'], case['target_height']
    if case.get('orientation', 1) >= 5:
        w, h = h, w
    if case['mode'] == 'longest':
        ratio = max(w / tw, h / th)
        return round(w / ratio) >= 1 and round(h / ratio) >= 1
    if case['mode'] == 'shortest':
        ratio = min(w / tw, h / th)
        return (w / ratio) * (h / ratio) < 3e7
    return True


def random_case(rng, largest):
    def side():
        return rng.choice([rng.randint(1, 9), rng.randint(1, 64), rng.randint(1, largest)])
    target = rng.choice([rng.randint(1, 12), rng.randint(8, 48), rng.randint(8, 48), rng.randint(1, largest // 2)])
    if rng.random() < 0.4:
        target = (target, rng.choice([rng.randint(1, 12), rng.randint(8, 48), rng.randint(1, largest // 2)]))
    width, height = side(), side()
    if rng.random() < 0.15:
        height = width
    if rng.random() < 0.1 and isinstance(target, int):
        width = target
    return make(rng.choice(['noise', 'noise', 'smooth', 'edges', 'opaque']), rng.randint(0, 9999), width, height,
                rng.choice([3, 4]), target, rng.choice(MODES), rng.choice(FILTERS), rng.choice([0, 0, 255, rng.randint(1, 254)]))


def committed_cases():
    cases = []
    sizes = [(1, 1), (1, 37), (37, 1), (2, 3), (16, 16), (17, 16), (16, 17), (15, 15), (64, 48), (48, 64), (20, 200), (200, 20), (333, 97)]
    for i, (w, h) in enumerate(sizes):
        for j, mode in enumerate(MODES):
            for k, filter_ in enumerate(FILTERS):
                channels = 3 + (i + j + k) % 2
                kind = ['noise', 'smooth', 'edges'][(i + k) % 3]
                cases.append(make(kind, i, w, h, channels, 16, mode, filter_, [0, 255, 127][i % 3]))
    for mode in MODES:
        for channels in (3, 4):
            for target in ((24, 10), (9, 31)):
                for w, h in ((61, 45), (45, 61), (30, 12), (10, 24), (31, 200)):
                    cases.append(make('noise', 5, w, h, channels, target, mode, 'bicubic' if w != 61 else 'lanczos', 100))
    # The largest sides, with and without enlarging the other one.
    for w, h in ((20000, 3), (3, 20000), (20000, 1), (1, 20000), (20000, 40), (40, 20000)):
        cases.append(make('noise', 7, w, h, 3, 8, 'shortest', 'bicubic'))
        cases.append(make('noise', 8, w, h, 4, 8, 'squash', 'lanczos'))
        cases.append(make('smooth', 9, w, h, 3, 96, 'squash', 'bilinear', 9))
    # What towers really get.
    for w, h in ((640, 480), (480, 640), (500, 375), (300, 900), (224, 224), (225, 224), (100, 80)):
        cases.append(make('smooth', 11, w, h, 3, 224, 'shortest', 'bicubic'))
    cases.append(make('opaque', 12, 320, 240, 4, 224, 'shortest', 'bicubic'))
    cases.append(make('noise', 13, 320, 240, 4, 224, 'longest', 'bicubic', 255))
    cases.append(make('noise', 14, 700, 300, 3, 256, 'squash', 'bicubic'))
    cases = list(filter(possible, cases))
    rng = random.Random(2024)
    while len(cases) < 320:
        case = random_case(rng, 120)
        if possible(case):
            cases.append(case)
    return cases


def fields(case):
    return ' '.join(str(case[k]) for k in FIELDS)


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    head = f'# Made with Pillow {PIL.__version__}; the columns are explained in weights-tools/golden_pixels.py.\n'
    cases = committed_cases()
    lines = [f'{fields(case)} {fnv1a(expected_bytes(case)):016x}\n' for case in cases]
    (folder / 'cases.txt').write_text(head + ''.join(lines))
    whole = [
        make('noise', 1, 40, 30, 3, 12, 'shortest', 'bicubic'), make('noise', 2, 30, 40, 4, 12, 'shortest', 'bicubic'),
        make('edges', 3, 5, 7, 3, 12, 'shortest', 'bilinear'), make('smooth', 4, 50, 20, 4, 12, 'longest', 'bicubic', 200),
        make('noise', 5, 33, 90, 3, 12, 'squash', 'lanczos'), make('noise', 6, 21, 64, 4, (10, 14), 'shortest', 'bicubic'),
        make('noise', 7, 12, 12, 4, 12, 'shortest', 'bicubic'), make('edges', 8, 1, 1, 3, 4, 'shortest', 'bicubic')]
    (folder / 'pixels.txt').write_text(head + ''.join(f'{fields(case)} {expected_bytes(case).hex()}\n' for case in whole))
    lines = [f'{case["pil_mode"]} {case["orientation"]} {fields(case)} {fnv1a(bytes_of_mode(case)):016x}\n' for case in mode_cases()]
    (folder / 'modes.txt').write_text(head + ''.join(lines))
    lines = []
    values = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    same = make('noise', 0, 16, 16, 3, 16, 'shortest', 'bicubic')
    for mean, std in ((OPENAI_DATASET_MEAN, OPENAI_DATASET_STD), (IMAGENET_MEAN, IMAGENET_STD), (INCEPTION_MEAN, INCEPTION_STD)):
        floats = transform(same, mean, std)(Image.fromarray(values)).numpy()
        bits = floats.reshape(-1).view(np.uint32)
        lines.append(' '.join(map(repr, (*mean, *std))) + ' ' + ' '.join(f'{b:08x}' for b in bits) + '\n')
    (folder / 'normalize.txt').write_text(head + ''.join(lines))
    print(f'{len(cases)} cases')


class Config(ctypes.Structure):
    _fields_ = [('height', ctypes.c_int), ('width', ctypes.c_int), ('mean', ctypes.c_float * 3), ('std', ctypes.c_float * 3),
                ('interpolation', ctypes.c_int), ('resize_mode', ctypes.c_int), ('fill_color', ctypes.c_int)]


def compare(library, count, seed, largest):
    preprocess = ctypes.CDLL(str(Path(library).resolve())).hc_preprocess
    rng = random.Random(seed)
    done = different = 0
    while done < count:
        case = random_case(rng, largest)
        if not possible(case):
            continue
        mean, std = [rng.random() for _ in range(3)], [rng.uniform(0.1, 1) for _ in range(3)]
        array, image = image_of(case)
        expected = transform(case, mean, std)(image).numpy()
        found = np.full(expected.shape, np.nan, dtype=np.float32)
        config = Config(case['target_height'], case['target_width'], (ctypes.c_float * 3)(*mean), (ctypes.c_float * 3)(*std),
                        FILTERS.index(case['filter']), MODES.index(case['mode']), case['fill'])
        status = preprocess(ctypes.byref(config), array.ctypes.data_as(ctypes.c_void_p), case['width'], case['height'],
                            case['channels'], found.ctypes.data_as(ctypes.c_void_p))
        if status or (expected.view(np.uint32) != found.view(np.uint32)).any():
            different += 1
            if different <= 10:
                print(f'status {status}, largest difference {np.abs(expected - found).max():.3g}: {fields(case)}')
        done += 1
    print(f'{done} cases compared, {different} different')
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', nargs='?', type=Path, help='folder for the committed files')
    parser.add_argument('--compare', type=int, metavar='N')
    parser.add_argument('--library')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--largest', type=int, default=300, help='longest side of a random picture')
    args = parser.parse_args()
    # Pillow warns of pictures that could be decompression bombs; ours are large on purpose.
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)
    if args.compare:
        return 1 if compare(args.library, args.compare, args.seed, args.largest) else 0
    if not args.out:
        parser.error('say where to write, or --compare')
    write(args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
