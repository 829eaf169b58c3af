"""Lanes: a short job never waits for a long one. Which one a job takes, and what a worker takes from each at a time.

A lane is a Celery queue. A message in it asks for the next of the lane; which job that is, the store says when a worker
takes the message (`scripts/lanes.lua`: shares by client). It talks to no store and no queue.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from workers.errors import LaneRefused
from workers.jobs.job import Lane

QUEUES = {Lane.EXPRESS: "lutra.express", Lane.BULK: "lutra.bulk"}
FORMER_QUEUE = "lutra"  # of versions without lanes; its messages name a computation


def queues_of(lane: Lane) -> tuple[str, ...]:
    """Where its messages are; former versions' jobs are bulk."""
    return (QUEUES[lane], FORMER_QUEUE) if lane is Lane.BULK else (QUEUES[lane],)


@dataclass(frozen=True)
class Intake:
    """What one channel takes from its queues: at most `places` messages at a time, which wait for a child or run."""

    queues: tuple[str, ...]
    places: int


def intakes(children: int, express_s: float, kept: int = 1) -> tuple[Intake, ...]:
    """A worker's, with so many children for bulk jobs and `kept` ones that take none of these; express jobs may have
    all. Without a border there is one intake for all, and no child is kept.
    """
    if not express_s:
        return (Intake((*queues_of(Lane.EXPRESS), *queues_of(Lane.BULK)), children),)
    return Intake(queues_of(Lane.BULK), children), Intake(queues_of(Lane.EXPRESS), children + kept)


def lane_of(estimate_s: float, express_s: float, allowed: Collection[str] = tuple(Lane)) -> Lane:
    """The lane of a job that will take so long, among those its client may use. Raises LaneRefused."""
    lane = Lane.EXPRESS if estimate_s <= express_s else Lane.BULK
    if lane in allowed:
        return lane
    if Lane.BULK in allowed:
        return Lane.BULK
    seen = f"this key may use the express lane alone, for jobs of at most {express_s:g} s; this one would take about"
    raise LaneRefused(f"{seen} {estimate_s:.1f} s", limit=express_s, lanes=sorted(allowed))


def part_of(whole: int, share: float) -> int:
    """The largest part of the places or bytes that a client of this share may hold; one at least."""
    return max(1, min(whole, math.ceil(round(whole * share, 6))))
