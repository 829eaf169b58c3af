"""Crops of photographs that show grain or noise of their own, and what restorers make of them: nothing is drawn here.

A crop counts as grainy where what is finer than two pixels is strong and alike all over it, and nothing larger stands
beside it: a sky or a wall as film or a sensor saw it. Grass and sand can look like that too, so that eyes judge what
was found, and name what is none. No original is known, and so no decibels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.train.data import SUFFIXES, Pixels, read_rgb, resize
from models.train.degradations import to_8_bit
from models.train.evaluate import read_model
from models.train.restoration import restore
from models.train.sheet import paste

SIDE, BLOCK = 96, 12  # pixels of a crop, and of the squares in which it is looked at
FINE = 1.5  # pixels, sigma: what is finer counts as grain
ALIKE = 1.6  # times the tenth weakest square of a crop may the tenth strongest show
PLAIN = 0.45  # times its grain may the middle square of a crop show of what is larger; white noise has 0.2
MOST = 4.0  # levels: what is stronger were water, grass and sand in all photographs looked at
CLIPPED = 12, 243  # levels: beyond, grain is cut off
CONTEXT = 160  # pixels of a photo around a crop that restorers see


@dataclass(frozen=True)
class Crop:
    """Where a photograph is grainy: its first pixel, and the `sigma` of the grain in levels of luma."""

    path: Path
    top: int
    left: int
    sigma: float


def find(paths: Iterable[Path], least: float) -> list[Crop]:
    """Of each photograph its plainest crop with grain of `least` levels, if it has one; the strongest first."""
    found = [crop for path in paths if (crop := plainest(path, read_rgb(path), least))]
    return sorted(found, key=lambda crop: -crop.sigma)


def plainest(path: Path, pixels: Pixels, least: float) -> Crop | None:
    """The crop with the least beside its grain, of those with grain of `least` levels; None where there is none."""
    side = SIDE // BLOCK
    if min(pixels.shape[:2]) < SIDE:
        return None
    luma = pixels.astype(np.float32).mean(2)
    base = cv2.GaussianBlur(luma, (0, 0), FINE)
    spread = [windows(in_blocks(one).std(-1), side) for one in (luma - base, base)]
    light = windows(in_blocks(luma).mean(-1), side)
    low, middle, high = np.percentile(spread[0], (10, 50, 90), axis=-1)
    shown = np.median(spread[1], -1)
    fits = (shown <= PLAIN * middle) & (high <= ALIKE * low) & (middle >= least) & (middle <= MOST)
    fits &= (light.min(-1) > CLIPPED[0]) & (light.max(-1) < CLIPPED[1])
    if not fits.any():
        return None
    top, left = np.unravel_index(np.argmin(np.where(fits, shown, np.inf)), fits.shape)
    return Crop(path, int(top) * BLOCK, int(left) * BLOCK, float(middle[top, left]))


def windows(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(h, w) -> each square of `side` values, (h - side + 1, w - side + 1, side^2)."""
    cut = np.lib.stride_tricks.sliding_window_view(values, (side, side))
    return cut.reshape(*cut.shape[:2], side**2)


def in_blocks(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) -> (H // BLOCK, W // BLOCK, BLOCK^2)."""
    height, width = (side // BLOCK for side in values.shape)
    cut = values[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)
    return cut.transpose(0, 2, 1, 3).reshape(height, width, BLOCK**2)


def draw(crops: Sequence[Crop], names: Sequence[str], weights: dict[str, Path], scale: int = 1) -> Image.Image:
    """A numbered row for each crop; columns: the photograph and what each model makes of it, `scale` times as large."""
    networks = {name: read_model(name, weights.get(name))[0] for name in names}
    rows = []
    for crop in crops:
        pixels, spot = around(crop)
        shown = {"photo": pixels} | {name: to_8_bit(255 * restore(one, pixels)) for name, one in networks.items()}
        rows.append({name: enlarged(picture[spot], scale) for name, picture in shown.items()})
    return paste(rows, [str(number + 1) for number in range(len(rows))])


def around(crop: Crop) -> tuple[Pixels, tuple[slice, slice]]:
    """The photograph near a crop, as restorers see it, and where the crop lies in it."""
    pixels = read_rgb(crop.path)
    begin = [max(0, at - CONTEXT) // 16 * 16 for at in (crop.top, crop.left)]
    near = pixels[begin[0] : crop.top + SIDE + CONTEXT, begin[1] : crop.left + SIDE + CONTEXT]
    top, left = crop.top - begin[0], crop.left - begin[1]
    return np.ascontiguousarray(near), (slice(top, top + SIDE), slice(left, left + SIDE))


def enlarged(pixels: Pixels, scale: int) -> Pixels:
    return resize(pixels, (pixels.shape[0] * scale, pixels.shape[1] * scale), Image.Resampling.NEAREST)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train grain", allow_abbrev=False)
    parser.add_argument("photos", nargs="+", type=Path, help="pictures, or folders of them")
    parser.add_argument("-o", "--out", type=Path, help="a .png, .webp or .jpg with a row for each; without it a list")
    parser.add_argument("--models", nargs="+", default=["airnet", "airnet-u"])
    parser.add_argument("--weights", type=Path, help="weight file of the last model, the served one unless told")
    parser.add_argument("--least", type=float, default=1.5, help="levels of the weakest grain that counts")
    parser.add_argument("--without", nargs="+", default=[], help="names of files whose texture was taken for grain")
    parser.add_argument("--most", type=int, help="rows of the sheet, all unless told")
    parser.add_argument("--scale", type=int, default=1, help="times as large, pixel by pixel")
    parser.add_argument("--quality", type=int, default=80, help="of the sheet's file")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args(words)
    torch.set_num_threads(arguments.threads)
    paths = [path for one in arguments.photos for path in (sorted(one.iterdir()) if one.is_dir() else [one])]
    pictures = [path for path in paths if path.suffix.lower() in SUFFIXES and path.name not in arguments.without]
    crops = find(pictures, arguments.least)
    for number, crop in enumerate(crops):
        print(f"{number + 1} {crop.path.name} at {crop.top}, {crop.left}: {crop.sigma:.1f} levels")
    print(f"grain in {len(crops)} of {len(pictures)} photographs", flush=True)
    if arguments.out is not None and crops:
        weights = {arguments.models[-1]: arguments.weights} if arguments.weights else {}
        sheet = draw(crops[: arguments.most], arguments.models, weights, arguments.scale)
        sheet.save(arguments.out, quality=arguments.quality)
        print(arguments.out)
