"""How long a job will take, by the measured speed of its model; what could not be done in time is refused.

Only what the model computes counts against the time a job has; decoding and encoding are told with the estimate. What a
refusal names was asked of the same plan that refused, at the same speeds: it would be taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.cards import Card, Size
from service.house import House
from workers.errors import LutraError, TooManyPixels
from workers.operations.choice import SizeAsked
from workers.operations.speeds import computed_pixels

OVERHEAD_S = 0.05
DECODE_S_PER_MP = 0.02
ENCODE_S_PER_MP = {"jpeg": 0.01, "png": 0.05, "tiff": 0.05, "webp": 0.25, "avif": 0.2}  # 2 CPU cores, shared
CUBE_S = 0.4  # 33 nodes a side; of a user's own larger table less than ten seconds

Plan = Callable[[str | None, SizeAsked], tuple[Card, Size]]


@dataclass(frozen=True)
class Upscaling:
    """What was asked of /upscale, and the plan that answers it: card and (height, width), or a LutraError."""

    model: str | None
    asked: SizeAsked
    plan: Plan


@dataclass(frozen=True)
class Doorkeeper:
    """What one request is measured by: the picture's (height, width), every model's speed, the time a job may take."""

    size: Size
    s_per_mp: Mapping[str, float]
    limit_s: float

    def compute_s(self, card: Card, wanted: Size, parameters: Mapping[str, Any]) -> float:
        return computed_pixels(card, self.size, wanted, parameters) * self.s_per_mp[card.name] / 1e6

    def takes(self, upscaling: Upscaling, model: str | None, asked: SizeAsked) -> bool:
        """Whether this would be computed in time, of what /upscale accepts at all."""
        try:
            card, wanted = upscaling.plan(model, asked)
        except LutraError:
            return False
        return self.compute_s(card, wanted, {}) <= self.limit_s


async def estimate_s(
    house: House,
    card: Card,
    size: Size,
    wanted: Size,
    parameters: Mapping[str, Any],
    upscaling: Upscaling | None = None,
) -> float:
    """Seconds for a picture of (height, width) `size`; `wanted`: its result's.

    Raises TooManyPixels where the model would compute for longer than a job may, with the largest scale or size and the
    models that fit.
    """
    door = Doorkeeper(size, await house.speeds(), house.settings.job_timeout_seconds)
    compute_s = door.compute_s(card, wanted, parameters)
    seconds = OVERHEAD_S + codec_s(size, wanted, parameters["format"]) + compute_s
    if compute_s <= door.limit_s:
        return seconds
    largest, advice = _largest_upscaling(door, upscaling) if upscaling else _largest_picture(door, card)
    others = [other for other in house.models.values() if other.task == card.task and not _cost_the_same(other, card)]
    if upscaling:
        faster = [other.name for other in others if door.takes(upscaling, other.name, upscaling.asked)]
    else:
        faster = [other.name for other in others if door.compute_s(other, wanted, parameters) <= door.limit_s]
    if faster:
        largest["faster_models"] = faster
        advice += f", or a faster model: {', '.join(faster)}"
    told = f"{card.name} would take about {seconds:.0f} s, longer than the {door.limit_s:g} s allowed; {advice}"
    raise TooManyPixels(told, estimate_s=round(seconds, 1), limit_s=door.limit_s, **largest)


def codec_s(size: Size, wanted: Size, format_out: str) -> float:
    """Decoding and encoding."""
    decode_s = DECODE_S_PER_MP * size[0] * size[1] / 1e6
    if format_out == "cube":
        return decode_s + CUBE_S
    return decode_s + ENCODE_S_PER_MP[format_out] * wanted[0] * wanted[1] / 1e6


def _cost_the_same(one: Card, other: Card) -> bool:
    """By their cards: what was measured of two equal networks differs by chance."""
    return (one.cpu_s_per_mp, one.fixed_scales) == (other.cpu_s_per_mp, other.fixed_scales)


def _largest_picture(door: Doorkeeper, card: Card) -> tuple[dict[str, object], str]:
    pixels = int(door.limit_s * 1e6 / door.s_per_mp[card.name])
    if pixels * door.s_per_mp[card.name] / 1e6 > door.limit_s:  # by a rounding
        pixels -= 1
    return {"largest_pixels": pixels}, f"at most {pixels} pixels fit"


def _largest_upscaling(door: Doorkeeper, upscaling: Upscaling) -> tuple[dict[str, object], str]:
    """In hundredths of a scale. Time grows with it, so the border is found by halving."""
    fits, too_large = 100, 6401
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        taken = door.takes(upscaling, upscaling.model, _at(middle))
        fits, too_large = (middle, too_large) if taken else (fits, middle)
    if fits == 100:
        return {}, "no scale of this picture fits"
    height, width = upscaling.plan(upscaling.model, _at(fits))[1]
    largest = {"largest_scale": fits / 100, "largest_pixels": height * width}
    return dict(largest), f"at most scale {fits / 100:g} ({width}x{height}, {height * width} pixels) fits"


def _at(hundredths: int) -> SizeAsked:
    return SizeAsked(scale=f"{hundredths / 100:.2f}")
