"""Pictures that photographs lack, drawn from random numbers: patterns, text, line drawings, flat and shaded fields.

Most are neutral, for that is what a network of colour photographs gets wrong: it takes a fine grey pattern for a
coloured one. Details are measured in pixels of the small picture (`unit` pixels of the drawn one), so that a pattern as
fine as the small picture can hold comes up at every scale. `within` puts one into a photograph. It reads no file.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.train.data import Pixels

Field = NDArray[np.float64]  # (side, side) in [0, 1]
Sort = Callable[[np.random.Generator, int, float], Field]  # of pattern, of a side, with details of so many pixels
FINEST, COARSEST = 0.8, 8.0  # of a detail, in pixels of the small picture
FINEST_WEAVE = 4  # pixels a side
NEUTRAL = 0.8  # share of the patterns that are grey
SMOOTHING = 3  # lines and letters are drawn so many times larger


def draw(rng: np.random.Generator, side: int, unit: float) -> Pixels:
    """One picture of (side, side, 3)."""
    return KINDS[int(rng.integers(len(KINDS)))](rng, side, unit)


def within(photo: Pixels, rng: np.random.Generator, unit: float) -> Pixels:
    """A copy of a square photograph in which a rectangle is a pattern."""
    side = photo.shape[0]
    height, width = (int(rng.integers(max(1, side // 4), side)) for _ in range(2))
    top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
    out = photo.copy()
    out[top : top + height, left : left + width] = pattern(rng, side, unit)[:height, :width]
    return out


def grey(photo: Pixels) -> Pixels:
    """The photograph without its colours."""
    luma = (photo @ np.array([0.299, 0.587, 0.114]) + 0.5).astype(np.uint8)
    return np.repeat(luma[..., None], 3, 2)


def pattern(rng: np.random.Generator, side: int, unit: float) -> Pixels:
    """Checkers, gratings, halftones, dithers or, as often as these together, weaves between two colours."""
    return one_of(PATTERNS, rng, side, unit)


def one_of(sorts: Sequence[Sort], rng: np.random.Generator, side: int, unit: float) -> Pixels:
    """One sort of pattern between two colours."""
    kind = sorts[int(rng.integers(len(sorts)))]
    return between(kind(rng, side, unit), *two_colours(rng))


def between(field: Field, low: Field, high: Field) -> Pixels:
    """0 is one colour, 1 the other."""
    return (low + field[..., None] * (high - low) + 0.5).clip(0, 255).astype(np.uint8)


def two_colours(rng: np.random.Generator) -> tuple[Field, Field]:
    """Two colours of three levels each, far enough apart to be seen; most often greys, and black and white."""
    if rng.uniform() < NEUTRAL:
        low, high = (0.0, 255.0) if rng.uniform() < 0.5 else sorted(rng.uniform(0, 255, 2))
        return np.full(3, low), np.full(3, high)
    return rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)


def places(side: int, angle: float) -> tuple[Field, Field]:
    """Coordinates of each pixel's centre along two axes at right angles."""
    y, x = np.mgrid[:side, :side] + 0.5
    return math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x


def random_angle(rng: np.random.Generator) -> float:
    """Upright as often as not."""
    return float(rng.choice([0.0, math.pi / 4])) if rng.uniform() < 0.5 else float(rng.uniform(0, math.pi))


def detail(rng: np.random.Generator, unit: float) -> float:
    """Size of a detail in pixels of the picture; fine ones as often as coarse ones."""
    return unit * float(np.exp(rng.uniform(math.log(FINEST), math.log(COARSEST))))


def checkers(rng: np.random.Generator, side: int, unit: float) -> Field:
    cell = unit * round(max(1, detail(rng, 1))) if rng.uniform() < 0.5 else detail(rng, unit)
    x, y = places(side, random_angle(rng))
    return ((np.floor(x / cell) + np.floor(y / cell)) % 2).astype(float)


def gratings(rng: np.random.Generator, side: int, unit: float) -> Field:
    """Waves, or bars, of one direction; their period may change on the way."""
    period = 2 * detail(rng, unit)
    x, _ = places(side, random_angle(rng))
    chirp = float(rng.uniform(0, 1)) if rng.uniform() < 0.3 else 0.0
    wave = np.sin(2 * math.pi * (x / period * (1 + chirp * x / side) + rng.uniform()))
    return (wave > 0).astype(float) if rng.uniform() < 0.4 else (wave + 1) / 2


def halftones(rng: np.random.Generator, side: int, unit: float) -> Field:
    """Dots on a slanted grid, as large as a shade asks for."""
    cell = 1.5 * detail(rng, unit)
    x, y = places(side, random_angle(rng))
    near = np.cos(2 * math.pi * x / cell) + np.cos(2 * math.pi * y / cell)
    edge = cell / (8 * unit)
    return ((near / 2 + 2 * shade(rng, side) - 1) * max(1.0, edge) * 2 + 0.5).clip(0, 1)


