"""A restorer with the condition of one picture, run by `sweep` as an upscaler of scale 1: its tiles equal the whole.

It does not choose model, tile or precision; that is `workers.engine.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from models.contract import Axis, ConditionedRestorer, Upscaler, View
from workers.engine.passes import Executor


@dataclass(frozen=True)
class AtOneScale:
    """What `restorer` makes of each window under `condition`, `strength` of the way from the window itself."""

    restorer: ConditionedRestorer
    condition: Tensor
    strength: float = 1.0

    def __call__(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """See `models.contract.Upscaler`; clamped, so that a strength between is one between two pictures."""
        restored = self.restorer(windows, self.condition).clamp(0, 1)
        if self.strength < 1:
            restored = windows.lerp(restored, self.strength)
        return [one[:, part(view.rows), part(view.cols)] for one, view in zip(restored, views, strict=True)]


def at_one_scale(executor: Executor[ConditionedRestorer], condition: Tensor, strength: float) -> Executor[Upscaler]:
    """The same for `sweep`, also where a tile has to be repeated in full precision."""
    full_precision = executor.full_precision

    def in_full_precision() -> Upscaler:
        assert full_precision is not None
        return AtOneScale(full_precision(), condition, strength)

    return Executor(
        executor.name,
        AtOneScale(executor.model, condition, strength),
        executor.device,
        in_full_precision if full_precision else None,
        executor.grey,
    )


def part(axis: Axis) -> slice:
    """Where a window of the same scale holds the samples of a tile."""
    return slice(axis.start - axis.origin, axis.start - axis.origin + axis.count)
