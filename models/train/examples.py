"""What a model's card shows: pictures on which it does well and on which it fails, chosen by looking at what came out.

Only what may be shown and kept with the code: Kodak's pictures and GB82's, and what is drawn here. GB82's were learnt
from, Kodak's were not. It draws no result; that is the business of `models.train.gallery`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.train import made, patterns
from models.train.data import Pixels
from models.train.degradations import add_noise, through_jpeg, to_8_bit
from models.train.weather import Haze, Rain, Streaks, add_haze, add_rain, distances, draw_scene

SIDE = 144  # pixels of a part that is shown; a multiple of each scale
SMALL_LETTERS = 27  # pixels high, made smaller by the scale
HAZE = Haze((0.95, 0.95, 0.95), 1.1)
RAIN = Rain((Streaks(14, 45, 1.6, 0.6), Streaks(60, 20, 1.1, 0.25)), angle=12, spread=1.5)

Spoil = Callable[[Pixels], Pixels]


def untouched(pixels: Pixels) -> Pixels:
    return pixels


@dataclass(frozen=True)
class Example:
    """A part of a picture, what is done to it and what it shows.

    `picture`: a file below the data folder, or what draws one. `corner`: (left, top) of the part, pixels. `scale`: it
    is made so many times smaller. `spoil` falls on what goes in. `exact`: what is drawn goes in as it is, and there is
    no original beside what comes out.
    """

    label: str
    picture: str | Callable[[], Pixels]
    corner: tuple[int, int] = (0, 0)
    scale: int = 1
    spoil: Spoil = untouched
    exact: bool = False


@dataclass(frozen=True)
class Gallery:
    """A card's picture: a column for each of the models, a row for each example."""

    models: tuple[str, ...]
    examples: tuple[Example, ...]


def kodak(number: int) -> str:
    return f"bench/kodak24/kodim{number:02}.png"


def gb82(name: str) -> str:
    return f"train/photos/gb82_{name}.webp"


# ---- What falls on a picture ----------------------------------------------------------------------------------------


def jpeg(quality: int) -> Spoil:
    return partial(through_jpeg, quality=quality)


def noise(sigma: float, channels: int = 3) -> Spoil:
    return lambda pixels: add_noise(pixels, sigma, channels, np.random.default_rng(0))


def rain(pixels: Pixels) -> Pixels:
    return add_rain(pixels, RAIN, np.random.default_rng(0))


def haze(pixels: Pixels) -> Pixels:
    return add_haze(pixels, HAZE, distances(pixels, draw_scene(np.random.default_rng(0))))


def grey_noise(pixels: Pixels) -> Pixels:
    """A grey photograph with noise, which is the same in all three colours."""
    return noise(25, 1)(made.grey(pixels))


def flat_light(pixels: Pixels) -> Pixels:
    """Half the contrast, a little dark and pale, as from a cloudy day."""
    levels = pixels.astype(float)
    grey = levels.mean(2, keepdims=True)
    return to_8_bit(60 + 0.4 * (grey + 0.7 * (levels - grey)))


# ---- What is drawn --------------------------------------------------------------------------------------------------


def pattern(name: str, contrast: str = "full") -> Pixels:
    """A grey pattern of single pixels inside smooth colours, (56, 56, 3)."""
    return patterns.draw(patterns.PATTERNS[name], contrast, inside=True)


