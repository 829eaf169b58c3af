"""How much of a budget lies behind, and the learning rate there.

The rate is a cosine over the budget; or, where the budget has a `decay`, constant up to its last share, which a run
with a larger budget takes back: it goes on from the state before the decay (`models.train.checkpoints.TRUNK`).
Source of that schedule: Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
NeurIPS 2024 (constant rate, then 1 - sqrt).
"""

from __future__ import annotations

import math

from models.train.run import Budget, Run

WARM_UP = 0.01  # share of the run during which the learning rate rises


def progress(run: Run, budget: Budget) -> float:
    """Share of the budget that lies behind: of its steps where it has some, else of its minutes."""
    return share_of(run.step, run.seconds, budget)


def share_of(steps: int, seconds: float, budget: Budget) -> float:
    return steps / budget.steps if budget.steps else seconds / (budget.minutes * 60)


def time_left_s(run: Run, budget: Budget, pace_s: float) -> float:
    return (budget.steps - run.step) * pace_s if budget.steps else budget.minutes * 60 - run.seconds


def cosine(progress: float) -> float:
    """Share of the learning rate: a short rise, then half a cosine down to nothing."""
    rise = min(1.0, (progress + 1e-4) / WARM_UP)
    return rise * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def rate_at(share: float, budget: Budget) -> float:
    """Share of the highest learning rate when `share` of the budget lies behind."""
    if budget.decay is None:
        return cosine(share)
    rise = min(1.0, (share + 1e-4) / WARM_UP)
    left = min(1.0, (1 - min(share, 1.0)) / budget.decay)
    return rise * (1 - math.sqrt(1 - left))


def decays(share: float, budget: Budget) -> bool:
    """Whether the rate, constant so far, is falling by now."""
    return budget.decay is not None and share > 1 - budget.decay
