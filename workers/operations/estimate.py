"""How long a plan will take, by the measured speed of its model; what could not be done in time is refused.

Only what the model computes counts against the time a job has; decoding and encoding are part of the estimate. What a
refusal names was asked of the same plan that refused, at the same speeds: it would be taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.cards import Card, Size
from models.cube import Cube
from workers.errors import LutraError, TooManyPixels
from workers.operations.operation import Installation, Plan, Query
from workers.pictures.picture import Header

OVERHEAD_S = 0.05
DECODE_S_PER_MP = 0.02


@dataclass(frozen=True)
class Asked:
    """A query together with the picture and the place that it was planned for."""

    query: Query
    header: Header
    at: Installation
    table: Cube | None = None

    @property
    def limit_s(self) -> float:
        return self.at.limits.patience_s

    def compute_s(self, plan: Plan[Any]) -> float:
        """Seconds that the plan's model will compute."""
        size = self.header.height, self.header.width
        pixels = plan.operation.computed_pixels(plan.card, size, plan.parameters)
        return pixels * self.at.s_per_mp[plan.card.name] / 1e6

    def size_in_time(self, plan: Plan[Any], changes: dict[str, Any]) -> Size | None:
        """The result's size if the query were changed so; None where that is refused or would take too long."""
        query = self.query.model_copy(update=changes)
        try:
            other = plan.operation.plan(query, self.header, plan.parameters, self.at, self.table)
        except LutraError:
            return None
        return other.size if self.compute_s(other) <= self.limit_s else None


def estimate_s(plan: Plan[Any], asked: Asked) -> float:
    """Seconds until the result of a job that begins now.

    Raises TooManyPixels where the model would compute for longer than a job may, with the largest scale or size and the
    models that fit.
    """
    compute_s = asked.compute_s(plan)
    codec_s = DECODE_S_PER_MP * asked.header.pixels / 1e6 + plan.operation.encode_s(plan.parameters, plan.size)
    seconds = OVERHEAD_S + codec_s + compute_s
    if compute_s > asked.limit_s:
        raise _refusal(plan, asked, seconds)
    return seconds


def _refusal(plan: Plan[Any], asked: Asked, seconds: float) -> TooManyPixels:
    card, limit_s = plan.card, asked.limit_s
    advice = plan.operation.largest(card, asked.at, lambda changes: asked.size_in_time(plan, changes))
    members, sentence = dict(advice.members), advice.sentence

    others = [
        other for other in asked.at.models.values() if other.task == card.task and not _cost_the_same(other, card)
    ]
    faster = [other.name for other in others if asked.size_in_time(plan, {"model": other.name}) is not None]
    if faster:
        members["faster_models"] = faster
        sentence += f", or a faster model: {', '.join(faster)}"

    seen = f"{card.name} would take about {seconds:.0f} s, longer than the {limit_s:g} s allowed"
    return TooManyPixels(f"{seen}; {sentence}", estimate_s=round(seconds, 1), limit_s=limit_s, **members)


def _cost_the_same(one: Card, other: Card) -> bool:
    """By their cards: what was measured of two equal networks differs by chance."""
    return (one.cpu_s_per_mp, one.fixed_scales) == (other.cpu_s_per_mp, other.fixed_scales)
