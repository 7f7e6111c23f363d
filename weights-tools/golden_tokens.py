"""Compares the C tokenizer with OpenCLIP's on strings drawn from many scripts, and writes a sample as golden data.

    python weights-tools/golden_tokens.py [--count 24000] [--seed 1] [--no-write]

Needs open_clip_torch (3.3.0), a C compiler and the sources; takes half a minute. Exits with 1 if any string has other
ids than OpenCLIP gives it, in any of the three `clean` modes. Strings in which ftfy repairs mojibake are left out and
counted, since the C tokenizer does not repair it.

Writes tests/golden/tokens/full.bin and prefix.bin (with the first 3,000 merges as the vocabulary), little-endian:

    char[8] "HCTOKENS"; u32 number of merges; u32 context length; u32 number of strings; then for each string
        u16 length in bytes; UTF-8 bytes; for each mode, in the order lower, whitespace, canonicalize:
            u8 number of ids without padding, or 255: as in the mode before, or 254: OpenCLIP raises an exception;
            u16 ids
"""
import argparse
import ctypes
import gzip
import html
import os
import random
import string
import struct
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import ftfy
from html.entities import html5
from open_clip import tokenizer as reference

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / 'tests/golden/tokens'
MODES = ['lower', 'whitespace', 'canonicalize']
CONTEXT_LENGTH = 77
INPUT_TYPE = 7   # HC_INPUT_TYPE
SAME, RAISES = 255, 254


# ---- the two tokenizers ---------------------------------------------------------------------------------------------

def merge_lines(count=None):
    lines = gzip.open(reference.default_bpe()).read().decode().split('\n')[1:49152 - 256 - 2 + 1]
    return lines[:count]


def pack_merges(lines):
    """The list of merges as the C interface takes it."""
    units = list(reference.bytes_to_unicode().values())
    ids = {unit: i for i, unit in enumerate(units + [unit + '</w>' for unit in units])}
    packed = bytearray()
    for line in lines:
        first, second = line.split()
        packed += struct.pack('<HH', ids[first], ids[second])
        ids[first + second] = len(ids)
    return bytes(packed)


def reference_tokenizers(lines, folder):
    """SimpleTokenizer for each mode, with these merges."""
    path = os.path.join(folder, f'{len(lines)}.txt.gz')
    with gzip.open(path, 'wt', encoding='utf-8') as file:
        file.write('\n'.join(['"#version', *lines]))
    return [reference.SimpleTokenizer(path, clean=mode) for mode in MODES]


def build(folder):
    """The C tokenizer as a shared library."""
    path = os.path.join(folder, 'tokenizer.so')
    sources = [ROOT / 'src' / name for name in ('tokenizer.c', 'clean.c', 'html.c', 'unicode.c')]
    compiler = os.environ.get('CC', 'cc')
    subprocess.run([compiler, '-std=c11', '-O2', '-fPIC', '-shared', '-o', path, *sources], check=True)
    library = ctypes.CDLL(path)
    library.hc_tokenizer_new.restype = ctypes.c_void_p
    library.hc_tokenizer_new.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    library.hc_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int,
                                    ctypes.c_void_p]
    library.hc_tokenizer_free.argtypes = [ctypes.c_void_p]
    return library


def tokenized(tokenizer, text):
    """OpenCLIP's ids without the padding; None where it raises an exception."""
    try:
        ids = tokenizer(text, CONTEXT_LENGTH)[0].tolist()
    except ValueError:
        return None
    return ids[:max(i for i, token in enumerate(ids) if token) + 1]   # the end token is last and not 0


def tokenized_in_c(library, handle, text):
    """The same of the C tokenizer."""
    data = text.encode()
    ids, used = (ctypes.c_int32 * CONTEXT_LENGTH)(), ctypes.c_int()
    status = library.hc_tokenize(handle, data, len(data), ids, CONTEXT_LENGTH, ctypes.byref(used))
    if status == INPUT_TYPE:
        return None
    assert status == 0 and not any(ids[used.value:])
    return ids[:used.value]


# ---- strings --------------------------------------------------------------------------------------------------------

