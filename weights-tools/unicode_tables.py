"""Writes the character tables of the tokenizer: src/text/unicode_tables.inc and src/text/html_entities.inc.

    python weights-tools/unicode_tables.py

OpenCLIP's tokenizer draws on three Unicode versions at once, and so does this script: Python's own (str.lower, unicodedata,
re's \\d), the `regex` package's (\\p{L}, \\p{N}, \\s under IGNORECASE) and ftfy's tables. Nothing is copied by hand: each
property is asked of the very function that OpenCLIP ends up calling. Run it again after an upgrade of any of the three.

The tables travel in the .wasm, so they are written as bytes that compress well: columns of LEB128 numbers, each the
difference to the number before it (zigzag where it can be negative). src/text/unicode.c unpacks them.
"""
import html
import re
import sys
import unicodedata
from html.entities import html5
from pathlib import Path

import ftfy.chardata
import ftfy.fixes
import regex

SRC = Path(__file__).resolve().parent.parent / 'src'
CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# Bits of a character's properties, as in src/text/unicode.h.
LETTER, NUMBER, OTHER, DECIMAL, CASED, CASE_IGNORABLE = (1 << i for i in range(6))


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number):
    return varint(number * 2 if number >= 0 else -number * 2 - 1)


def deltas(numbers, code=zigzag):
    """Each number as the difference to the one before it; the first as it is."""
    return b''.join(code(b - a) for a, b in zip([0, *numbers], numbers))


# ---- properties -----------------------------------------------------------------------------------------------------

def properties():
    """{code: bits | combining class << 8} for every code point but the surrogates."""
    # The three runs of OpenCLIP's pattern. U+0345 is in none of them: IGNORECASE takes it for its fold, a letter, in the
    # negated set only.
    letter = regex.compile(r'[\p{L}]+', regex.IGNORECASE)
    number = regex.compile(r'[\p{N}]', regex.IGNORECASE)
    other = regex.compile(r'[^\s\p{L}\p{N}]+', regex.IGNORECASE)
    decimal = re.compile(r'\d')
    table = {}
    for code in CODES:
        char = chr(code)
        bits = (LETTER * bool(letter.fullmatch(char)) | NUMBER * bool(number.fullmatch(char))
                | OTHER * bool(other.fullmatch(char)) | DECIMAL * bool(decimal.fullmatch(char)))
        # str.lower turns a capital sigma into a final one after a cased letter; case-ignorable characters between do
        # not count. Cased ones that are also ignorable are only ever skipped.
        after = (char + 'Σ').lower()[-1] == 'ς'
        after_cased = ('a' + char + 'Σ').lower()[-1] == 'ς'
        bits |= CASED if after else CASE_IGNORABLE if after_cased else 0
        table[code] = bits | unicodedata.combining(char) << 8
        # src/text/clean.c does no str.split and no str.strip: whatever they cut at is outside every run of the pattern,
        # or does not get that far.
        if char.isspace() and bits & (LETTER | NUMBER | OTHER):
            assert ftfy.fixes.remove_control_chars(char) == '' and html.unescape(f'&#{code};') == '', hex(code)
        assert char.isspace() or bits & (LETTER | NUMBER | OTHER) or code == 0x345, hex(code)
        assert not (char.isspace() and bits & (CASED | CASE_IGNORABLE)), hex(code)
    return table


def runs(table):
    """Run lengths, then the index of each run's value, then the values; surrogates continue the run before them."""
    lengths, values = [], []
    for code in range(0x110000):
        value = table.get(code, values[-1] if values else 0)
        if values and values[-1] == value:
            lengths[-1] += 1
        else:
            lengths.append(1)
            values.append(value)
    distinct = sorted(set(values), key=values.count, reverse=True)
    assert len(distinct) < 256
    data = b''.join(map(varint, lengths)) + bytes(map(distinct.index, values)) + b''.join(map(varint, distinct))
    return data, len(lengths), len(distinct)


# ---- mappings -------------------------------------------------------------------------------------------------------

def as_pairs(table, start):
    """{code: text} as [(code, first, second)], first to be mapped again; second 0 for none.

    A text of three characters needs another entry whose text is its first two: under a code from `start` on, if no
    character has it.
    """
    pairs = {}
    by_text = {text: code for code, text in table.items()}
    for code, text in table.items():
        while len(text) > 2:
            head = text[:-1]
            if head not in by_text:
                by_text[head] = start
                start += 1
                assert len(head) == 2
                pairs[by_text[head]] = (ord(head[0]), ord(head[1]))
            text = chr(by_text[head]) + text[-1]
        pairs[code] = (ord(text[0]), ord(text[1]) if len(text) > 1 else 0)
    return [(code, *pairs[code]) for code in sorted(pairs)]


def canonical():
    """Canonical decompositions but Hangul's, and whether the pair composes again."""
    pairs, composes = [], []
    for code in CODES:
        parts = unicodedata.decomposition(chr(code)).split()
        if not parts or parts[0].startswith('<'):
            continue
        parts = [int(part, 16) for part in parts]
        pairs.append((code, parts[0], parts[1] if len(parts) == 2 else 0))
        composes.append(len(parts) == 2 and unicodedata.normalize('NFC', chr(parts[0]) + chr(parts[1])) == chr(code))
    return pairs, composes


