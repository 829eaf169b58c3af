"""The knee: the most users at whom every objective still holds. Who measures a step is handed in.

Users come with a pace of their own (so many jobs a second, if they are answered in time), so that twice the users are
twice the load until something is in the way. Steps double until an objective breaks; then the gap is halved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load.summary import Summary

HALVINGS = 2  # so that the knee is told to an eighth


@dataclass(frozen=True)
class Objectives:
    """What a step must keep. `yield_share`: of the jobs a second that its additional users would bring unhindered."""

    p95_ms: float = 1000.0
    failed_share: float = 0.01
    refused_share: float = 0.01
    yield_share: float = 0.75


@dataclass(frozen=True)
class Step:
    """One number of users; `broken` says which objective does not hold, nothing where all do."""

    summary: Summary
    broken: str


@dataclass(frozen=True)
class Knee:
    """Steps as they were taken; `held`: of those that kept every objective the one with the most users, if any did."""

    steps: tuple[Step, ...]
    held: Summary | None

    @property
    def why(self) -> str:
        """What broke at the fewest users beyond; nothing where no step was too much."""
        broken = [step for step in self.steps if step.broken]
        return min(broken, key=lambda step: step.summary.users).broken if broken else ""


def find_knee(measure: Callable[[int], Summary], objectives: Objectives, *, first: int, most: int) -> Knee:
    """Takes steps of `first`, twice that, ... at most `most` users, then halves the gap that the break left."""
    steps: list[Step] = []
    held: Summary | None = None
    too_many = most + 1

    def take(users: int) -> None:
        nonlocal held, too_many
        summary = measure(users)
        step = Step(summary, what_breaks(summary, held, objectives))
        steps.append(step)
        if step.broken:
            too_many = users
        else:
            held = summary

    users = first
    while users < too_many:
        take(users)
        users *= 2
    for _ in range(HALVINGS if too_many <= most else 0):
        middle = ((held.users if held else 0) + too_many) // 2
        if middle == (held.users if held else 0):
            break
        take(middle)
    return Knee(tuple(steps), held)


def what_breaks(step: Summary, held: Summary | None, objectives: Objectives) -> str:
    """The first objective that does not hold, in words; `held` is the step with the most users so far that held all."""
    if step.share(step.failed) > objectives.failed_share:
        return f"{step.share(step.failed):.1%} failed, more than {objectives.failed_share:.1%}"
    if step.share(step.refused) > objectives.refused_share:
        return f"{step.share(step.refused):.1%} were refused, more than {objectives.refused_share:.1%}"
    if not step.succeeded:
        return "no job succeeded"
    if step.p95_ms > objectives.p95_ms:
        return f"p95 is {step.p95_ms:.0f} ms, more than {objectives.p95_ms:.0f} ms"
    if held and step.jobs_per_s < least_jobs_per_s(step.users, held, objectives.yield_share):
        return f"{step.jobs_per_s:.1f} jobs/s after {held.jobs_per_s:.1f} with {held.users} users: no longer grows"
    return ""


def least_jobs_per_s(users: int, held: Summary, yield_share: float) -> float:
    """What so many users must bring for the rate to count as growing."""
    return held.jobs_per_s * (1 + yield_share * (users / held.users - 1))
