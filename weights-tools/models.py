#!/usr/bin/env python3
"""What the JavaScript package knows of OpenCLIP: its architectures and its vocabulary.

    python3 weights-tools/models.py                            writes the files below

    web/models/architectures.js   `architectures`, each by its name, its config exactly as in OpenCLIP's own JSON
    web/models/parameters.js      `parameters`, how many numbers the image and the text tower of each have, or null where
                                  golden_towers.py cannot make the tower (tests/golden/parameters.json)
    web/text/clip-merges.bin      the merges of CLIP's byte-pair encoding in order of rank, two little-endian uint16 each: the
                                  ids of the two tokens that merge. Ids 0..255 are bytes in the order of OpenCLIP's
                                  bytes_to_unicode, 256..511 the same at the end of a word, merge i makes token 512 + i, then
                                  come start and end of text.
"""
import gzip
import json
import struct
from pathlib import Path

import open_clip
from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode

WEB = Path(__file__).resolve().parent.parent / 'web'


def architectures_module():
    lines = [f'// Made by weights-tools/models.py from OpenCLIP {open_clip.__version__} '
             f'({len(open_clip.list_models())} architectures).',
             '/** OpenCLIP model configs by architecture name. */',
             'export const architectures = {']
    for name in sorted(open_clip.list_models()):
        config = json.dumps(open_clip.get_model_config(name), separators=(',', ':'))
        lines.append(f'  {json.dumps(name)}: {config},')
    return '\n'.join(lines) + '\n};\n'


def parameters_module():
    golden = json.loads((WEB.parent / 'tests' / 'golden' / 'parameters.json').read_text())
    lines = [f'// Made by weights-tools/models.py from OpenCLIP {open_clip.__version__}.',
             '/** How many parameters the image and the text tower of an architecture have. */',
             'export const parameters = {']
    lines += [f"  {json.dumps(name)}: {json.dumps([towers[tower].get('parameters') for tower in ('image', 'text')])}," for name, towers in sorted(golden.items())]
    return '\n'.join(lines) + '\n};\n'


def merges_of(tokenizer):
    ids = []
    for first, second in sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get):
        ids += tokenizer.encoder[first], tokenizer.encoder[second]
    return struct.pack(f'<{len(ids)}H', *ids)


def encoder_of(merges):
    """OpenCLIP's token strings -> ids and pairs -> ranks, rebuilt from the merges alone."""
    tokens = list(bytes_to_unicode().values())
    tokens += [token + '</w>' for token in tokens]
    ranks = {}
    for rank, (first, second) in enumerate(struct.iter_unpack('<2H', merges)):
        ranks[tokens[first], tokens[second]] = rank
        tokens.append(tokens[first] + tokens[second])
    tokens += ['<start_of_text>', '<end_of_text>']
    return {token: i for i, token in enumerate(tokens)}, ranks


def main():
    tokenizer = SimpleTokenizer()
    merges = merges_of(tokenizer)
    if encoder_of(merges) != (tokenizer.encoder, tokenizer.bpe_ranks):
        raise SystemExit("the merges do not rebuild OpenCLIP's encoder")
    for name, data in (('models/architectures.js', architectures_module().encode()), ('models/parameters.js', parameters_module().encode()), ('text/clip-merges.bin', merges)):
        (WEB / name).write_bytes(data)
        print(f'{name}: {len(data)} bytes, gzip {len(gzip.compress(data, 9))}')


if __name__ == '__main__':
    main()
