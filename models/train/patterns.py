"""Measures what a model makes of patterns of single pixels: whether grey ones get a colour, whether they keep their
brightness, and whether a spot stays where it is.

Networks learn from photographs, and no photograph shows a checker of single pixels at full strength; screens, halftones
and dithered pictures show little else. A pattern is enlarged alone and inside a picture in colour, where a network may
not go by the whole picture being grey. Means are those under Hann windows 16 input pixels wide, one every 8, for input
and output alike: a window that fades out cuts no pattern at the wrong place. It reads no files and writes none; tables
are the business of `models.train.report`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.contract import Axis, Upscaler, View
from models.train import made
from models.train.data import Pixels, resize
from models.train.evaluate import halo_of

SCALES = (2.0, 3.0, 3.7, 4.0)
SIDE, AROUND = 32, 12  # pixels of a pattern, and of the picture around it on each side
MIDDLE = 24  # pixels of a pattern that are looked at
FRAME = 8  # pixels by which a picture is mirrored at its frame, at most: the windows are further from it
WINDOW = 16  # pixels that a Hann window is wide; one begins every half of it
CONTRASTS = {"full": (0, 255), "20 to 70 %": (51, 178)}  # levels of a pattern's black and white
GRATING_PERIOD = 2.5  # pixels
SPOTTED = 64  # pixels a side of a picture of spots
SPOTS = ((2.5, 16, 16), (2.5, 16.25, 48.5), (4.0, 48.5, 16.3), (4.0, 47.7, 48.1))  # radius, row and column
GREYS = ((51, 204), (204, 51))  # levels of the ground and of the spots
BEYOND = 2  # pixels beyond a spot's radius that count as its own

Field = NDArray[np.float64]  # (side, side) in [0, 1]
Levels = NDArray[np.floating] | Pixels  # (H, W, 3) in [0, 255]


@dataclass(frozen=True)
class Patterned:
    """The worst that becomes of a pattern at any of the scales, in levels of 255.

    `tint`: between the means of two channels. `moved`: the mean of all three, from the input's. `local`: the mean of
    one channel in one window, from the input's there.
    """

    pattern: str
    contrast: str
    inside: bool
    tint: float
    moved: float
    local: float


class Part(NamedTuple):
    """Samples of a square part of a picture, (n, n, 3), and where its rows and columns lie, (n,), in input pixels."""

    levels: Levels
    places: NDArray[np.float64]


def judge(
    name: str, model: Upscaler, scales: Sequence[float] = SCALES, device: str = "cpu"
) -> tuple[list[Patterned], float]:
    """A row for each pattern, contrast and place; and how far a spot moves at most, in input pixels."""
    halo = min(halo_of(name), FRAME)
    rows = []
    for pattern, drawn in PATTERNS.items():
        for contrast in CONTRASTS:
            for inside in (False, True):
                picture = draw(drawn, contrast, inside)
                found = [changes(picture, enlarge(model, picture, scale, MIDDLE, device, halo)) for scale in scales]
                rows.append(Patterned(pattern, contrast, inside, *np.max(found, axis=0).tolist()))
    moved = []
    for ground, light in GREYS:
        picture = spots(ground, light)
        enlarged = [enlarge(model, picture, scale, SPOTTED, device, halo) for scale in scales]
        moved += [off_centre(ground, picture, part) for part in enlarged]
    return rows, max(moved)


def enlarge(model: Upscaler, picture: Pixels, scale: float, middle: int, device: str, halo: int) -> Part:
    """Of a square picture the `middle` input pixels, as `evaluate.upscale` makes them; the others cost nothing."""
    side = picture.shape[0]
    size = round(scale * side)
    margin = (size - round(size * middle / side)) // 2
    padded = np.pad(picture, ((halo, halo), (halo, halo), (0, 0)), mode="reflect")
    window = torch.from_numpy(padded.astype(np.float32) / 255).permute(2, 0, 1)[None].to(device)
    axis = Axis(margin, size - 2 * margin, size, side, -halo)
    with torch.inference_mode():
        (sr,) = model(window, [View(axis, axis)])
    levels = sr.clamp(0, 1).permute(1, 2, 0).double().cpu().numpy() * 255
    return Part(levels, (np.arange(margin, size - margin) + 0.5) * side / size - 0.5)


def given(picture: Pixels) -> Part:
    return Part(picture, np.arange(picture.shape[0], dtype=float))


def draw(pattern: Callable[[Field, Field], Field], contrast: str, inside: bool) -> Pixels:
    """The grey pattern by itself (32, 32, 3), or in the middle of smooth colours (56, 56, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    low, high = CONTRASTS[contrast]
    grey = made.between(pattern(y, x), np.full(3, float(low)), np.full(3, float(high)))
    if not inside:
        return grey
    side = SIDE + 2 * AROUND
    around = np.array(resize(np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8), (side, side)))
    around[AROUND:-AROUND, AROUND:-AROUND] = grey
    return around