PHRASES = '''
a photo of a cat
two dogs playing in the snow
The Quick Brown Fox Jumps Over The Lazy Dog
it's what we've got, isn't it?
I'm sure they'll say I'd won
ein Foto einer Straße in München
une photo d'un élève à l'école
una fotografía de un niño pequeño
фотография кошки на окне
φωτογραφία μιας ΓΆΤΑΣ ΟΔΥΣΣΕΎΣ
猫の写真、とてもかわいい
一张猫的照片
고양이 사진입니다
ภาพถ่ายของแมว
बिल्ली की एक तस्वीर
صورة قطة صغيرة
תמונה של חתול
ảnh chụp một con mèo
İstanbul'da bir kedi IŞIK
kačę ir šunį žiūri į mėnulį
kissan kuva äidin pöydällä
ภาษาไทย ๑๒๓
তার একটি ছবি
ஒரு பூனையின் புகைப்படம்
პატარა კატა
Փոքրիկ կատու
ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ
ድመት ፎቶ
ຮູບແມວ
រូបថតឆ្មា
ﬁne ﬂuffy eﬃcient ﬆuff ĳsvrij ŉ Ǆungla
“curly” ‘quotes’ it’s ʼn ‚low’ „low“ «guillemets»
ＦＵＬＬ　ｗｉｄｔｈ！ ﾊﾝｶｸ ｶﾞｷﾞ ﾡﾢﾤ ￦￡
1st 2nd ½ ¾ Ⅷ ²³ ①② ٣٤٥ 一二三 12,345.67
'''.strip().split('\n')
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'lL", "'D", "'ſ", "’s",
                "''s", "'", "'x"]
SPECIALS = ['<start_of_text>', '<end_of_text>', '<START_OF_TEXT>', '<End_Of_Text>', '<ſtart_of_text>', '<end_of_text',
            'end_of_text>', '<|endoftext|>', '<end_of_text><start_of_text>', '!<end_of_text>', '<', '>', '</w>',
            'a</w>', '_']
EMOJI = [chr(c) for c in (*range(0x1F300, 0x1F650), *range(0x1F680, 0x1F700), *range(0x1F900, 0x1FA00),
                          *range(0x2600, 0x27C0))]
SPACES = [' ', '  ', '\n', '\r\n', '\r', '\t', '\x0b', '\x0c', '\x85', '\xa0', '\u1680', '\u2003', '\u2028', '\u2029',
          '\u202f', '\u3000', '\x1c', '\x1f', '\u200b', '\ufeff', '\u2060']
CONTROLS = [chr(c) for c in (*range(0x20), *range(0x7F, 0xA0), *range(0x200B, 0x2010), *range(0x206A, 0x2070), 0xFEFF,
                             *range(0xFFF9, 0xFFFE))]
ESCAPES = ['\x1b[0m', '\x1b[36;44m', '\x1b[;H', '\x1b[٣m', '\x1b[3', '\x1b[', '\x1b', '\x1b[\x1b[mm', '\x1b[&#49;m',
           '\x1b[&amp;#49;m', '\x1b\x01[m', '\x1b［1ｍ']
NAMES = sorted(html5)
SIGMAS = ['ΟΔΟΣ', 'Σ', 'ΑΣ.', 'ΑΣ.Α', "Σ'Σ", 'ΑΣ\u0301', 'Α\u0345Σ', 'ªΣ', 'ʰΣ', '1Σ', 'ΑΣ:Α', 'İΣ', 'ǅΣ', 'Σ\u200dα', 'ꟸΣ']
ASSIGNED = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ('Cn', 'Cs', 'Co')]
BY_BLOCK = [[c for c in ASSIGNED if c >> 7 == block] for block in sorted({c >> 7 for c in ASSIGNED})]
MARKS = [c for c in ASSIGNED if unicodedata.combining(chr(c))]
NUMBERS = [chr(c) for c in ASSIGNED if unicodedata.category(chr(c))[0] == 'N']
COMPOSED = [chr(c) for c in ASSIGNED if unicodedata.decomposition(chr(c)) and not 0x2F800 <= c < 0x2FA20]
CASED = [chr(c) for c in ASSIGNED if chr(c).lower() != chr(c) or chr(c).upper() != chr(c)]


def entity(rng):
    """An HTML reference, whole or broken."""
    kind = rng.randrange(9)
    name = rng.choice(NAMES)
    number = rng.choice([rng.randrange(0x180), rng.randrange(0x3000), rng.randrange(0x120000), 0x80 + rng.randrange(0x20),
                         0xD83D, 0xFFFE])
    if kind < 2:
        return '&' + name
    if kind == 2:
        return '&' + name.upper()
    if kind == 3:
        return '&' + name.rstrip(';') + rng.choice(['', ' ', 'x', ';;', '1;', 'é;', '='])
    if kind == 4:
        return f'&#{number}' + rng.choice([';', ';', '', 'a;', ' '])
    if kind == 5:
        return f'&#{rng.choice("xX")}{number:x}' + rng.choice([';', ';', '', 'g;', ' '])
    if kind == 6:
        return '&' + ''.join(rng.choices(['amp;', 'amp', '&', '#38;', 'lt;', '#', 'semi;', '#59;', 'AMP;', '#x3b;',
                                          '#xff1b;', '#x37e;', '；', ';'], k=rng.randrange(1, 7)))
    if kind == 7:
        return html.escape(html.escape(rng.choice(['<b>', '"x"', 'a & b', '&eacute;', "it's"])))
    return rng.choice(['&', '&;', '&#;', '&#x;', '&#xZ;', '& amp;', '&' + 'a' * 40 + ';', '&#' + '1' * 30 + ';',
                       '&fjlig;', '&FJLIG;', '&SZLIG;', '&notit;', '&NotEqualTilde;', '&CounterClockwiseContourIntegral;'])


