"""Photographs as arrays in memory, and random crops of them.

It finds them in folders laid out as ours or as the public data sets are, decodes once (into a file that is mapped,
where a cache folder is given) and keeps 8-bit pixels; what happens to a crop is the recipe's business. Nothing of the
data is ours to ship.
Source of the layouts: DIV2K (data.vision.ee.ethz.ch/cvl/DIV2K), FiveK 480p as released with Zeng et al., TPAMI 2022,
BSD400 and WED as folders of files. Bicubic: Keys, IEEE TASSP 29(6), 1981.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Pixels = NDArray[np.uint8]
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}

# Folders of clean photographs below the data folder; those that are there are read together, in this order.
PHOTO_FOLDERS = ("train/photos", "DIV2K_train_HR", "DIV2K/DIV2K_train_HR", "BSD400", "WED", "WED/pristine_images")
# Retouched pairs: ours, and FiveK 480p with the list that names its training half (`train_input.txt`, bare names).
OUR_PAIRS = ("train/retouch/input", "train/retouch/target")
FIVEK_ROOTS = ("fiveK", "FiveK", ".")
FIVEK_PAIRS = ("input/JPG/480p", "expertC/JPG/480p")
FIVEK_LISTS = ("train_input.txt", "train_label.txt")


def list_pictures(folder: Path) -> list[Path]:
    """Picture files of a folder in the order of their names. Raises FileNotFoundError when there are none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise FileNotFoundError(f"no pictures in {folder}")
    return paths


def find_photos(data: Path) -> list[Path]:
    """Clean photographs of a data folder, whichever layout it has. Raises FileNotFoundError when there are none."""
    paths = [path for name in PHOTO_FOLDERS if holds_pictures(data / name) for path in list_pictures(data / name)]
    if not paths:
        raise FileNotFoundError(f"no photographs below {data}; looked in {', '.join(PHOTO_FOLDERS)}")
    return paths


def find_pairs(data: Path) -> list[tuple[Path, Path]]:
    """(input, retouched) files. Raises FileNotFoundError when there are none."""
    if holds_pictures(data / OUR_PAIRS[0]):
        inputs, targets = (list_pictures(data / name) for name in OUR_PAIRS)
        return list(zip(inputs, targets, strict=True))
    for root in (data / name for name in FIVEK_ROOTS):
        if (root / FIVEK_PAIRS[0]).is_dir():
            lists = [root / name for name in FIVEK_LISTS if (root / name).is_file()]
            names = [name for path in lists for name in path.read_text().split()]
            return [(root / FIVEK_PAIRS[0] / f"{name}.jpg", root / FIVEK_PAIRS[1] / f"{name}.jpg") for name in names]
    raise FileNotFoundError(f"no retouched pairs below {data}; looked in {OUR_PAIRS[0]} and */{FIVEK_PAIRS[0]}")


def holds_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def read_rgb(path: Path) -> Pixels:
    """8-bit RGB, (H, W, 3)."""
    try:
        with Image.open(path) as picture:
            return in_8_bits(picture) if picture.mode.startswith("I") else np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError as error:
        raise OSError(f"{path} is no picture that can be read") from error
    except OSError as error:
        raise OSError(f"{path}: {error}") from error


def in_8_bits(picture: Image.Image) -> Pixels:
    """A grey picture of 16 bits; Pillow's own conversion would clip it to white."""
    grey = (np.asarray(picture).astype(np.float64) / 257 + 0.5).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def resize(pixels: Pixels, size: tuple[int, int], how: Image.Resampling = Image.Resampling.BICUBIC) -> Pixels:
    """(H, W, 3) -> size (height, width); Pillow's bicubic is a = -0.5 and antialiased when shrinking."""
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how))