def changes(before: Pixels, after: Part) -> tuple[float, float, float]:
    """Tint, by how much the mean moved, and by how much the mean of one channel in one window did."""
    centre = (before.shape[0] - 1) / 2
    wanted, found = (window_means(part, centre) for part in (given(before), after))
    mean = found.mean((0, 1))
    return float(np.ptp(mean)), float(abs(mean.mean() - wanted.mean())), float(np.abs(found - wanted).max())


def window_means(part: Part, centre: float) -> NDArray[np.float64]:
    """Means under the windows that lie in the middle of the pattern around `centre`, (windows, windows, 3)."""
    reach = (MIDDLE - WINDOW) // 2
    centres = centre + np.arange(-reach, reach + 1, WINDOW // 2)
    away = (part.places - centres[:, None]) / WINDOW
    weights = np.where(np.abs(away) < 0.5, 1 + np.cos(2 * np.pi * away), 0)
    weights /= weights.sum(1, keepdims=True)
    means: NDArray[np.float64] = np.einsum("ay,bx,yxc->abc", weights, weights, part.levels)
    return means


def off_centre(ground: int, before: Pixels, after: Part) -> float:
    """How far the spot that moved most has moved, in input pixels."""
    moved = centres_of_mass(after, ground) - centres_of_mass(given(before), ground)
    return float(np.hypot(*moved.T).max())


def centres_of_mass(part: Part, ground: int) -> Field:
    """Of what differs from the ground within reach of each spot, (spots, 2), in input pixels."""
    y, x = np.meshgrid(part.places, part.places, indexing="ij")
    differs = part.levels.mean(2) - ground
    masses = [np.where(np.hypot(y - top, x - left) < radius + BEYOND, differs, 0) for radius, top, left in SPOTS]
    return np.array([((y * mass).sum() / mass.sum(), (x * mass).sum() / mass.sum()) for mass in masses])


def spots(ground: int, light: int) -> Pixels:
    """A picture of round spots that fade out, (64, 64, 3)."""
    y, x = np.mgrid[:SPOTTED, :SPOTTED]
    away = [np.hypot(y - top, x - left) / radius for radius, top, left in SPOTS]
    field = sum(np.where(far < 1, (1 + np.cos(np.pi * far)) / 2, 0) for far in away)
    return made.between(np.asarray(field), np.full(3, float(ground)), np.full(3, float(light)))


def halftone(y: Field, x: Field) -> Field:
    """A slope from a fifth to four fifths in black and white, its errors passed on (Floyd and Steinberg)."""
    slope = 51 + 153 * x / (SIDE - 1)
    return np.asarray(Image.fromarray(slope.round().astype(np.uint8)).convert("1")).astype(float)


def dither(share: float) -> Callable[[Field, Field], Field]:
    """Bayer's ordered dither of 4x4 thresholds; that of a half is the checker, that of a quarter the dots."""
    field = (np.tile(made.bayer(2), (SIDE // 4, SIDE // 4)) < share).astype(float)
    return lambda y, x: field


def grating(y: Field, x: Field) -> Field:
    """A wave that runs at 30 degrees to the rows."""
    along, _ = made.places(SIDE, math.pi / 6)
    return (1 + np.sin(2 * np.pi * along / GRATING_PERIOD)) / 2


# From the row and column of each pixel to black, 0, and white, 1.
PATTERNS: dict[str, Callable[[Field, Field], Field]] = {
    "checker of 1 px": lambda y, x: (y + x) % 2,
    "checker of 2 px": lambda y, x: (y // 2 + x // 2) % 2,
    "columns of 1 px": lambda y, x: x % 2,
    "columns of 2 px": lambda y, x: x // 2 % 2,
    "columns of 3 px": lambda y, x: x // 3 % 2,
    "rows of 1 px": lambda y, x: y % 2,
    "rows of 2 px": lambda y, x: y // 2 % 2,
    "rows of 3 px": lambda y, x: y // 3 % 2,
    "dots, one pixel in four": lambda y, x: (1 - y % 2) * (1 - x % 2),
    "diagonals, one pixel in three": lambda y, x: ((y + x) % 3 == 0).astype(float),
    "ordered dither of 5/16": dither(5 / 16),
    "ordered dither of 9/16": dither(9 / 16),
    "error-diffused slope": halftone,
    "grating at 30 degrees": grating,
}
