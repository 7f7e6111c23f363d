"""The data of halfclip-emoji: pictures, names and keywords of emoji, all from Debian packages.

Pictures   fonts-noto-color-emoji   NotoColorEmoji.ttf, bitmaps of 136x128      SIL Open Font License 1.1
Texts      unicode-cldr-core        English annotations and category labels     Unicode licence (Unicode-DFS-2016)

An emoji is kept when the font draws it as one glyph. Skin tones are left out (they would make five near copies of every person);
gender variants, flags and keycaps stay. Of emoji that the font draws alike, the first by code point
stays. That leaves four flags known only by a territory's name: Spain's (Ceuta & Melilla), France's (Clipperton Island), Norway's
(Bouvet Island) and that of the United States (U.S. Outlying Islands).
"""
import random
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = Path('/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf')
CLDR = Path('/usr/share/unicode/cldr/common')
GLYPH = 136                    # side of a rendered emoji in pixels: the font's bitmaps, on a square
STRIKE = 109                   # the only size that the font has
SKIN_TONES = re.compile('[\U0001F3FB-\U0001F3FF]')
STOP_WORDS = frozenset('a an the of on in at to and or with for over'.split())
# The general file first, so that its name for an emoji wins; the regional ones add keywords.
LOCALES = ('en', 'en_001', 'en_GB', 'en_AU', 'en_CA', 'en_IN')


@dataclass
class Emoji:
    text: str                                           # its code points, without variation selectors
    name: str                                           # CLDR's short name, lower case
    keywords: list = field(default_factory=list)        # lower case, without the name
    labels: list = field(default_factory=list)          # words of its category: "animal", "mammal"

    @property
    def slug(self):
        return re.sub(r'[^a-z0-9]+', '-', self.name).strip('-')


def words(text):
    """The words of a phrase that mean something, lower case, as a set."""
    found = re.findall(r"[\w#*+]+(?:[’'][\w]+)*", text.lower())
    return frozenset(w for w in found if w not in STOP_WORDS) or frozenset(found) or frozenset([text.lower()])


@lru_cache(maxsize=1)
def _font():
    return ImageFont.truetype(str(FONT), STRIKE, layout_engine=ImageFont.Layout.RAQM)


def render(text):
    """The emoji as GLYPH x GLYPH RGBA, or None when the font has no single glyph for it."""
    if not 130 < _font().getlength(text) < 140:
        return None
    picture = Image.new('RGBA', (GLYPH, GLYPH))
    ImageDraw.Draw(picture).text((0, 4), text, font=_font(), embedded_color=True)
    return picture if picture.getbbox() else None


def _unicode_set(text):
    """The strings of a plain UnicodeSet such as [ab-d{xy}]."""
    for sequence, first, last in re.findall(r'\{(.+?)\}|(.)(?:-(.))?', text.strip()[1:-1]):
        if sequence:
            yield sequence
        else:
            yield from map(chr, range(ord(first), ord(last or first) + 1))


def _labels():
    """Emoji -> words of its category: labels.txt says [🐀-🐂] ; Animals & Nature ; animal-mammal."""
    labels = {}
    for line in (CLDR / 'properties' / 'labels.txt').read_text(encoding='utf-8').splitlines():
        fields = [part.strip() for part in line.split(';')]
        if line.startswith('#') or len(fields) < 3:
            continue
        for text in _unicode_set(fields[0]):
            kinds = labels.setdefault(text.replace('\uFE0F', ''), [])
            kinds += [w for w in re.split(r'[^a-z]+', fields[2].lower()) if w not in ('', 'other', *kinds)]
    return labels


def load_emoji():
    """All emoji, in the order of their code points, and their pictures: a list of Emoji and one of RGBA images."""
    names, keywords = {}, {}
    for locale in LOCALES:
        for folder in ('annotations', 'annotationsDerived'):
            for node in ElementTree.parse(CLDR / folder / f'{locale}.xml').getroot().iter('annotation'):
                text = node.get('cp').replace('\uFE0F', '')
                value = (node.text or '').lower()
                if '↑' in value:                        # "as in the parent locale"
                    continue
                if node.get('type') == 'tts':
                    names.setdefault(text, value.strip())
                    keywords.setdefault(text, []).append(value.strip())
                else:
                    keywords.setdefault(text, []).extend(part.strip() for part in value.split('|'))
    labels, emoji, pictures, seen = _labels(), [], [], set()
    for text in sorted(names):
        if SKIN_TONES.search(text) or text.isascii():
            continue
        picture = render(text)
        if picture is None or picture.tobytes() in seen:
            continue
        seen.add(picture.tobytes())
        unique = dict.fromkeys(k for k in keywords[text] if k and k != names[text])
        emoji.append(Emoji(text, names[text], list(unique), labels.get(text, [])))
        pictures.append(picture)
    return emoji, pictures


def _same_stem(a, b):
    """Whether two words are forms of one: cat and cats, cry and crying, celebrate and celebration."""
    shared = 0
    while shared < min(len(a), len(b)) and a[shared] == b[shared]:
        shared += 1
    return a == b or shared >= 5 or (shared >= 3 and shared >= min(len(a), len(b)) - 1)


def hold_out(emoji, fraction=0.1, others=2, seed=2026):
    """Takes (emoji, keyword) pairs out of `emoji` for the evaluation and returns them as [(index, keyword)].

    Pairs are drawn at random until `fraction` of all pairs is out. A pair is eligible when
      - at least `others` other emoji keep the keyword, so that its meaning can be learnt, and
      - no word of it, nor another form of that word, is left in the emoji's name or its other keywords: nothing else gives it away.
    Category labels that would give a pair away are dropped from that emoji.
    """
    pairs = [(i, k) for i, e in enumerate(emoji) for k in e.keywords]
    remaining = Counter(k for _, k in pairs)
    wanted, held = round(fraction * len(pairs)), []
    random.Random(seed).shuffle(pairs)
    for i, keyword in pairs:
        e = emoji[i]
        left = words(e.name).union(*(words(k) for k in e.keywords if k != keyword))
        if len(held) == wanted:
            break
        if remaining[keyword] <= others or any(_same_stem(a, b) for a in words(keyword) for b in left):
            continue
        e.keywords.remove(keyword)
        e.labels = [l for l in e.labels if not any(_same_stem(l, w) for w in words(keyword))]
        remaining[keyword] -= 1
        held.append((i, keyword))
    return sorted(held)
