#!/usr/bin/env python3
"""Golden data for the dates of photographs: small files whose EXIF Pillow and pillow-heif have written, and what Pillow and ExifRead read in them.

    golden_taken.py OUT_DIR     writes the files and taken.json: by name, DateTimeOriginal and OffsetTimeOriginal, null where there is none

Needs Pillow 13, pillow-heif and ExifRead 3. Both readers must agree, of JPEG and PNG: ExifRead wants words before the EXIF of others that these writers leave out.
"""
import argparse
import io
import json
from pathlib import Path

import exifread
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
EXIF_IFD, DATE, OFFSET = 0x8769, 0x9003, 0x9011
FORMATS = {'jpg': 'JPEG', 'png': 'PNG', 'webp': 'WEBP', 'avif': 'AVIF', 'heic': 'HEIF'}
EXIFREAD = ('jpg', 'png')
DATES = {
    'zone': ('2019:07:14 12:30:05', '+02:00'),
    'half-hour': ('2021:12:31 23:59:59', '-09:30'),
    'no-zone': ('2004:02:29 00:00:00', None),
    'none': (None, None),
    'never-set': ('0000:00:00 00:00:00', None),
}


def exif_of(date, offset, little):
    exif = Image.Exif()
    exif.endian = '<' if little else '>'
    exif[0x010F] = 'A camera'
    ifd = exif.get_ifd(EXIF_IFD)
    ifd[0x9000] = b'0232'
    if date:
        ifd[DATE] = date
    if offset:
        ifd[OFFSET] = offset
    return exif.tobytes()


def read(data, suffix):
    """What Pillow says; ExifRead has to say the same."""
    with Image.open(io.BytesIO(data)) as image:
        ifd = image.getexif().get_ifd(EXIF_IFD)
        found = {'date': ifd.get(DATE), 'offset': ifd.get(OFFSET)}
    if suffix in EXIFREAD:
        tags = exifread.process_file(io.BytesIO(data), details=False)
        for key, name in (('date', 'EXIF DateTimeOriginal'), ('offset', 'EXIF OffsetTimeOriginal')):
            other = str(tags[name]) if name in tags else None
            assert other == found[key], (suffix, other, found[key])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    image = Image.new('RGB', (16, 16), (200, 40, 30))
    expected = {}
    for suffix, name in FORMATS.items():
        for case, (date, offset) in DATES.items():
            for order in ('little', 'big') if case == 'zone' else ('big',):
                stream = io.BytesIO()
                image.save(stream, name, exif=exif_of(date, offset, order == 'little'))
                file = f'{case}-{order}.{suffix}'
                (out / file).write_bytes(stream.getvalue())
                expected[file] = read(stream.getvalue(), suffix)
    (out / 'taken.json').write_text(json.dumps(expected, indent=1) + '\n')


if __name__ == '__main__':
    main()