def emoji(rng):
    kind = rng.randrange(6)
    base = rng.choice(EMOJI)
    if kind == 0:
        return base + '\ufe0f'
    if kind == 1:
        return base + chr(rng.randrange(0x1F3FB, 0x1F400))
    if kind == 2:
        return '\u200d'.join(rng.choices(EMOJI, k=rng.randrange(2, 5)))
    if kind == 3:
        return ''.join(chr(rng.randrange(0x1F1E6, 0x1F200)) for _ in range(2))
    if kind == 4:
        return rng.choice('0123456789#*') + '\ufe0f\u20e3'
    return base


def draw(rng, words):
    """A string and the kind it is of."""
    def word():
        return rng.choice(words).strip()

    def script(n):
        block = rng.choice(BY_BLOCK)
        return ''.join(chr(rng.choice(block)) for _ in range(n))

    def some(make, low, high, between=''):
        return between.join(make() for _ in range(rng.randrange(low, high)))

    def character(*ranges):
        return chr(rng.choice([rng.randrange(*bounds) for bounds in ranges]))

    def punctuation():
        return ''.join(rng.choices(string.punctuation, k=rng.randrange(1, 6)))

    def marked():
        base = rng.choice([word(), rng.choice(COMPOSED), script(1)])
        return base + some(lambda: chr(rng.choice(MARKS)), 0, 6)

    hangul = (0x1100, 0x1200), (0xAC00, 0xD7A4), (0x1161, 0x1176), (0x11A7, 0x11C3), (0xFFA0, 0xFFDD)
    widths = (0xFF00, 0xFFF0), (0x3000, 0x3100), (0xFB00, 0xFB07)
    curly = '‘’‚‛“”„‟ʼ′″`´\'"«»'
    gap = rng.choice(['', ' '])
    joint = rng.choice([' ', '-', '_', '/', '. '])
    kinds = {
        'caption': lambda: some(word, 1, 12, ' '),
        'phrase': lambda: rng.choice(PHRASES),
        'cases': lambda: some(lambda: rng.choice([str.upper, str.title, str.swapcase])(word()), 1, 8, joint),
        'contractions': lambda: some(lambda: word() + rng.choice(CONTRACTIONS), 1, 6, gap),
        'script': lambda: some(lambda: script(rng.randrange(1, 8)), 1, 6, ' '),
        'any': lambda: some(lambda: chr(rng.choice(ASSIGNED)), 1, 12),
        'unassigned': lambda: some(lambda: character((0, 0xD800), (0xE000, 0x110000)), 1, 8),
        'emoji': lambda: some(lambda: rng.choice([emoji(rng), word()]), 1, 7, gap),
        'marks': lambda: some(marked, 1, 5),
        'decomposed': lambda: unicodedata.normalize(rng.choice(['NFD', 'NFKD']),
                                                    rng.choice(PHRASES) + ''.join(rng.choices(COMPOSED, k=4))),
        'hangul': lambda: some(lambda: character(*hangul), 1, 10),
        'width': lambda: some(lambda: character(*widths), 1, 12),
        'quotes': lambda: some(lambda: rng.choice(curly) + rng.choice([word(), 's', 't', 'll', ' ']), 1, 8),
        'entities': lambda: some(lambda: rng.choice([entity(rng), entity(rng), word() + ' ', *' \n<é\u0301']), 1, 7),
        'controls': lambda: some(lambda: rng.choice([word(), rng.choice(CONTROLS), rng.choice(ESCAPES)]), 1, 8),
        'spaces': lambda: some(lambda: rng.choice([word(), rng.choice(SPACES)]), 1, 12),
        'specials': lambda: some(lambda: rng.choice([word(), rng.choice(SPECIALS)]), 1, 6, gap),
        'numbers': lambda: some(lambda: rng.choice([rng.choice(NUMBERS), str(rng.randrange(10 ** 6)), *'., %x']), 1, 10),
        'lower': lambda: some(lambda: rng.choice([rng.choice(CASED), rng.choice(SIGMAS)]), 1, 10),
        'punctuation': lambda: some(lambda: rng.choice([word(), punctuation()]), 1, 7),
        'long': lambda: some(word, 30, 120, ' '),
        'unbroken': lambda: some(word, 20, 60),
    }
    often, seldom = ('caption', 'entities'), ('long', 'unbroken', 'phrase')
    kind = rng.choices(list(kinds), [6 if kind in often else 1 if kind in seldom else 3 for kind in kinds])[0]
    return kind, kinds[kind]()


