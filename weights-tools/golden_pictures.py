#!/usr/bin/env python3
"""Golden data for the reading of picture files: small files of every kind, and what OpenCLIP's own transform makes of them over Pillow.

    golden_pictures.py OUT_DIR     writes the files that this script makes, pictures.txt and pixels.bin; other files in OUT_DIR are taken as further cases

Needs open_clip_torch and Pillow 13.

  pictures.txt   a file's name; how near its pixels must come; its orientation; its width and height. `#` begins a comment. How near:
                   exact    byte for byte: the format says what its pixels are
                   close    by cosine: decoders of JPEG, WebP and AVIF differ in the last bit
                   sharp    as `close` where sharp decodes, refused elsewhere
                   refused  an error that says why
  pixels.bin     for each file that is not refused the RGB bytes [24, 24, 3] before mean and std, turned by its orientation; and if that is not 1, the bytes without
                 turning
"""
import argparse
import io
import random
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from open_clip.transform import image_transform

SIDE = 24
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


# ---- PNG, by hand: Pillow writes few of its kinds ----

def chunk(name, body, crc=None):
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body) if crc is None else crc)


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def filtered(kind, row, above, step):
    out = bytearray([kind])
    for i, value in enumerate(row):
        a = row[i - step] if i >= step else 0
        b = above[i] if above else 0
        c = above[i - step] if above and i >= step else 0
        out.append((value - (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 255)
    return bytes(out)


def png(samples, colour, depth, rng, interlaced=False, before=b'', after=b'', palette=None, trns=None, split=3, data=None, end=True):
    """samples: [height, width, channels] of ints."""
    height, width, channels = samples.shape
    raw = b''
    for x0, y0, dx, dy in PASSES if interlaced else [(0, 0, 1, 1)]:
        part, above = samples[y0::dy, x0::dx], None
        if part.shape[1] == 0:
            continue
        for line in part:
            bits = ''.join(format(int(v), f'0{depth}b') for v in line.reshape(-1))
            row = bytes(int(bits[i:i + 8].ljust(8, '0'), 2) for i in range(0, len(bits), 8))
            raw += filtered(rng.randrange(5), row, above, max(1, channels * depth // 8))
            above = row
    packed = zlib.compress(raw, rng.choice([1, 9])) if data is None else data(raw)
    cut = max(1, len(packed) // split)
    out = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, interlaced)) + before
    if palette is not None:
        out += chunk(b'PLTE', palette)
    if trns is not None:
        out += chunk(b'tRNS', trns)
    for i in range(0, len(packed), cut):
        out += chunk(b'IDAT', packed[i:i + cut])
        if i == 0:
            out += chunk(b'IDAT', b'')
    return out + after + (chunk(b'IEND', b'') if end else b'')


def exif(orientation, big=False):
    order = '>' if big else '<'
    return (b'MM\0*' if big else b'II*\0') + struct.pack(order + 'IHHHIHHI', 8, 1, 274, 3, 1, orientation, 0, 0)


def xmp(orientation):
    return (f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
            f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>').encode()


def png_files(photo):
    rng = random.Random(5)
    files = {}
    noise = np.random.default_rng(7)
    palette = bytes(noise.integers(0, 256, 768, dtype=np.uint8))
    for colour, depths in DEPTHS.items():
        for depth in depths:
            samples = noise.integers(0, 2 ** depth, (29, 37, CHANNELS[colour]))
            samples[:, :18] //= 2
            for interlaced in (False, True):
                trns = {0: struct.pack('>H', 2 ** depth // 2), 2: b'\0\1\0\2\0\3', 3: bytes([0, 200])}.get(colour) if interlaced else None
                files[f'png-{colour}-{depth}{"-interlaced" if interlaced else ""}.png'] = png(
                    samples, colour, depth, rng, interlaced, palette=palette[:3 * 2 ** depth] if colour == 3 else None, trns=trns)
    for width, height in ((1, 1), (3, 2), (7, 40)):
        samples = noise.integers(0, 256, (height, width, 3))
        files[f'png-{width}x{height}-interlaced.png'] = png(samples, 2, 8, rng, True)
    plain = np.asarray(photo)
    ends = plain.shape[0] * (plain.shape[1] * 3 + 1)
    files['png-short-palette.png'] = png(noise.integers(0, 256, (9, 9, 1)), 3, 8, rng, palette=palette[:30])
    files['png-two-palettes.png'] = png(noise.integers(0, 256, (9, 9, 1)), 3, 8, rng, before=chunk(b'PLTE', palette[::-1]), palette=palette)
    files['png-stored.png'] = png(plain, 2, 8, rng, data=lambda raw: zlib.compress(raw, 0))
    files['png-no-checksum.png'] = png(plain, 2, 8, rng, data=lambda raw: zlib.compress(raw)[:-4])
    files['png-more-data.png'] = png(plain, 2, 8, rng, data=lambda raw: zlib.compress(raw + b'more' * 999), after=chunk(b'tEXt', b'a\0b', crc=1))
    files['png-cut-after-rows.png'] = png(plain, 2, 8, rng, split=1, data=lambda raw: zlib.compress(raw))[:-18]
    files['png-profile.png'] = png(plain, 2, 8, rng, before=chunk(b'gAMA', struct.pack('>I', 100000)) + chunk(b'cHRM', struct.pack(
        '>8I', 31270, 32900, 64000, 33000, 15000, 60000, 30000, 6000)))
    files['png-exif-after.png'] = png(plain, 2, 8, rng, after=chunk(b'eXIf', exif(6, True)))
    files['png-exif-raw.png'] = png(plain, 2, 8, rng, before=chunk(
        b'zTXt', b'Raw profile type exif\0\0' + zlib.compress(b'\nexif\n      32\n' + (b'Exif\0\0' + exif(3)).hex().encode() + b'\n')))
    files['png-xmp.png'] = png(plain, 2, 8, rng, before=chunk(b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + xmp(8)))
    files['png-xmp-compressed.png'] = png(plain, 2, 8, rng, before=chunk(b'iTXt', b'XML:com.adobe.xmp\0\1\0\0\0' + zlib.compress(xmp(5))))
    files['png-exif-over-xmp.png'] = png(plain, 2, 8, rng, before=chunk(b'eXIf', exif(1)) + chunk(b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + xmp(8)))
    files['png-exif-strange.png'] = png(plain, 2, 8, rng, before=chunk(b'eXIf', exif(77)))
    files['png-cut.png'] = png(plain, 2, 8, rng)[:-900]
    files['png-data-ends.png'] = png(plain, 2, 8, rng, data=lambda raw: zlib.compress(raw[:ends - 1]))
    files['png-data-damaged.png'] = png(plain, 2, 8, rng, data=lambda raw: zlib.compress(raw)[:300] + b'\xff' * 99)
    files['png-header-checksum.png'] = png(plain, 2, 8, rng, before=chunk(b'tEXt', b'a\0b', crc=1))
    files['png-no-palette.png'] = png(noise.integers(0, 256, (9, 9, 1)), 3, 8, rng)
    files['png-no-data.png'] = png(plain, 2, 8, rng)[:33] + chunk(b'IEND', b'')
    return files


# ---- the others ----

def saved(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def gif_files(photo):
    palette_photo = photo.quantize(60)
    ramp = photo.convert('L')
    files = {
        'gif-interlaced.gif': saved(palette_photo, 'GIF', interlace=1),
        'gif-flat.gif': saved(palette_photo, 'GIF', interlace=0),
        'gif-grey.gif': saved(ramp, 'GIF'),
        'gif-two-colours.gif': saved(photo.convert('1'), 'GIF'),
        'gif-animation.gif': saved(palette_photo, 'GIF', save_all=True, append_images=[palette_photo.rotate(90), palette_photo.rotate(180)], duration=50),
        'gif-noise.gif': saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 110), dtype=np.uint8), 'L').convert('P'), 'GIF'),
    }
    flat = files['gif-flat.gif']
    at = flat.index(b',', 13 + 3 * (2 << (flat[10] & 7)))

    def placed(width, height, left, top, source, control=b''):
        return source[:6] + struct.pack('<HH', width, height) + source[10:at] + control + b',' + struct.pack('<HH', left, top) + source[at + 5:]

    transparent = b'!\xf9\x04\x01\0\0\x05\0'
    files['gif-on-screen.gif'] = placed(70, 61, 9, 13, flat)
    files['gif-on-screen-transparent.gif'] = placed(70, 61, 9, 13, flat, transparent)
    files['gif-beyond-screen.gif'] = placed(20, 20, 11, 5, flat)
    files['gif-on-screen-interlaced.gif'] = placed(70, 61, 9, 13, files['gif-interlaced.gif'], b'!\xfe\x03abc\x02de\0')
    colours = flat[13:13 + 3 * (2 << (flat[10] & 7))]
    local = flat[at:at + 9] + bytes([flat[at + 9] | 128 | flat[10] & 7]) + colours[::-1] + flat[at + 10:]
    files['gif-local-palette.gif'] = flat[:at] + local
    files['gif-local-palette-only.gif'] = flat[:10] + bytes([flat[10] & 0x70]) + flat[11:13] + local
    files['gif-local-greys.gif'] = flat[:10] + bytes([flat[10] & 0x70]) + flat[11:13] + flat[at:at + 9] + bytes([128 | flat[10] & 7]) + bytes(i // 3 for i in range(len(colours))) + flat[at + 10:]
    files['gif-no-palette.gif'] = flat[:10] + bytes([flat[10] & 0x70]) + flat[11:13] + flat[at:]
    files['gif-no-trailer.gif'] = flat[:-1]
    files['gif-cut.gif'] = flat[:-200]
    files['gif-damaged.gif'] = flat[:at + 12] + b'\xff' * 100 + flat[at + 112:]
    files['gif-no-frame.gif'] = flat[:at] + b';'
    return files


def bmp(width, height, bits, rows, compression=0, palette=b'', masks=b'', colours=0, header=40, flip=1):
    data = b''.join(rows) if isinstance(rows, list) else rows
    info = struct.pack('<IiiHHIIiiII', header, width, height * flip, 1, bits, compression, len(data), 2835, 2835, colours, 0) + masks
    if header > 40:
        info = info.ljust(header, b'\0')
    return b'BM' + struct.pack('<IHHI', 14 + len(info) + len(palette) + len(data), 0, 0, 14 + len(info) + len(palette)) + info + palette + data


def bmp_files(photo):
    rng = np.random.default_rng(3)
    width, height = 37, 29
    files = {f'bmp-{mode}.bmp': saved(photo.convert(mode), 'BMP') for mode in ('1', 'L', 'RGB')}
    files['bmp-P.bmp'] = saved(photo.quantize(200), 'BMP')
    files['bmp-P-2.bmp'] = saved(photo.quantize(2), 'BMP')

    def padded(row):
        return bytes(row) + bytes(-len(row) % 4)

    palette = bytes(rng.integers(0, 256, 1024, dtype=np.uint8))
    indices = rng.integers(0, 256, (height, width), dtype=np.uint8)
    words = rng.integers(0, 65536, (height, width), dtype=np.uint16).astype('<u2')
    longs = rng.integers(0, 2 ** 32, (height, width), dtype=np.uint32).astype('<u4')
    word_rows = [padded(row.tobytes()) for row in words]
    long_rows = [row.tobytes() for row in longs]
    files['bmp-8.bmp'] = bmp(width, height, 8, [padded(row) for row in indices], palette=palette)
    files['bmp-8-from-top.bmp'] = bmp(width, height, 8, [padded(row) for row in indices], palette=palette, flip=-1)
    files['bmp-8-few-colours.bmp'] = bmp(width, height, 8, [padded(row % 9) for row in indices], palette=palette[:36], colours=9)
    files['bmp-4.bmp'] = bmp(width, height, 4, [padded(row[:19]) for row in indices], palette=palette[:64])
    files['bmp-1.bmp'] = bmp(width, height, 1, [padded(row[:5]) for row in indices], palette=palette[:8])
    files['bmp-16.bmp'] = bmp(width, height, 16, word_rows)
    files['bmp-16-565.bmp'] = bmp(width, height, 16, word_rows, 3, masks=struct.pack('<3I', 0xf800, 0x7e0, 0x1f))
    files['bmp-24-cut-padding.bmp'] = bmp(width, height, 24, [padded(rng.integers(0, 256, 3 * width, dtype=np.uint8)) for _ in range(height)])[:-1]
    files['bmp-32.bmp'] = bmp(width, height, 32, long_rows)
    for name, masks in {'xbgr': (0xff000000, 0xff0000, 0xff00), 'bgrx': (0xff0000, 0xff00, 0xff)}.items():
        files[f'bmp-32-{name}.bmp'] = bmp(width, height, 32, long_rows, 3, masks=struct.pack('<3I', *masks))
    for name, masks in {'bgra': (0xff0000, 0xff00, 0xff, 0xff000000), 'rgba': (0xff, 0xff00, 0xff0000, 0xff000000), 'none': (0, 0, 0, 0)}.items():
        files[f'bmp-32-{name}.bmp'] = bmp(width, height, 32, long_rows, 3, masks=struct.pack('<4I', *masks), header=108)
    core = b'BM' + struct.pack('<IHHI', 0, 0, 0, 26 + 48) + struct.pack('<IHHHH', 12, width, height, 1, 4) + palette[:48]
    files['bmp-os2.bmp'] = core + b''.join(padded(row[:19]) for row in indices)
    runs = b''.join(bytes([9, row[0], 0, 5]) + row[:5].tobytes() + b'\0' + bytes([0, 2, 3, 0, 4, row[1], 0, 0]) for row in indices) + b'\0\1'
    files['bmp-rle8.bmp'] = bmp(width, height, 8, runs, 1, palette=palette)
    runs = b''.join(bytes([9, row[0], 0, 5]) + row[:3].tobytes() + b'\0' + bytes([4, row[1], 0, 0]) for row in indices) + b'\0\1'
    files['bmp-rle4.bmp'] = bmp(width, height, 4, runs, 2, palette=palette[:64])
    files['bmp-rle8-from-top.bmp'] = bmp(width, height, 8, b''.join(bytes([30, row[0], 60, row[1], 0, 0]) for row in indices), 1, palette=palette, flip=-1)
    files['bmp-rle8-ends.bmp'] = bmp(width, height, 8, b'\x20\5\0\1', 1, palette=palette)
    files['bmp-cut.bmp'] = files['bmp-24-cut-padding.bmp'][:-40]
    files['bmp-strange-masks.bmp'] = bmp(width, height, 32, long_rows, 3, masks=struct.pack('<3I', 0xf, 0xf0, 0xf00))
    return files


def jpeg_with(data, segment):
    return data[:2] + segment + data[2:]


def app1(body):
    return b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body


def other_files(photo):
    jpeg = saved(photo, 'JPEG', quality=92)
    odd = photo.crop((0, 0, 43, 33))
    alpha = photo.copy()
    alpha.putalpha(photo.convert('L'))
    files = {f'jpeg-exif-{i}.jpg': jpeg_with(jpeg, app1(b'Exif\0\0' + exif(i, i % 2 == 0))) for i in range(2, 9)}
    files.update({
        'jpeg-xmp.jpg': jpeg_with(jpeg, app1(b'http://ns.adobe.com/xap/1.0/\0' + xmp(6))),
        'jpeg-grey.jpg': saved(photo.convert('L'), 'JPEG', quality=92),
        'jpeg-progressive.jpg': saved(photo, 'JPEG', quality=92, progressive=True),
        'jpeg-444.jpg': saved(photo, 'JPEG', quality=92, subsampling=0),
        'jpeg-422.jpg': saved(odd, 'JPEG', quality=92, subsampling=1),
        'jpeg-odd.jpg': saved(odd, 'JPEG', quality=92),
        'jpeg-narrow.jpg': saved(odd.crop((0, 0, 3, 33)), 'JPEG', quality=92),
        'jpeg-one-row.jpg': saved(odd.crop((0, 9, 43, 10)), 'JPEG', quality=92),
        'jpeg-rgb.jpg': saved(odd, 'JPEG', quality=92, keep_rgb=True),
        'jpeg-junk-behind.jpg': jpeg + b'junk' * 50,
        'jpeg-two.jpg': jpeg + saved(photo.rotate(180), 'JPEG'),
        'jpeg-cut.jpg': jpeg[:len(jpeg) // 2],
        'jpeg-no-end.jpg': jpeg[:-2],
        'jpeg-cmyk-plain.jpg': saved(photo.convert('CMYK'), 'JPEG', quality=92),
        'webp.webp': saved(photo, 'WEBP', quality=92),
        'webp-lossless.webp': saved(photo, 'WEBP', lossless=True),
        'webp-alpha.webp': saved(alpha, 'WEBP', lossless=True, exact=True),
        'webp-exif-3.webp': saved(photo, 'WEBP', quality=92, exif=b'Exif\0\0' + exif(3)),
        'webp-animation.webp': saved(photo, 'WEBP', quality=92, save_all=True, append_images=[photo.rotate(180)], duration=50),
        'avif.avif': saved(photo, 'AVIF', quality=95, subsampling='4:4:4'),
        'tiff.tiff': saved(photo, 'TIFF', compression='tiff_lzw'),
        'tiff-exif-6.tiff': saved(photo, 'TIFF', tiffinfo={274: 6}),
        'tiff-palette.tiff': saved(photo.quantize(40), 'TIFF'),
        'tiff-1.tiff': saved(photo.convert('1'), 'TIFF'),
        'tiff-cmyk.tiff': saved(photo.convert('CMYK'), 'TIFF'),
        'svg.svg': b'<?xml version="1.0"?>\n<!-- a square --><svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="20" height="20"/></svg>',
        'page.html': b'<!doctype html><title>404</title>',
        'icon.ico': saved(photo, 'ICO'),
        'empty.png': b'',
    })
    return files


# ---- what becomes of them ----

REFUSED = {'png-cut.png', 'png-data-ends.png', 'png-data-damaged.png', 'png-header-checksum.png', 'png-no-palette.png', 'png-no-data.png', 'gif-cut.gif',
           'gif-damaged.gif', 'gif-no-frame.gif', 'bmp-rle8-ends.bmp', 'bmp-cut.bmp', 'bmp-strange-masks.bmp', 'jpeg-cut.jpg', 'jpeg-no-end.jpg', 'jpeg-cmyk.jpg', 'jpeg-cmyk-plain.jpg',
           'tiff-palette.tiff', 'tiff-1.tiff', 'tiff-cmyk.tiff', 'svg.svg', 'page.html', 'icon.ico', 'empty.png'}


def how_near(name):
    if name in REFUSED:
        return 'refused'
    if name.endswith(('.png', '.gif', '.bmp')):
        return 'exact'
    return 'sharp' if name.endswith('.tiff') else 'close'


def opened(path):
    image = Image.open(path)
    image.load()
    if image.mode == 'I;16':  # where halfclip differs: the high byte, in place of Pillow's clipping
        grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        grey.info = image.info
        return grey
    return image


def pixels(image):
    t = image_transform(SIDE, is_train=False, mean=(0., 0., 0.), std=(1., 1., 1.))
    values = np.rint(t(image).numpy() * 255).astype(np.uint8)
    return np.ascontiguousarray(values.transpose(1, 2, 0)).tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=Path)
    folder = parser.parse_args().out
    warnings.simplefilter('ignore')
    photo = Image.open(Path(__file__).parent / '../tests/pictures/castle.jpg').convert('RGB').resize((44, 34))
    for files in (png_files(photo), gif_files(photo), bmp_files(photo), other_files(photo)):
        for name, data in files.items():
            (folder / name).write_bytes(data)
    lines, expected = ['# Made by weights-tools/golden_pictures.py, which explains the columns.'], b''
    for path in sorted(folder.iterdir()):
        if path.name in ('pictures.txt', 'pixels.bin'):
            continue
        near = how_near(path.name)
        if near == 'refused':
            try:
                opened(path)
                print(f'Pillow reads {path.name}')
            except (OSError, SyntaxError, ValueError):
                pass
            lines.append(f'{path.name} refused 1 0 0')
            continue
        orientation = Image.open(path).getexif().get(274, 1)
        width, height = Image.open(path).size
        image = opened(path)
        if path.suffix != '.tiff':  # Pillow turns TIFF while it loads it
            orientation = image.getexif().get(274, 1)
        lines.append(f'{path.name} {near} {orientation if orientation in range(1, 9) else 1} {width} {height}')
        expected += pixels(ImageOps.exif_transpose(image))
        if orientation in range(2, 9):
            expected += pixels(image)
    (folder / 'pictures.txt').write_text('\n'.join(lines) + '\n')
    (folder / 'pixels.bin').write_bytes(expected)
    print(f'{len(lines) - 1} files')
    return 0


if __name__ == '__main__':
    sys.exit(main())
