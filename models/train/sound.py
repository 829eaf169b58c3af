"""Pictures with nothing wrong: crops of photographs, skies and walls, and all that photographs lack.

What a restorer must leave alone is not only photographs: flat fields of every level, gradients, drawings, text,
screens, halftones, dithers, checkers, alone and inside a photograph (`models.train.made` draws most). Some of what is
spoilt is drawn as well. It spoils nothing and reads no file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.train import made
from models.train.data import Pixels, resize
from models.train.degradations import Range

EXACT = 1.0  # details of drawn pictures count in pixels: nothing is made smaller here


@dataclass(frozen=True)
class Shares:
    """How often a crop is what; the rest is a photograph's own. `smooth`: its middle, `enlarged` so many times; `flat`:
    one level or colour; `drawn`: patterns, text, drawings, slopes; `screens`: a page of a program; `inset`: a pattern
    in the photograph; `patterns`: each sort of pattern alone, equally often."""

    smooth: float = 0.0
    flat: float = 0.0
    drawn: float = 0.0
    screens: float = 0.0
    inset: float = 0.0
    patterns: float = 0.0
    enlarged: Range = (1.5, 30.0)


CLEAN = Shares(smooth=0.2, flat=0.08, drawn=0.22, screens=0.06, inset=0.12)
SPOILT = Shares(smooth=0.1, flat=0.02, drawn=0.06, screens=0.03, inset=0.03)
PATTERNS = Shares(patterns=0.6, flat=0.4)
OUTDOORS = Shares(smooth=0.1)  # rain and haze do not fall on drawings


def draw(crop: Pixels, shares: Shares, rng: np.random.Generator) -> tuple[Pixels, bool]:
    """A picture in place of a square crop of a photograph, and whether it shows that photograph's colours and light."""
    side, at = crop.shape[0], float(rng.random())
    kinds = (shares.flat, flat), (shares.screens, screen), (shares.drawn, drawn), (shares.patterns, patterned)
    for share, kind in kinds:
        if at < share:
            return kind(rng, side), False
        at -= share
    if at < shares.smooth:
        return enlarge(crop, shares.enlarged, rng), True
    return (made.within(crop, rng, EXACT) if at - shares.smooth < shares.inset else crop), True


def flat(rng: np.random.Generator, side: int) -> Pixels:
    """Of one level as often as of one colour; black and white as well."""
    levels = rng.integers(256, size=3) if rng.random() < 0.5 else np.full(3, rng.integers(256))
    return np.broadcast_to(levels.astype(np.uint8), (side, side, 3)).copy()


def drawn(rng: np.random.Generator, side: int) -> Pixels:
    return made.draw(rng, side, EXACT)


def patterned(rng: np.random.Generator, side: int) -> Pixels:
    return made.one_of(made.SORTS, rng, side, EXACT)


def screen(rng: np.random.Generator, side: int) -> Pixels:
    """Panes of flat colours with borders of a pixel, some with text or a slope in them."""
    out = flat(rng, side)
    for _ in range(int(rng.integers(2, 6))):
        height, width = (int(rng.integers(8, side)) for _ in range(2))
        top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
        pane = out[top : top + height, left : left + width]
        pane[...] = rng.integers(256, size=3) if rng.random() < 0.4 else rng.integers(256)
        kind = (made.texts, made.fields, None)[int(rng.integers(3))]
        if kind is not None:
            pane[1:-1, 1:-1] = kind(rng, side, EXACT)[1 : height - 1, 1 : width - 1]
    return out


def enlarge(crop: Pixels, times: Range, rng: np.random.Generator) -> Pixels:
    """The middle of a crop as large as the whole; small and large enlargements equally often."""
    side = crop.shape[0]
    middle = max(2, round(side / np.exp(rng.uniform(*np.log(times)))))
    begin = (side - middle) // 2
    return resize(crop[begin : begin + middle, begin : begin + middle], (side, side))
