"""What is shown of a photograph: turned, with other tones, more or less of what lies around a crop, reduced.

A few hundred photographs are few skies and walls, and few compositions: an encoder that sees each of them whole, as it
is, learns them by heart. It spoils nothing and reads no file.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from models.look import REDUCED_SIDE
from models.train.data import Pixels, resize

EXPOSURES, GAMMAS, WHITES = (-0.5, 0.15), (-0.45, 0.45), 0.06  # logarithms, and their standard deviation

Corner = tuple[int, int]


def flipped(pixels: Pixels, which: int) -> Pixels:
    """As `data.turn`, without a copy of the whole photograph."""
    out = pixels.transpose(1, 0, 2) if which & 4 else pixels
    out = out[::-1] if which & 2 else out
    return out[:, ::-1] if which & 1 else out


def tones(rng: np.random.Generator) -> Pixels:
    """What each level of each channel becomes, (3, 256): another exposure, gamma and white, as another camera or
    editor would have it. Black stays black, for a lifted one is what haze looks like."""
    exposure, gamma = np.exp(rng.uniform(*EXPOSURES)), np.exp(rng.uniform(*GAMMAS))
    white = np.exp(rng.normal(0, WHITES, (3, 1)))
    levels = (np.arange(256) / 255) ** gamma * exposure * white
    table: Pixels = (levels.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return table


def toned(pixels: Pixels, table: Pixels) -> Pixels:
    return np.stack([table[channel][pixels[..., channel]] for channel in range(3)], -1)


def around(photo: Pixels, corner: Corner, side: int, rng: np.random.Generator) -> Pixels:
    """The crop at `corner`, of `side`, with as much around it as a rectangle drawn between it and all of the photograph
    holds."""
    spans = []
    for begin, length in zip(corner, photo.shape[:2], strict=True):
        seen = round(side * (length / side) ** rng.random())
        first = int(rng.integers(max(0, begin + side - seen), min(begin, length - seen) + 1))
        spans.append(slice(first, first + seen))
    return photo[spans[0], spans[1]]


def reduced(pixels: Pixels) -> Pixels:
    """The whole picture as `models.look` shows it, but rounded to 8 bits."""
    return resize(np.ascontiguousarray(pixels), (REDUCED_SIDE, REDUCED_SIDE), Image.Resampling.BOX)