def letters() -> Pixels:
    side = 3 * SIDE
    image = Image.new("RGB", (side, side), (250, 250, 248))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(SMALL_LETTERS)
    words = ("Quarterly figures", "in thousands", "gross 3,816.40", "net 2,975.05", "see note 8b", "page 61 of 360")
    for line in range(side // (SMALL_LETTERS + 9)):
        pen.text((9, 9 + line * (SMALL_LETTERS + 9)), words[line % len(words)], (20, 24, 32), font)
    return np.asarray(image)


def drawing() -> Pixels:
    return made.drawings(np.random.default_rng(9), 4 * SIDE, 4.0)


def dots() -> Pixels:
    """A newspaper's halftone at 45 degrees, its dots 2.7 pixels apart."""
    side = 3 * SIDE
    x, y = made.places(side, np.pi / 4)
    near = np.cos(2 * np.pi * x / 2.7) + np.cos(2 * np.pi * y / 2.7)
    shade = np.linspace(0.15, 0.85, side)
    return made.between((near / 2 + 2 * shade - 1).clip(-0.5, 0.5) + 0.5, np.zeros(3), np.full(3, 255.0))


def halftone() -> Pixels:
    """The first of the sound halftones that restorers are measured with (`models.train.met`)."""
    rng = np.random.default_rng(0)
    return made.between(made.halftones(rng, 192, 1.0), *made.two_colours(rng))


def mid_grey() -> Pixels:
    return np.full((3 * SIDE, 3 * SIDE, 3), 128, np.uint8)


# ---- The cards ------------------------------------------------------------------------------------------------------

FACADE, SIGN, SAIL = (kodak(8), (452, 120)), (kodak(8), (560, 270)), (kodak(10), (150, 50))
FACE, EYE, SMALL_FACES = (kodak(4), (165, 230)), (kodak(15), (380, 90)), (kodak(14), (110, 120))
FENCE, LEAVES, LINES = (kodak(19), (30, 480)), (kodak(13), (380, 130)), (drawing, (330, 180))
CHECKER, COLUMNS = (lambda: pattern("checker of 1 px"), lambda: pattern("columns of 1 px"))

GALLERIES: dict[str, Gallery] = {
    "lmliif": Gallery(
        ("bicubic", "liif", "lmliif"),
        (
            Example("+ x3, clean", *SAIL, scale=3),
            Example("+ x3, a grey checker of a pixel inside colours", CHECKER, scale=3, exact=True),
            Example("- x4, clean: letters of a few pixels", letters, scale=4),
            Example("- x3, JPEG of quality 60", *SIGN, scale=3, spoil=jpeg(60)),
        ),
    ),
    "lmliif-real": Gallery(
        ("bicubic", "liif-real", "lmliif-real"),
        (
            Example("+ x3, JPEG of quality 60", *SIGN, scale=3, spoil=jpeg(60)),
            Example("+ x3, clean", *LEAVES, scale=3),
            Example("- x3, JPEG of quality 15", *FACE, scale=3, spoil=jpeg(15)),
            Example("- x3, noise of 15 levels", *SAIL, scale=3, spoil=noise(15)),
        ),
    ),
    "liif": Gallery(
        ("bicubic", "liif"),
        (
            Example("+ x3, clean", *FACADE, scale=3),
            Example("- x3, JPEG of quality 60", *SIGN, scale=3, spoil=jpeg(60)),
            Example("- x3, a grey checker of a pixel inside colours", CHECKER, scale=3, exact=True),
        ),
    ),
    "liif-real": Gallery(
        ("bicubic", "liif", "liif-real"),
        (
            Example("+ x3, JPEG of quality 60", *SIGN, scale=3, spoil=jpeg(60)),
            Example("- x3, clean", *LEAVES, scale=3),
            Example("- x3, JPEG of quality 15", *FACE, scale=3, spoil=jpeg(15)),
            Example("- x3, a grey checker of a pixel inside colours", CHECKER, scale=3, exact=True),
        ),
    ),
    "eclut": Gallery(
        ("bicubic", "lmliif", "eclut"),
        (
            Example("+ x3, clean", *SAIL, scale=3),
            Example("- x4, slanted edges", *LINES, scale=4),
            Example("- x3, JPEG of quality 60", *SIGN, scale=3, spoil=jpeg(60)),
        ),
    ),
    "span": Gallery(
        ("bicubic", "lmliif", "span"),
        (
            Example("+ x4, clean", *FACADE, scale=4),
            Example("- x2, grey columns of a pixel inside colours", COLUMNS, scale=2, exact=True),
            Example("- x4, JPEG of quality 60", *SIGN, scale=4, spoil=jpeg(60)),
        ),
    ),
    "srresnet": Gallery(
        ("bicubic", "lmliif", "srresnet"),
        (
            Example("+ x4, clean", *EYE, scale=4),
            Example("- x4, JPEG of quality 60", *SIGN, scale=4, spoil=jpeg(60)),
            Example("- x4, a grey halftone", dots, scale=4, exact=True),
        ),
    ),
    "srgan": Gallery(
        ("bicubic", "srresnet", "srgan"),
        (
            Example("+ x4, clean: leaves", *LEAVES, scale=4),
            Example("- x4, clean: faces of a few pixels", *SMALL_FACES, scale=4),
            Example("- x4, clean: letters of a few pixels", letters, scale=4),
        ),
    ),
    "filters": Gallery(
        ("bilinear", "bicubic", "lanczos", "fourier"),
        (
            Example("x3, clean", *SAIL, scale=3),
            Example("x4, slanted edges", *LINES, scale=4),
        ),
    ),
    "airnet": Gallery(
        ("airnet",),
        (
            Example("+ noise of 25 levels", *FACE, spoil=noise(25)),
            Example("+ rain", *FACADE, spoil=rain),
            Example("- a grey photo with noise of 25 levels", *FACE, spoil=grey_noise),
            Example("- nothing wrong: level 128 throughout", mid_grey),
            Example("- JPEG of quality 15", *FACE, spoil=jpeg(15)),
        ),
    ),
    "airnet-u": Gallery(
        ("airnet", "airnet-u"),
        (
            Example("+ noise of 15 levels", *FACE, spoil=noise(15)),
            Example("+ rain", *FACADE, spoil=rain),
            Example("+ haze", *FENCE, spoil=haze),
            Example("+ nothing wrong: a halftone", halftone),
            Example("- noise of 50 levels", *FACE, spoil=noise(50)),
            Example("- JPEG of quality 15", *FACE, spoil=jpeg(15)),
        ),
    ),
    "lut3d": Gallery(
        ("lut3d",),
        (
            Example("+ flat light", kodak(22), spoil=flat_light),
            Example("- as it is: dark shadows drown", gb82("sunset")),
            Example("- as it is: a white ground turns grey", gb82("baby")),
        ),
    ),
}

# For a look at what the web sends: face, foliage, text, building, water, fabric, drawing and night.
CROPS: tuple[Example, ...] = (
    Example("face", kodak(18), (215, 135)),
    Example("foliage", *LEAVES),
    Example("text", *SIGN),
    Example("building", kodak(1), (400, 280)),
    Example("water", kodak(6), (560, 280)),
    Example("fabric", kodak(15), (120, 300)),
    Example("drawing, made here", *LINES),
    Example("night, among the photos learnt from", gb82("city"), (180, 330)),
)
