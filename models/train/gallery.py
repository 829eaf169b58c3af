"""Draws what `models.train.examples` tells: the picture of a model's card, and eight crops enlarged by several models.

Of what enlarges and restores a part is shown pixel by pixel, of what retouches the whole picture made smaller.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models import catalog
from models.cards import BY_NAME
from models.train.data import Pixels, read_rgb, resize
from models.train.degradations import through_jpeg, to_8_bit
from models.train.evaluate import halo_of, retouch, upscale
from models.train.examples import CROPS, SIDE, Example, Gallery
from models.train.restoration import restore
from models.train.sheet import crop, paste

MARGIN = 48  # pixels around a part that models see, too; a multiple of each scale
WIDE, TALL = 264, 176  # of a retouched picture, at most

Networks = dict[str, Any]


def draw_card(gallery: Gallery, data: Path, weights: Path | None = None) -> Image.Image:
    """A row for each example: what goes in, what each model makes of it, and the original."""
    networks = load(gallery.models, weights)
    draw = {"upscale": enlarged, "restore": restored, "enhance": retouched}[BY_NAME[gallery.models[0]].task]
    rows = [draw(networks, example, data) for example in gallery.examples]
    rows = [dict(sorted(row.items(), key=lambda item: list(rows[0]).index(item[0]))) for row in rows]
    return paste(rows, [example.label for example in gallery.examples])


def draw_crops(
    models: Sequence[str], data: Path, weights: Path | None = None, scale: int = 2, quality: int = 75
) -> Image.Image:
    """A row for each kind of picture, which came as a small JPEG; below each crop the seconds for the whole picture.

    Seconds are the processor's, for other work on the cores changes those least; the first calls do not count.
    """
    networks = load(models, weights)
    rows: list[dict[str, Pixels]] = []
    notes: list[dict[str, str]] = []
    for example in CROPS:
        whole = picture_of(example, data)
        height, width = (side // scale for side in whole.shape[:2])
        whole = whole[: height * scale, : width * scale]
        small = through_jpeg(resize(whole, (height, width)), quality)
        if not rows:
            enlarge(networks, small[:64, :64], (64 * scale, 64 * scale))
        shown, cpu_s = enlarge(networks, small, (height * scale, width * scale))
        shown["original"] = whole
        rows.append({name: part_of(picture, example.corner, SIDE) for name, picture in shown.items()})
        notes.append({"input": f"{width}x{height}"} | {name: f"{one:.2f} s" for name, one in cpu_s.items()})
    return paste(rows, [example.label for example in CROPS], notes)


def load(models: Sequence[str], weights: Path | None) -> Networks:
    return {name: catalog.load(name, weights_dir=weights) for name in models}


def picture_of(example: Example, data: Path) -> Pixels:
    return read_rgb(data / example.picture) if isinstance(example.picture, str) else example.picture()


def enlarged(networks: Networks, example: Example, data: Path) -> dict[str, Pixels]:
    given, size, original = put_in(example, data)
    shown, _ = enlarge(networks, given, size)
    return in_the_middle(shown if example.exact else {**shown, "original": original})


def put_in(example: Example, data: Path) -> tuple[Pixels, tuple[int, int], Pixels]:
    """The small picture that goes in, the (height, width) it is enlarged to, and what it was made of."""
    part = part_of(picture_of(example, data), example.corner, SIDE, 0 if example.exact else MARGIN)
    height, width = part.shape[:2]
    if example.exact:
        return example.spoil(part), (height * example.scale, width * example.scale), part
    return example.spoil(resize(part, (height // example.scale, width // example.scale))), (height, width), part


def enlarge(networks: Networks, given: Pixels, size: tuple[int, int]) -> tuple[dict[str, Pixels], dict[str, float]]:
    """The input in large pixels and what each model makes of it; each one's processor seconds."""
    shown, cpu_s = {"input": resize(given, size, Image.Resampling.NEAREST)}, {}
    for name, network in networks.items():
        began = time.process_time()
        shown[name] = to_8_bit(255 * upscale(network, given, size, halo=halo_of(name)))
        cpu_s[name] = time.process_time() - began
    return shown, cpu_s


def restored(networks: Networks, example: Example, data: Path) -> dict[str, Pixels]:
    """Of a part with much around it: a restorer looks at the whole picture."""
    photo = part_of(picture_of(example, data), example.corner, SIDE, SIDE)
    spoilt = example.spoil(photo)
    results = {name: to_8_bit(255 * restore(network, spoilt)) for name, network in networks.items()}
    return in_the_middle({"input": spoilt, **results, "original": photo})


def retouched(networks: Networks, example: Example, data: Path) -> dict[str, Pixels]:
    photo = picture_of(example, data)
    given = example.spoil(photo)
    shown = {"input": given}
    for name, network in networks.items():
        after = retouch(network, given)
        shown |= {f"{name}, strength 0.5": to_8_bit((given.astype(float) + after) / 2), name: after}
    if given is not photo:
        shown["original"] = photo
    return {name: thumbnail(one) for name, one in shown.items()}


def part_of(pixels: Pixels, corner: tuple[int, int], side: int, margin: int = 0) -> Pixels:
    """The square at `corner` (left, top) with `margin` around it; moved inwards where it would leave the picture."""
    height, width = pixels.shape[:2]
    tall, wide = min(height, side + 2 * margin), min(width, side + 2 * margin)
    left, top = (
        max(0, min(start - margin, size - length))
        for start, size, length in zip(corner, (width, height), (wide, tall), strict=True)
    )
    return pixels[top : top + tall, left : left + wide]


def in_the_middle(shown: dict[str, Pixels]) -> dict[str, Pixels]:
    """Of each picture the square of SIDE pixels."""
    return {name: crop(pixels, SIDE) for name, pixels in shown.items()}


def thumbnail(pixels: Pixels) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((WIDE, TALL), Image.Resampling.LANCZOS)
    return np.asarray(image)