def ftfy_folds():
    """What ftfy's steps on single characters make of each, in ftfy's order; removed characters are not here."""
    table = {}
    for code in CODES:
        text = chr(code)
        for step in (ftfy.fixes.fix_c1_controls, ftfy.fixes.fix_latin_ligatures, ftfy.fixes.fix_character_width,
                     ftfy.fixes.uncurl_quotes, ftfy.fixes.fix_line_breaks):
            text = step(text)
        if text != chr(code):
            table[code] = text
            # One look-up must do for what two passes of ftfy do.
            assert all(ftfy.fixes.remove_control_chars(c) == c for c in text), hex(code)
    return as_pairs(table, 0x110000)


def lower():
    table = {code: chr(code).lower() for code in CODES if chr(code).lower() != chr(code)}
    return as_pairs(table, 0x110000)


def entity_upper():
    """ftfy reads an entity written in capitals as the capital of its character."""
    chars = {char for name, text in html5.items() if '&' + name.upper() in ftfy.chardata.HTML_ENTITIES for char in text}
    table = {ord(char): char.upper() for char in chars if char.upper() != char}
    for name, text in ftfy.chardata.HTML_ENTITIES.items():
        if name[1:] not in html5:
            assert name == name.upper() and text == html5[name[1:].lower()].upper()
    return as_pairs(table, 0x110000)


def mapping(pairs, composes=None):
    """Columns: codes (with composes' bit below), first parts relative to the code, second parts."""
    composes = composes or [False] * len(pairs)
    codes = [code for code, _, _ in pairs]
    return (b''.join(varint((b - a) * 2 + flag) for a, b, flag in zip([0, *codes], codes, composes))
            + deltas([first - code for code, first, _ in pairs]) + deltas([second for _, _, second in pairs]))


# ---- HTML entities --------------------------------------------------------------------------------------------------

def entities():
    """html.entities.html5 in order of name.

    Columns: how many letters each name shares with the one before it (and flags), the rest of it with the top bit on its
    last letter, the first and the second code point of its value.
    """
    names = sorted({name.rstrip(';') for name in html5})
    heads, rests, firsts, seconds, previous, flags = bytearray(), bytearray(), [], [], '', 0
    for name in names:
        value = html5[name + ';']
        assert html5.get(name, value) == value and name.isascii() and name.isalnum()
        shared = next((i for i, (a, b) in enumerate(zip(previous, name)) if a != b), min(len(previous), len(name)))
        assert shared < 32 and shared < len(name)
        heads.append(shared | (name in html5) << 5 | (len(value) > 1) << 6)
        rests += name[shared:-1].encode() + bytes([ord(name[-1]) | 0x80])
        firsts.append(ord(value[0]))
        if len(value) > 1:
            seconds.append(ord(value[1]))
        previous = name
    assert max(map(len, names)) < 32
    data = bytes(heads) + bytes(rests) + deltas(firsts) + deltas(seconds)
    return data, len(names), sum(map(len, names)), max(len(name) for name in names if name in html5)


# ---- files ----------------------------------------------------------------------------------------------------------

def array(name, data):
    lines, line = [], '   '
    for byte in data:
        if len(line) > 115:
            lines.append(line)
            line = '   '
        line += f' {byte},'
    return f'static const uint8_t {name}[{len(data)}] = {{\n' + '\n'.join([*lines, line]) + '\n};\n'


def header(what):
    return (f'/* {what} Written by weights-tools/unicode_tables.py, which describes the layout.\n'
            f' * Python {sys.version.split()[0]} (Unicode {unicodedata.unidata_version}), regex {regex.__version__}, '
            f'ftfy {ftfy.__version__}. */\n')


def main():
    data, run_count, value_count = runs(properties())
    tables = [('canonical', canonical()), ('ftfy', (ftfy_folds(), None)), ('lower', (lower(), None)),
              ('upper', (entity_upper(), None))]
    text = header('Character properties and mappings.')
    text += f'enum {{ PROPERTY_RUNS = {run_count}, PROPERTY_VALUES = {value_count},\n'
    text += ',\n'.join(f'       {name.upper()}_COUNT = {len(pairs)}' for name, (pairs, _) in tables) + ' };\n\n'
    text += array('property_data', data)
    print('properties', run_count, 'runs', len(data), 'bytes')
    for name, (pairs, composes) in tables:
        data = mapping(pairs, composes)
        print(name, len(pairs), 'entries', len(data), 'bytes')
        text += '\n' + array(f'{name}_data', data)
    (SRC / 'unicode_tables.inc').write_text(text)

    data, count, letters, longest = entities()
    print('entities', count, 'names', len(data), 'bytes')
    text = header('HTML 5 named character references.')
    text += f'enum {{ ENTITY_COUNT = {count}, ENTITY_LETTERS = {letters}, ENTITY_LONGEST_BARE = {longest} }};\n\n'
    (SRC / 'html_entities.inc').write_text(text + array('entity_data', data))


if __name__ == '__main__':
    main()
