"""What restorers are shown beside the published sets: damage as people meet it, and pictures with nothing wrong.

Grey pictures with noise, a camera's noise, two damages at once; drawings, text, screens, checkers, halftones, dithers,
alone and inside photographs, flat fields of every level and slopes of 16 bits, which are all to come out as they went
in. Everything is drawn from fixed seeds. It measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.train import damage, made, sound
from models.train.benchmarks import COMPRESSED, NOISY, SIGMAS, Trial, jpeg_trials, noise_trials, whole
from models.train.damage import Place
from models.train.data import Pixels, read_rgb
from models.train.degradations import through_jpeg

Array = NDArray[Any]  # (H, W, 3) uint8 or uint16
Pairs = Iterator[tuple[Array, Array]]

CLEAN = "clean"
DRAWN, SIDE = 8, 192  # pictures of each sort, and their side
FIELD_SIDE = 64
SMALL_QUALITY = 40
DEEP = 65535
PATTERNS: dict[str, Callable[[np.random.Generator, int, float], NDArray[np.float64]]] = {
    "checkers": made.checkers,
    "weaves": made.weaves,
    "halftones": made.halftones,
    "dithers": made.dithers,
}
PAGES: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "drawings": lambda rng: made.drawings(rng, SIDE, sound.EXACT),
    "text": lambda rng: made.texts(rng, SIDE, sound.EXACT),
    "screens": lambda rng: sound.screen(rng, SIDE),
}


def plan(data: Path) -> list[Trial]:
    """What there is of it: photographs are those of the published sets, and what is drawn needs none."""
    noisy, photos = noise_trials(data), jpeg_trials(data, ())
    spoilt = [
        Trial(f"{NOISY} grey", one.folder, f"sigma {sigma}", make=partial(grey_noise, one.pictures, sigma))
        for one, sigma in zip(noisy, SIGMAS, strict=False)
    ]
    for one in photos:
        spoilt += [
            Trial(COMPRESSED, one.folder, kind, make=partial(damaged, one.pictures, kind))
            for kind in ("camera", "mixed")
        ]
    pictures = photos[0].pictures if photos else ()
    inside = [Trial(f"{name} in photos", data, CLEAN, make=partial(insets, pictures, name)) for name in PATTERNS]
    small = [
        Trial(f"{COMPRESSED} crops", data, CLEAN, make=partial(crops, pictures, None)),
        Trial(f"{COMPRESSED} crops", data, f"JPEG {SMALL_QUALITY}", make=partial(crops, pictures, SMALL_QUALITY)),
    ]
    return [*spoilt, *clean_trials(data), *([*inside, *small] if pictures else [])]


def clean_trials(data: Path) -> list[Trial]:
    pages = [Trial(name, data, CLEAN, make=partial(drawn, draw)) for name, draw in PAGES.items()]
    patterns = [Trial(name, data, CLEAN, make=partial(patterned, name)) for name in PATTERNS]
    fields = Trial("flat fields", data, CLEAN, make=flat_fields)
    return [*pages, *patterns, fields, Trial("slopes of 16 bits", data, CLEAN, make=deep_slopes)]


def grey_noise(paths: tuple[Path, ...], sigma: int) -> Pairs:
    """Without colour, noise of numpy's seed 0, cut off to 8 bits as `benchmarks` does in colour."""
    random = np.random.RandomState(0)
    for path in paths:
        clean = made.grey(whole(read_rgb(path)))
        noise = sigma * random.randn(*clean.shape[:2], 1)
        yield (clean + noise).clip(0, 255).astype(np.uint8), clean


def damaged(paths: tuple[Path, ...], kind: str) -> Pairs:
    for number, path in enumerate(paths):
        clean, rng = whole(read_rgb(path)), np.random.default_rng(number)
        spoilt = clean
        for one in damage.draw(kind, rng):
            spoilt = one.fall(spoilt, Place((clean.shape[0], clean.shape[1])), rng)
        yield spoilt, clean


def drawn(draw: Callable[[np.random.Generator], Pixels]) -> Pairs:
    for seed in range(DRAWN):
        pixels = draw(np.random.default_rng(seed))
        yield pixels, pixels


def patterned(name: str) -> Pairs:
    return drawn(lambda rng: made.between(PATTERNS[name](rng, SIDE, sound.EXACT), *made.two_colours(rng)))


def insets(paths: tuple[Path, ...], name: str) -> Pairs:
    """The middle half of a photograph is the pattern in black and white."""
    for seed, path in enumerate(paths[:DRAWN]):
        pixels = whole(read_rgb(path)).copy()
        pattern = made.between(
            PATTERNS[name](np.random.default_rng(seed), SIDE, sound.EXACT), np.zeros(3), np.full(3, 255.0)
        )
        top, left = ((length - min(SIDE, length)) // 2 for length in pixels.shape[:2])
        spot = pixels[top : top + SIDE, left : left + SIDE]
        spot[...] = pattern[: spot.shape[0], : spot.shape[1]]
        yield pixels, pixels


def crops(paths: tuple[Path, ...], quality: int | None) -> Pairs:
    """The middle of a photograph as a small picture of its own, which says less of the light than the whole: what is
    sky or wall there may be taken for haze. As it is, or as a JPEG.
    """
    for path in paths:
        pixels = whole(read_rgb(path))
        top, left = ((length - min(SIDE, length)) // 2 for length in pixels.shape[:2])
        clean = np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
        yield clean if quality is None else through_jpeg(clean, quality), clean


def flat_fields() -> Pairs:
    """Every level of grey, each a picture."""
    for level in range(256):
        field = np.full((FIELD_SIDE, FIELD_SIDE, 3), level, np.uint8)
        yield field, field


def deep_slopes() -> Pairs:
    """Between two colours in as many levels as 16 bits have."""
    for seed in range(DRAWN):
        rng = np.random.default_rng(seed)
        low, high = rng.uniform(0, 1, (2, 3))
        share = np.linspace(0, 1, SIDE)[:, None, None] * np.linspace(0, 1, SIDE)[None, :, None]
        slope = ((low + share * (high - low)) * DEEP + 0.5).astype(np.uint16)
        yield slope, slope
