"""What all worker children share: loaded once, in their parent, before it forks.

To import torch and to load the models is most of a child's start. Done before the fork it costs a child that replaces
another one nothing, and all of them share the pages. Nothing may outlive the fork that a fork breaks: here one thread
alone computes, because OpenMP's others would be missing in the child, which would wait for them for ever; and no
model is put on a GPU, whose context a child cannot use. Where GPUs may serve, the imports alone are shared.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers import devices
from workers.errors import LutraError
from workers.log import Log
from workers.operations.choice import served_models
from workers.settings import Settings

if TYPE_CHECKING:
    from workers.engine.engine import Engine

log = Log(__name__)


@dataclass(frozen=True)
class Loaded:
    """An engine with its models, and the seconds that each took."""

    engine: Engine
    seconds: dict[str, float]


def preload(settings: Settings) -> Loaded | None:
    """Imports, and where it can be all models. None where it cannot, or fails: each child then loads for itself, and
    says what is wrong.
    """
    from workers import runner  # with all that a child imports
    from workers.engine import allocator
    from workers.engine.engine import Engine

    loaded = None
    if devices.computes_here(settings.device):
        try:
            engine = Engine(
                device="cpu",
                precision=settings.precision,
                tile=settings.tile,
                weights_dir=settings.weights_dir,
                threads=1,
                observe=runner.EngineMetrics(),
            )
            loaded = load(engine, served_models(settings.models, settings.weights_dir))
        except (LutraError, ValueError, OSError, RuntimeError) as error:
            log.warning("the models could not be loaded for all children at once", reason=str(error))
    allocator.give_back(0)
    gc.collect()
    gc.freeze()  # a collection in a child would write to each object, and so to each page
    return loaded


def load(engine: Engine, names: Iterable[str]) -> Loaded:
    """Every model of these onto the engine's device."""
    seconds = {}
    for name in names:
        start = time.perf_counter()
        engine.load(name)
        seconds[name] = time.perf_counter() - start
    return Loaded(engine, seconds)
