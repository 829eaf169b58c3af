"""A contact sheet: a row for each photo, a column for each model, so that eyes can judge what decibels do not tell.

The photo is cropped, made small (unless told not to) and perhaps a JPEG, then enlarged by each model; or shown in rain
and haze as training draws them. Which pictures may be shown is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.train.data import Pixels, read_rgb, resize
from models.train.degradations import through_jpeg, to_8_bit
from models.train.evaluate import halo_of, read_model, upscale
from models.train.weather import add_haze, add_rain, distances, draw_haze, draw_rain, draw_scene

GAP, HEAD = 6, 22  # pixels between the pictures, and above each column
WHITE, BLACK = (255, 255, 255), (31, 35, 40)


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


def draw_weather(photos: Sequence[Path], side: int = 288) -> Image.Image:
    """A row for each photo; columns: the photo, two rains and two hazes as training draws them."""
    rows, rng = [], np.random.default_rng(0)
    for path in photos:
        photo = crop(read_rgb(path), side)
        rain = {f"rain {n}": add_rain(photo, draw_rain(rng), rng) for n in (1, 2)}
        haze = {f"haze {n}": add_haze(photo, draw_haze(rng), distances(photo, draw_scene(rng))) for n in (1, 2)}
        rows.append({"photo": photo} | rain | haze)
    return paste(rows)


def paste(
    rows: Sequence[dict[str, Pixels]], labels: Sequence[str] = (), notes: Sequence[dict[str, str]] = ()
) -> Image.Image:
    """A column for each name of the first row; a label may stand above a row, a note below each of its pictures.

    What a row has not is left white.
    """
    wide = max(picture.shape[1] for row in rows for picture in row.values()) + GAP
    tall = max(picture.shape[0] for row in rows for picture in row.values()) + GAP
    above, below = HEAD if labels else 0, HEAD if notes else 0
    each = above + tall + below
    sheet = Image.new("RGB", (wide * len(rows[0]) + GAP, each * len(rows) + HEAD), WHITE)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, name in enumerate(rows[0]):
        left = GAP + column * wide
        pen.text((left, 3), name, BLACK, font)
        for line, row in enumerate(rows):
            top = HEAD + line * each + above
            if name in row:
                sheet.paste(Image.fromarray(np.ascontiguousarray(row[name])), (left, top))
            if notes:
                pen.text((left, top + tall - GAP + 1), notes[line].get(name, ""), BLACK, font)
    for line, label in enumerate(labels):
        pen.text((GAP, HEAD + line * each + 1), label, BLACK, font)
    return sheet
