"""The one way of a picture: decode, run, encode. The worker, the command line and the benchmarks go it.

Who calls it says how bytes become a picture (a worker decodes in another process), what happens around each stage, and
whether to go on; so it knows no store, no lease and no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from workers.operations.operation import Colour, Encoded, Tick, Work
from workers.pictures.picture import Picture

if TYPE_CHECKING:
    from workers.engine.engine import Engine

Decode = Callable[[Colour], Picture]


class Observer(Protocol):
    """Who watches the way; what `check` and `tick` raise ends it."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Around `decode`, `infer` and `encode`."""

    def check(self) -> None:
        """Between the stages."""

    def tick(self, done: int, total: int) -> None:
        """Between tiles."""


class Unobserved:
    """Nobody watches but `tick`."""

    def __init__(self, tick: Tick) -> None:
        self.tick = tick

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def check(self) -> None:
        """Goes on."""


def compute(work: Work[Any], engine: Engine, decode: Decode, observer: Observer) -> Encoded:
    """The result of `work` on the picture that `decode` gives. Raises LutraError, and what the observer raises."""
    operation = work.operation
    with observer.stage("decode"):
        picture = decode(operation.colour)
    observer.check()

    with observer.stage("infer"):
        result = operation.run(engine, picture, work, observer.tick)
    del picture  # its memory, before the encoder wants some
    observer.check()

    with observer.stage("encode"):
        return operation.encode(result, work.parameters)
