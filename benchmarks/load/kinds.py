"""What users ask for: kinds of jobs, the ways to wait for one, and mixes of both; and the pictures that they send."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

PICTURES = 32  # of each side
QUALITY = 90

WAIT, POLL, EVENTS = "wait", "poll", "events"  # Prefer: wait; respond-async, and then asking or listening


@dataclass(frozen=True)
class Kind:
    """A request: a JPEG of `side` x `side` pixels to `path`, of which one of `result_side` squared comes."""

    name: str
    path: str
    side: int
    result_side: int

    @property
    def megapixels(self) -> float:
        """Of the result."""
        return self.result_side**2 / 1e6


@dataclass(frozen=True)
class Part:
    """A kind, how its users wait, and its weight in the mix."""

    kind: Kind
    way: str
    weight: int


ENHANCE = Kind("enhance", "/enhance", 512, 512)
UPSCALE = Kind("upscale", "/upscale?scale=2", 192, 384)
RESTORE = Kind("restore", "/restore", 192, 192)

MIXES: dict[str, tuple[Part, ...]] = {
    "enhance": (Part(ENHANCE, WAIT, 1),),
    "mixed": (
        Part(ENHANCE, WAIT, 6),
        Part(ENHANCE, POLL, 2),
        Part(ENHANCE, EVENTS, 2),
        Part(UPSCALE, WAIT, 1),
        Part(UPSCALE, EVENTS, 1),
        Part(RESTORE, WAIT, 1),
        Part(RESTORE, POLL, 1),
    ),
}


def described(mix: str) -> str:
    """The mix in words: `10 of 14 enhance (wait 6, poll 2, events 2), ...`."""
    parts = MIXES[mix]
    whole = sum(part.weight for part in parts)
    told = []
    for kind in dict.fromkeys(part.kind for part in parts):
        ways = [part for part in parts if part.kind is kind]
        share = sum(part.weight for part in ways)
        how = ", ".join(f"{part.way} {part.weight}" for part in ways)
        told.append(f"{share} of {whole} POST {kind.path} with {kind.side}x{kind.side} ({how})")
    return "; ".join(told)


def draw(parts: Sequence[Part], rng: random.Random) -> Part:
    return rng.choices(parts, [part.weight for part in parts])[0]


def write_pictures(folder: Path) -> None:
    """Photograph-like JPEGs of every side that a kind has, from a seed; needs Pillow alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for side in sorted({part.kind.side for parts in MIXES.values() for part in parts}):
        for number in range(PICTURES):
            photo(side, number).save(picture_file(folder, side, number), "JPEG", quality=QUALITY)


def picture_file(folder: Path, side: int, number: int) -> Path:
    return folder / f"{side}-{number}.jpg"


def photo(side: int, seed: int) -> Image.Image:
    """Soft colours with a little grain."""
    rng = random.Random(seed)
    soft = Image.frombytes("RGB", (24, 24), rng.randbytes(24 * 24 * 3)).resize((side, side), Image.Resampling.BICUBIC)
    grain = Image.frombytes("RGB", (side, side), rng.randbytes(side * side * 3))
    return Image.blend(soft, grain, 0.05)