def dithers(rng: np.random.Generator, side: int, unit: float) -> Field:
    """A shade in two levels, each pixel of the small picture one of them: ordered, or at random."""
    count = math.ceil(side / unit)
    wanted = shade(rng, count)
    if rng.uniform() < 0.7:
        threshold = np.tile(BAYER, (count // 8 + 1, count // 8 + 1))[:count, :count]
    else:
        threshold = rng.uniform(size=(count, count))
    return in_pixels((wanted > threshold).astype(float), side, unit)


def weaves(rng: np.random.Generator, side: int, unit: float) -> Field:
    """A few pixels of the small picture, over and over: checkers, columns, rows and weaves as fine as it can hold."""
    count = math.ceil(side / unit)
    height, width = (int(rng.integers(1, FINEST_WEAVE + 1)) for _ in range(2))
    tile = rng.integers(2, size=(height, width)).astype(float)
    if rng.uniform() < 0.7:
        tile = WEAVES[int(rng.integers(len(WEAVES)))]
    return in_pixels(np.tile(tile, (count, count))[:count, :count], side, unit)


def in_pixels(small: Field, side: int, unit: float) -> Field:
    """Each of the small picture's pixels as a square of `unit`."""
    at = (np.arange(side) / unit).astype(int).clip(max=len(small) - 1)
    large: Field = small[at][:, at]
    return large


def shade(rng: np.random.Generator, side: int) -> Field:
    """A slope, or a flat field, in [0, 1]."""
    if rng.uniform() < 0.4:
        return np.full((side, side), rng.uniform(0.1, 0.9))
    x, _ = places(side, float(rng.uniform(0, 2 * math.pi)))
    x = (x - x.min()) / max(float(np.ptp(x)), 1e-9)
    low, high = rng.uniform(0, 1, 2)
    slope: Field = low + (high - low) * x
    return slope


def bayer(order: int) -> Field:
    """Thresholds of ordered dithering, (2^order, 2^order), in (0, 1). Source: Bayer, ICC 1973."""
    matrix = np.zeros((1, 1))
    for _ in range(order):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return (matrix + 0.5) / matrix.size


def fields(rng: np.random.Generator, side: int, unit: float) -> Pixels:
    """A flat field or a slope between two colours."""
    return between(shade(rng, side), *two_colours(rng))


def drawings(rng: np.random.Generator, side: int, unit: float) -> Pixels:
    """Lines, circles and polygons on a ground of one colour."""
    large = side * SMOOTHING
    image, drawing, ink = sheet(rng, large)
    for _ in range(int(rng.integers(4, 14))):
        points = [tuple(point) for point in rng.uniform(-0.2, 1.2, (3, 2)) * large]
        wide = max(1, round(SMOOTHING * detail(rng, unit) / 2))
        kind = int(rng.integers(4))
        if kind == 0:
            drawing.line(points[:2], ink(), wide)
        elif kind == 1:
            drawing.line(points, ink(), wide, joint="curve")
        elif kind == 2:
            (x, y), radius = points[0], rng.uniform(0.05, 0.5) * large
            drawing.ellipse((x - radius, y - radius, x + radius, y + radius), None, ink(), wide)
        else:
            drawing.polygon(points, ink(), ink(), max(1, wide // 2))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def texts(rng: np.random.Generator, side: int, unit: float) -> Pixels:
    """Lines of letters, as on a page or a screen, with a bar or a frame here and there."""
    large = side * SMOOTHING
    image, drawing, ink = sheet(rng, large)
    height = SMOOTHING * unit * float(rng.uniform(5, 20))
    font = ImageFont.load_default(size=height)
    colour, top = ink(), -height * float(rng.uniform())
    letters = list(string.ascii_letters + string.digits + " " * 10 + ".,:;-()/")
    while top < large:
        if rng.uniform() < 0.15:
            drawing.rectangle((0, top, large * rng.uniform(), top + height), ink())
        words = "".join(rng.choice(letters, max(4, int(2.5 * large / height))))
        drawing.text((-height * rng.uniform(), top), words, colour, font)
        top += height * float(rng.uniform(1.1, 1.6))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def sheet(
    rng: np.random.Generator, side: int
) -> tuple[Image.Image, ImageDraw.ImageDraw, Callable[[], tuple[int, int, int]]]:
    """A ground, what draws on it, and inks: dark on light or the other way round, grey or coloured."""
    grey_only, dark = rng.uniform() < NEUTRAL, rng.uniform() < 0.3

    def some(low: float, high: float) -> tuple[int, int, int]:
        levels = np.full(3, rng.uniform(low, high)) if grey_only else rng.uniform(low, high, 3)
        red, green, blue = (int(level) for level in levels)
        return red, green, blue

    image = Image.new("RGB", (side, side), some(0, 80) if dark else some(180, 256))
    return image, ImageDraw.Draw(image), lambda: some(150, 256) if dark else some(0, 140)


BAYER = bayer(3)
WEAVES = tuple(np.array(tile, float) for tile in ([[0, 1], [1, 0]], [[0, 1]], [[0], [1]], [[0, 0], [0, 1]]))
SORTS: tuple[Sort, ...] = (checkers, gratings, halftones, dithers, weaves)
PATTERNS = (*SORTS, weaves, weaves, weaves)
KINDS: tuple[Callable[[np.random.Generator, int, float], Pixels], ...] = (pattern, pattern, texts, drawings, fields)
