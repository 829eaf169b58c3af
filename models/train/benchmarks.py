"""Benchmark folders: HR pictures with the LR ones that belong to them, and pairs of an input and a target.

A super-resolution set is a folder with `HR/`, and `LRx2/` ... where small pictures are given; a retouching set has
`input/` and `target/`. It measures nothing.
Source: the layout of the SelfExSR release; data sets named as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from models.train.data import Pixels, list_pictures, read_rgb, resize
from models.train.degradations import through_jpeg

KNOWN_FIRST = ("Set5", "Set14", "BSD100")


@dataclass(frozen=True)
class Pair:
    """LR and HR of one picture, 8 bit RGB. `grey`: it has no colour, and its luma is its own values."""

    lr: Pixels
    hr: Pixels
    grey: bool


def find_sets(data: Path, part: str = "HR") -> dict[str, Path]:
    """{name: folder} of the sets below `data` or `data`/bench that have the folder `part`; the usual ones first."""
    found = {
        folder.name: folder for root in (data, data / "bench") for folder in root.glob("*/") if (folder / part).is_dir()
    }
    if (data / part).is_dir():
        found[data.name] = data
    order = [name for name in KNOWN_FIRST if name in found] + sorted(found.keys() - set(KNOWN_FIRST))
    return {name: found[name] for name in order}


def read_pairs(folder: Path, scale: float, jpeg: int | None = None) -> Iterator[Pair]:
    """The pictures of a set at a scale; with `jpeg` the small ones went through a JPEG of that quality.

    Small pictures are those of the folder where it has this scale, else made by Pillow's antialiased bicubic from an HR
    picture cut to what they enlarge to.
    """
    for path in list_pictures(folder / "HR"):
        hr = read_rgb(path)
        given = next(iter((folder / f"LRx{scale:g}").glob(f"{path.stem}.*")), None)
        lr = read_rgb(given) if given else shrink(hr, scale)
        height, width = (enlarged(side, scale) for side in lr.shape[:2])
        if height > hr.shape[0] or width > hr.shape[1]:
            raise OSError(f"{given} enlarged {scale:g} times is {width}x{height}, larger than {path}")
        hr = hr[:height, :width]
        yield Pair(lr if jpeg is None else through_jpeg(lr, jpeg), hr, is_grey(path))


def enlarged(side: int, scale: float) -> int:
    """Sides of a result, as in service: n s, rounded half up."""
    return int(side * scale + 0.5)


def shrink(hr: Pixels, scale: float) -> Pixels:
    """The largest small picture that HR has the pixels for, by antialiased bicubic."""
    size = tuple(max(n for n in range(int(side / scale) + 2) if enlarged(n, scale) <= side) for side in hr.shape[:2])
    return resize(hr[: enlarged(size[0], scale), : enlarged(size[1], scale)], (size[0], size[1]))


def is_grey(path: Path) -> bool:
    """Whether the file has one channel; a grey picture stored as RGB is a colour picture to the papers."""
    with Image.open(path) as picture:
        return picture.mode in ("1", "L", "I;16")


def read_retouched(folder: Path) -> list[tuple[Pixels, Pixels]]:
    """(input, target) of each picture of a retouching set."""
    inputs, targets = list_pictures(folder / "input"), list_pictures(folder / "target")
    return [(read_rgb(before), read_rgb(after)) for before, after in zip(inputs, targets, strict=True)]