def corners():
    """Strings that are always in the sample."""
    return ['', ' ', '\n', "'", 'a', '&', '<', '\u0345', 'a\u0345b', '!\u0345!', 'ǰ\u0345', '\u212a\u2126\u037e',
            '&amp\u037e', f'&#{65:04301d};', f'&#{65:04300d};', f'&#x{65:04400x};', '<\n&amp;eacute; &EACUTE;', '&EACUTE;\n<\n&EACUTE;',
            '&' * 50 + 'amp;' * 50, '&' + 'amp;' * 80 + 'lt;',
            '&am&#1&#49;2;;lt;', '&CHI&#59;', '&CHI;', '&LTIMES;', '&RTIMES;',
            f'it&#{8217:024d};s', f'it&#{8217:025d};s', '&#xFDEF;&#xFDF0;', '&#xFFFE;&#x1FFFF;&#x10FFFF;&#x110000;',
            '가\u11a7', '가\u11a8', '가\u11c2', '가\u11c3', *SIGMAS, *SPECIALS, *ESCAPES, *PHRASES]


def repairs_mojibake(text):
    return ftfy.fix_text(text) != ftfy.fix_text(text, fix_encoding=False)


# ---- comparison -----------------------------------------------------------------------------------------------------

def compare(library, lines, tokenizers, texts):
    """[(text, ids of each mode)] as OpenCLIP gives them, and how many differ in C."""
    packed = pack_merges(lines)
    handles = [library.hc_tokenizer_new(packed, len(packed), mode) for mode in range(len(MODES))]
    results, wrong = [], 0
    for text in texts:
        expected = [tokenized(tokenizer, text) for tokenizer in tokenizers]
        for mode, ids, handle in zip(MODES, expected, handles):
            found = tokenized_in_c(library, handle, text)
            if found != ids:
                wrong += 1
                if wrong <= 20:
                    print(f'{mode}: {text[:300]!r}\n  OpenCLIP {ids}\n  C        {found}', file=sys.stderr)
        results.append((text, expected))
    for handle in handles:
        library.hc_tokenizer_free(handle)
    return results, wrong


def write(path, merges, results):
    out = bytearray(b'HCTOKENS' + struct.pack('<III', merges, CONTEXT_LENGTH, len(results)))
    for text, expected in results:
        data = text.encode()
        out += struct.pack('<H', len(data)) + data
        for i, ids in enumerate(expected):
            if ids is None:
                out.append(RAISES)
            elif i and ids == expected[i - 1]:
                out.append(SAME)
            else:
                out += struct.pack(f'<B{len(ids)}H', len(ids), *ids)
    path.write_bytes(out)
    print(f'{path.relative_to(ROOT)}: {len(results)} strings, {len(out)} bytes')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=24000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--no-write', action='store_true', help='compare only')
    args = parser.parse_args()

    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        library, lines = build(folder), merge_lines()
        tokenizers = reference_tokenizers(lines, folder)
        assert tokenizers[0].encoder == reference.SimpleTokenizer().encoder
        words = [tokenizers[0].decode([512 + i]) for i in range(len(lines))]
        words = [word for word in words if '\ufffd' not in word]
        kinds, mojibake = {}, 0
        texts = [text for text in corners() if not repairs_mojibake(text)]
        always = len(texts)
        while len(texts) < always + args.count:
            kind, text = draw(rng, words)
            if repairs_mojibake(text):
                mojibake += 1
                continue
            texts.append(text)
            kinds[kind] = kinds.get(kind, 0) + 1
        print(f'{len(texts)} strings, and {mojibake} left out in which ftfy repairs mojibake;',
              ', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items())))
        results, wrong = compare(library, lines, tokenizers, texts)

        short = merge_lines(3000)
        some = texts[:always] + texts[always::20]
        short_results, short_wrong = compare(library, short, reference_tokenizers(short, folder), some)
        print(f'{wrong + short_wrong} of {len(MODES) * (len(texts) + len(some))} comparisons differ')

    if not args.no_write and not wrong and not short_wrong:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        write(GOLDEN / 'full.bin', len(lines), results[:always] + results[always::max(1, args.count // 2900)])
        write(GOLDEN / 'prefix.bin', len(short), short_results[:always] + short_results[always::8])
    return bool(wrong or short_wrong)


if __name__ == '__main__':
    sys.exit(main())
