"""Photographs as arrays in memory, and random crops of them.

It decodes once and keeps 8-bit pixels; what happens to a crop is the recipe's business. Nothing of the data is ours to
ship: it is given as a folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def list_pictures(folder: Path) -> list[Path]:
    """Picture files of a folder in the order of their names. Raises FileNotFoundError when there are none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise FileNotFoundError(f"no pictures in {folder}")
    return paths


def read_rgb(path: Path) -> Pixels:
    """8-bit RGB, (H, W, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def resize(pixels: Pixels, size: tuple[int, int], how: Image.Resampling = Image.Resampling.BICUBIC) -> Pixels:
    """(H, W, 3) -> size (height, width); Pillow's bicubic is a = -0.5 and antialiased when shrinking."""
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how))


@dataclass(frozen=True)
class Photos:
    """All photographs of a folder, decoded; `weights` are the odds of each, by area."""

    names: tuple[str, ...]
    pixels: tuple[Pixels, ...]
    sha256: str

    @classmethod
    def read(cls, folder: Path) -> Photos:
        paths = list_pictures(folder)
        digest = hashlib.sha256()
        for path in paths:
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return cls(tuple(path.name for path in paths), tuple(map(read_rgb, paths)), digest.hexdigest())

    def odds(self) -> NDArray[np.float64]:
        """Chance of each photograph, so that each pixel is equally likely."""
        areas = np.array([p.shape[0] * p.shape[1] for p in self.pixels], dtype=np.float64)
        return areas / areas.sum()


def random_crop(pixels: Pixels, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """A crop of size (height, width) at a random place; the picture must be at least as large."""
    top = int(rng.integers(pixels.shape[0] - size[0] + 1))
    left = int(rng.integers(pixels.shape[1] - size[1] + 1))
    return pixels[top : top + size[0], left : left + size[1]]


def turn(pixels: Pixels, which: int) -> Pixels:
    """One of the eight flips and transposes."""
    out = pixels.transpose(1, 0, 2) if which & 4 else pixels
    out = out[::-1] if which & 2 else out
    out = out[:, ::-1] if which & 1 else out
    return np.ascontiguousarray(out)
