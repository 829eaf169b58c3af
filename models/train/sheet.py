"""A contact sheet: a row for each photo, a column for each model, so that eyes can judge what decibels do not tell.

The photo is cropped, made small (unless told not to) and perhaps a JPEG, then enlarged by each model; or, where models
restore, spoilt in one way after the other; or shown in rain and haze as training draws them. Which pictures may be
shown is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.train.data import Pixels, read_rgb, resize
from models.train.degradations import add_noise, through_jpeg, to_8_bit
from models.train.evaluate import halo_of, read_model, upscale
from models.train.restoration import restore
from models.train.weather import Haze, Rain, Streaks, add_haze, add_rain, distances, draw_haze, draw_rain, draw_scene

GAP, HEAD = 6, 22  # pixels between the pictures, and above each column
WHITE, BLACK = (255, 255, 255), (31, 35, 40)

SHOWN_RAIN = Rain((Streaks(14, 45, 1.6, 0.6), Streaks(60, 20, 1.1, 0.25)), angle=12, spread=1.5)
SHOWN_HAZE = Haze((0.95, 0.95, 0.95), 1.1)
DAMAGES: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "noise of 25 levels": lambda photo, rng: add_noise(photo, 25, 3, rng),
    "rain": lambda photo, rng: add_rain(photo, SHOWN_RAIN, rng),
    "haze": lambda photo, rng: add_haze(photo, SHOWN_HAZE, distances(photo, draw_scene(rng))),
    "JPEG of quality 15": lambda photo, rng: through_jpeg(photo, 15),
}


@dataclass(frozen=True)
class Look:
    """`side`: pixels of a shown picture; `shrink`: the photo is made `scale` times smaller first."""

    models: Sequence[str] = ("bicubic", "liif", "liif-real")
    scale: int = 3
    side: int = 288
    shrink: bool = True
    quality: int | None = 75


def draw(photos: Sequence[Path], look: Look) -> Image.Image:
    """Columns: the small picture, each model, and the photo itself where it was made small."""
    networks = {name: read_model(name)[0] for name in look.models}
    rows = []
    for path in photos:
        photo = crop(read_rgb(path), look.side if look.shrink else look.side // look.scale)
        small = make_small(photo, look)
        size = (small.shape[0] * look.scale, small.shape[1] * look.scale)
        shown = {"input": resize(small, size, Image.Resampling.NEAREST)}
        shown |= {
            name: to_8_bit(255 * upscale(network, small, size, halo=halo_of(name)))
            for name, network in networks.items()
        }
        rows.append(shown | ({"original": photo} if look.shrink else {}))
    return paste(rows)


def make_small(photo: Pixels, look: Look) -> Pixels:
    size = (photo.shape[0] // look.scale, photo.shape[1] // look.scale)
    small = resize(photo, size) if look.shrink else photo
    return small if look.quality is None else through_jpeg(small, look.quality)


def crop(pixels: Pixels, side: int) -> Pixels:
    """The square of the middle, at most `side` pixels."""
    height, width = pixels.shape[:2]
    tall, wide = min(side, height), min(side, width)
    top, left = (height - tall) // 2, (width - wide) // 2
    return pixels[top : top + tall, left : left + wide]


def draw_restored(photos: Sequence[Path], name: str, weights: Path | None = None, side: int = 288) -> Image.Image:
    """A row for each damage, of one photo after the other; columns: spoilt, restored by the model, the photo."""
    network, _ = read_model(name, weights)
    rows, rng = [], np.random.default_rng(0)
    for path, damage in zip(cycle(photos), DAMAGES, strict=False):
        photo = crop(read_rgb(path), side)
        spoilt = DAMAGES[damage](photo, rng)
        rows.append({"spoilt": spoilt, name: to_8_bit(255 * restore(network, spoilt)), "original": photo})
    return paste(rows, list(DAMAGES))


def draw_weather(photos: Sequence[Path], side: int = 288) -> Image.Image:
    """A row for each photo; columns: the photo, two rains and two hazes as training draws them."""
    rows, rng = [], np.random.default_rng(0)
    for path in photos:
        photo = crop(read_rgb(path), side)
        rain = {f"rain {n}": add_rain(photo, draw_rain(rng), rng) for n in (1, 2)}
        haze = {f"haze {n}": add_haze(photo, draw_haze(rng), distances(photo, draw_scene(rng))) for n in (1, 2)}
        rows.append({"photo": photo} | rain | haze)
    return paste(rows)


def paste(rows: Sequence[dict[str, Pixels]], labels: Sequence[str] = ()) -> Image.Image:
    """A column for each name; a row may have a label, which stands in its first picture."""
    wide = max(picture.shape[1] for row in rows for picture in row.values()) + GAP
    tall = max(picture.shape[0] for row in rows for picture in row.values()) + GAP
    sheet = Image.new("RGB", (wide * len(rows[0]) + GAP, tall * len(rows) + HEAD), WHITE)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, name in enumerate(rows[0]):
        pen.text((GAP + column * wide, 3), name, BLACK, font)
        for line, row in enumerate(rows):
            sheet.paste(Image.fromarray(np.ascontiguousarray(row[name])), (GAP + column * wide, HEAD + line * tall))
    for line, label in enumerate(labels):
        place = (GAP + 5, HEAD + line * tall + 3)
        pen.text(place, label, WHITE, font, stroke_width=2, stroke_fill=BLACK)
    return sheet
