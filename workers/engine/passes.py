"""What every pass of a model over a picture needs, however it is tiled: the model, who observes it, its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from workers.engine.checkpoint import Checkpoint, Keeper, fingerprint
from workers.errors import Preempted

Array = NDArray[Any]
Float = NDArray[np.float32]
Tick = Callable[[int, int], None]
Model = TypeVar("Model")


class Observer(Protocol):
    """What the engine reports of its work, for metrics."""

    def tiles(self, model: str, count: int) -> None: ...

    def batch(self, model: str, size: int) -> None: ...

    def oom_retry(self, model: str) -> None: ...

    def nonfinite_retry(self, model: str) -> None: ...


class NullObserver:
    """An observer that keeps nothing."""

    def tiles(self, model: str, count: int) -> None:
        pass

    def batch(self, model: str, size: int) -> None:
        pass

    def oom_retry(self, model: str) -> None:
        pass

    def nonfinite_retry(self, model: str) -> None:
        pass


class Progress:
    """Tiles done of all the passes over one picture; `tick` hears of it and may raise to stop the work.

    `checkpoint`: where what is done is kept for an attempt after this one.
    """

    def __init__(self, tick: Tick, total: int, checkpoint: Checkpoint | None = None) -> None:
        self._tick = tick
        self.checkpoint = checkpoint or Checkpoint()
        self.done = 0
        self.total = total

    def report(self) -> None:
        try:
            self._tick(self.done, self.total)
        except Preempted:
            self.checkpoint.keep()
            raise

    def advance(self, count: int) -> None:
        self.done += count
        self.report()

    def replan(self, before: int, after: int) -> None:
        """`before` tiles still to do have become `after`; what is done is recounted in their size."""
        others = self.total - self.done - before
        self.done = round(self.done * after / before)
        self.total = self.done + after + others


@dataclass(frozen=True)
class Begin:
    """Begins the passes over one picture, once they are planned. `facts`: the engine's; `pace`: see `checkpoint`."""

    tick: Tick
    keeper: Keeper | None
    facts: Callable[[], dict[str, Any]]
    pace: int = 1

    def __call__(self, total: int, plan: object) -> Progress:
        """The progress of `total` tiles: at 0, or about to take up what an attempt of the same plan has kept.

        `plan`: see `checkpoint.fingerprint`.
        """
        checkpoint = Checkpoint(self.keeper, lambda: fingerprint(self.facts(), plan, self.pace))
        progress = Progress(self.tick, total, checkpoint)
        if not checkpoint.has_more:
            progress.report()
        return progress


@dataclass(frozen=True)
class Executor(Generic[Model]):
    """A model as one pass runs it. `full_precision`: the same in float32, None where `model` computes in it already.

    `grey`: the model wants three channels, the picture has one: replicate, then average.
    """

    name: str
    model: Model
    device: torch.device
    full_precision: Callable[[], Model] | None = None
    grey: bool = False