def shrink_bicubic(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) -> size (height, width) as MATLAB's imresize does, bit for bit: the small pictures of the benchmarks.

    The kernel is antialiased, a = -0.5, the frame is continued by its last pixel, and between the two passes, the
    stronger of which comes first, values are rounded to 8 bits. Pillow's differs by a level here and there.
    """
    values = pixels.astype(np.float64)
    rows_first = size[0] * pixels.shape[1] <= size[1] * pixels.shape[0]
    if rows_first:
        return shrink_cols(shrink_rows(values, size[0]), size[1]).astype(np.uint8)
    return shrink_rows(shrink_cols(values, size[1]), size[0]).astype(np.uint8)


def shrink_cols(values: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    """(H, W, 3) -> (H, wanted, 3), rounded to 8 bits."""
    return shrink_rows(values.swapaxes(0, 1), wanted).swapaxes(0, 1)


def shrink_rows(values: NDArray[np.float64], wanted: int) -> NDArray[np.float64]:
    """(H, W, 3) -> (wanted, W, 3), rounded to 8 bits. Tap by tap: a matrix product would wake threads."""
    index, weights = bicubic_taps(values.shape[0], wanted)
    total = sum(weights[:, k, None, None] * values[index[:, k]] for k in range(index.shape[1]))
    return np.floor(np.clip(total, 0, 255) + 0.5)


@lru_cache(maxsize=512)
def bicubic_taps(count: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which of `count` samples each of `wanted` is made of, at most as many, and their weights; both (wanted, taps)."""
    scale = count / wanted
    wide = max(scale, 1.0)  # only shrinking is antialiased
    centres = (np.arange(wanted) + 0.5) * scale - 0.5
    first = np.floor(centres - 2 * wide).astype(np.int64)
    index = first[:, None] + np.arange(math.ceil(4 * wide) + 2)
    far = np.abs((centres[:, None] - index) / wide)
    inner, outer = 1.5 * far**3 - 2.5 * far**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2
    weights = np.where(far < 1, inner, np.where(far < 2, outer, 0))
    return index.clip(0, count - 1), weights / weights.sum(1, keepdims=True)


@dataclass(frozen=True)
class Photos:
    """Photographs, decoded. `sha256` is over the names and contents of the files."""

    names: tuple[str, ...]
    pixels: tuple[Pixels, ...]
    sha256: str

    @classmethod
    def read(cls, paths: Sequence[Path], cache: Path | None = None) -> Photos:
        """With a `cache` folder the pixels are decoded once, and mapped from a file there ever after."""
        sha256 = hash_files(paths)
        pixels = tuple(map(read_rgb, paths)) if cache is None else read_cached(paths, cache / f"photos-{sha256[:16]}")
        return cls(tuple(path.name for path in paths), pixels, sha256)

    def odds(self) -> NDArray[np.float64]:
        """Chance of each photograph, so that each pixel is equally likely."""
        areas = np.array([p.shape[0] * p.shape[1] for p in self.pixels], dtype=np.float64)
        odds: NDArray[np.float64] = areas / areas.sum()
        return odds


def hash_files(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def read_cached(paths: Sequence[Path], folder: Path) -> tuple[Pixels, ...]:
    """Pixels mapped from `folder`, which is written when it is not there: `sizes.npy` comes last and means complete."""
    if not (folder / "sizes.npy").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sizes = []
        with (folder / "pixels.part").open("wb") as file:
            for path in paths:
                pixels = read_rgb(path)
                sizes.append(pixels.shape[:2])
                file.write(pixels.tobytes())
        (folder / "pixels.part").replace(folder / "pixels.bin")
        np.save(folder / "sizes.npy", np.array(sizes))
    return tuple(cut_cached(np.memmap(folder / "pixels.bin", np.uint8, "r"), np.load(folder / "sizes.npy")))


def cut_cached(everything: Pixels, sizes: NDArray[np.int64]) -> Iterator[Pixels]:
    start = 0
    for height, width in sizes.tolist():
        yield everything[start : start + height * width * 3].reshape(height, width, 3)
        start += height * width * 3


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
