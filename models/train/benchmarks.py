"""Benchmark folders: HR pictures with the LR ones that belong to them, and pairs of an input and a target.

A super-resolution set is a folder with `HR/`, and `LRx2/` ... where small pictures are given; a retouching set, or one
of rain or haze, has `input/` and `target/`. Noise and JPEG blocks are put on here. It measures nothing.
Source: the layout of the SelfExSR release; data sets named as there. CBSD68 is 68 pictures of BSD100 by their names
(`cbsd68/LIST.txt`). Restoration as published with Li et al., CVPR 2022: pictures cut to multiples of 16 pixels, noise
of numpy's seed 0 drawn picture after picture (there in the order of the disk, here in that of the list), and cut off,
not rounded, to 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.train.data import Pixels, list_pictures, read_rgb, resize
from models.train.degradations import through_jpeg

KNOWN_FIRST = ("Set5", "Set14", "BSD100")
NOISY, NOISY_FROM, SIGMAS = "CBSD68", "BSD100", (15, 25, 50)
WEATHER_SETS = {"rain100l": "rain", "sots_indoor20": "haze", "sots_outdoor2": "haze"}
COMPRESSED, QUALITIES = "kodak24", (10, 20, 30, 40)
MULTIPLE = 16


@dataclass(frozen=True)
class Pair:
    """LR and HR of one picture, 8 bit RGB. `grey`: it has no colour, and its luma is its own values."""

    lr: Pixels
    hr: Pixels
    grey: bool


def find_sets(data: Path, part: str = "HR") -> dict[str, Path]:
    """{name: folder} of the sets below `data` or `data`/bench that have the folder `part`; the usual ones first."""
    sets = {
        folder.name: folder for root in (data, data / "bench") for folder in root.glob("*/") if (folder / part).is_dir()
    }
    if (data / part).is_dir():
        sets[data.name] = data
    order = [name for name in KNOWN_FIRST if name in sets] + sorted(sets.keys() - set(KNOWN_FIRST))
    return {name: sets[name] for name in order}


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


@dataclass(frozen=True)
class Trial:
    """One row of restoration to be measured: the pictures of a set, and what spoils them.

    `pictures` are clean and spoilt here, by noise of `sigma` levels or a JPEG of a `quality`, or by neither; without
    them the folder has pairs. `make` draws the pairs in place of all that.
    """

    set: str
    folder: Path
    damage: str
    pictures: tuple[Path, ...] = ()
    sigma: int = 0
    quality: int = 0
    make: Callable[[], Iterator[tuple[NDArray[Any], NDArray[Any]]]] | None = None


def published_trials(data: Path, jpeg: Iterable[int] = ()) -> list[Trial]:
    """Noise on CBSD68, the pairs of rain and haze, JPEG on Kodak and Kodak clean: what is there of it.

    `jpeg` are other qualities than the usual, 0 none.
    """
    return [*noise_trials(data), *weather_trials(data), *jpeg_trials(data, tuple(jpeg) or QUALITIES)]


def choose_trials(trials: Iterable[Trial], sets: Iterable[str], data: Path) -> list[Trial]:
    """Those of the `sets` asked for, all where none is. Raises FileNotFoundError for a set that is not there."""
    trials = list(trials)
    known = {trial.set for trial in trials}
    missing = [name for name in sets if name not in known]
    if missing or not known:
        raise FileNotFoundError(
            f"no set {', '.join(missing) or 'at all'} below {data}; found {', '.join(sorted(known)) or 'none'}"
        )
    chosen = set(sets) or known
    return [trial for trial in trials if trial.set in chosen]


def noise_trials(data: Path) -> list[Trial]:
    names, folder = data / "bench" / NOISY.lower() / "LIST.txt", data / "bench" / NOISY_FROM / "HR"
    if not (names.is_file() and folder.is_dir()):
        return []
    listed = [line for line in names.read_text().split("\n") if line and not line.startswith("#")]
    pictures = tuple(folder / line.split("\t")[0] for line in listed)
    return [Trial(NOISY, folder, f"sigma {sigma}", pictures, sigma=sigma) for sigma in SIGMAS]


def weather_trials(data: Path) -> list[Trial]:
    sets = find_sets(data, "input")
    return [Trial(name, sets[name], damage) for name, damage in WEATHER_SETS.items() if name in sets]


def jpeg_trials(data: Path, qualities: Iterable[int]) -> list[Trial]:
    folder = data / "bench" / COMPRESSED
    if not folder.is_dir():
        return []
    pictures = tuple(list_pictures(folder))
    jpegs = [Trial(COMPRESSED, folder, f"JPEG {q}", pictures, quality=q) for q in qualities if q > 0]
    return [*jpegs, Trial(COMPRESSED, folder, "clean", pictures)]


def read_trial(trial: Trial, first: int | None = None) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """(spoilt, clean) of each picture, or of the `first` ones."""
    if trial.make is not None:
        return islice(trial.make(), first)
    if not trial.pictures:
        return ((whole(a), whole(b)) for a, b in islice(read_retouched(trial.folder), first))
    pictures = (whole(read_rgb(path)) for path in trial.pictures[:first])
    random = np.random.RandomState(0)  # the generator of the published figures, and its seed
    return ((spoil(clean, trial, random), clean) for clean in pictures)


def spoil(clean: Pixels, trial: Trial, random: np.random.RandomState) -> Pixels:
    if trial.sigma:
        noisy = clean + trial.sigma * random.randn(*clean.shape)
        return noisy.clip(0, 255).astype(np.uint8)
    return through_jpeg(clean, trial.quality) if trial.quality else clean


def whole(pixels: Pixels) -> Pixels:
    """The middle of a picture, sides that MULTIPLE divides."""
    height, width = (side // MULTIPLE * MULTIPLE for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
