#!/usr/bin/env python3
"""Pictures of emoji that halfclip-emoji was not trained on: another generator than training's, drawn by PIL at 256x256.

    python3 weights-tools/emoji_pictures.py [FOLDER]      writes the demo's pictures (default tests/pictures)

The pictures contain glyphs of the Noto colour emoji font (SIL Open Font License 1.1).
"""
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from emoji_data import load_emoji

SIDE = 256

# What the demo shows: by CLDR name, and pairs that stand side by side.
SINGLES = """cat face|dog face|tiger|elephant|penguin|owl|octopus|tropical fish|butterfly|honeybee|sunflower|cactus|red apple|banana|grapes|
strawberry|carrot|pizza|hamburger|sushi|birthday cake|doughnut|hot beverage|beer mug|grinning face|crying face|enraged face|sleeping face|
party popper|wrapped gift|christmas tree|red heart|automobile|bicycle|airplane|sailboat|rocket|locomotive|house|castle|volcano|rainbow|
snowman|umbrella with rain drops|soccer ball|guitar|camera|laptop|books|key""".replace('\n', '').split('|')
PAIRS = [('cat face', 'red heart'), ('dog face', 'bone'), ('sun', 'umbrella'), ('bread', 'cheese wedge'), ('taxi', 'vertical traffic light'),
         ('mouse face', 'cheese wedge'), ('crown', 'gem stone'), ('robot', 'rocket')]


def background(rng):
    """Plain, gradient, blurred ellipses, stripes, checks or paper, as an RGB picture."""
    def colour():
        c = rng.integers(0, 256, 3)
        return tuple(int(v) for v in (np.full(3, c.mean()) if rng.random() < 0.25 else c))
    picture = Image.new('RGB', (SIDE, SIDE), colour())
    draw, kind = ImageDraw.Draw(picture), rng.integers(6)
    if kind == 1:
        ramp = Image.linear_gradient('L').rotate(float(rng.uniform(0, 360)), expand=False, resample=Image.BICUBIC, fillcolor=128)
        picture = Image.composite(picture, Image.new('RGB', (SIDE, SIDE), colour()), ramp)
    elif kind == 2:
        for _ in range(12):
            x, y, w, h = rng.uniform(-60, SIDE, 2).tolist() + rng.uniform(40, 180, 2).tolist()
            draw.ellipse((x, y, x + w, y + h), fill=colour())
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(8, 30))))
    elif kind in (3, 4):
        step, fill = int(rng.integers(16, 64)), colour()
        soft = tuple((3 * a + b) // 4 for a, b in zip(picture.getpixel((0, 0)), fill))
        for i in range(0, SIDE, step):
            for j in range(0, SIDE, step):
                if (i // step + (j // step if kind == 4 else 0)) % 2:
                    draw.rectangle((i, j, i + step - 1, j + step - 1), fill=soft)
    elif kind == 5:
        noise = rng.normal(0, 12, (SIDE, SIDE, 1)) + np.asarray(picture, dtype=np.float64)
        picture = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2))))
    return picture


def paste(picture, glyph, side, centre, angle):
    glyph = glyph.resize((side, side), Image.LANCZOS).rotate(angle, resample=Image.BICUBIC, expand=True)
    picture.paste(glyph, (int(centre[0] - glyph.width / 2), int(centre[1] - glyph.height / 2)), glyph)


def photograph(picture, rng):
    """Colour, contrast and brightness, a slight blur, and JPEG."""
    for enhance in (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness):
        picture = enhance(picture).enhance(float(rng.uniform(0.8, 1.2)))
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2))))
    data = io.BytesIO()
    picture.save(data, 'JPEG', quality=int(rng.integers(60, 95)))
    return Image.open(data).convert('RGB')


def draw_one(glyph, rng, low=0.45, high=0.95):
    picture = background(rng)
    side = int(SIDE * rng.uniform(low, high))
    room = (SIDE - side) / 2
    paste(picture, glyph, side, SIDE / 2 + rng.uniform(-room, room, 2), float(rng.uniform(-20, 20)))
    return photograph(picture, rng)


def draw_two(left, right, rng):
    picture = background(rng)
    for glyph, x in ((left, 0.27), (right, 0.73)):
        paste(picture, glyph, int(SIDE * rng.uniform(0.42, 0.5)), (SIDE * x, SIDE * rng.uniform(0.4, 0.6)), float(rng.uniform(-12, 12)))
    return photograph(picture, rng)


def main(folder):
    emoji, glyphs = load_emoji()
    index = {e.name: i for i, e in enumerate(emoji)}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('*.jpg'):
        old.unlink()
    rng = np.random.default_rng(31337)
    for name in SINGLES:
        picture = draw_one(glyphs[index[name]], rng, 0.6, 0.9)
        picture.save(folder / f'{emoji[index[name]].slug}.jpg', quality=88)
    for left, right in PAIRS:
        picture = draw_two(glyphs[index[left]], glyphs[index[right]], rng)
        picture.save(folder / f'{emoji[index[left]].slug}-and-{emoji[index[right]].slug}.jpg', quality=88)


if __name__ == '__main__':
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / 'tests' / 'pictures')
