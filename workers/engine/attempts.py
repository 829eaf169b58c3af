"""What becomes of a tile that fails, for every way of tiling: memory that ran out, values that are not numbers.

Out of memory: `attempt` gives None, and the caller goes on with less at once, as `sweep` and `feathered` each have it.
Values that are not numbers: the tile once more in float32. All other errors pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from workers.engine.passes import Executor, Observer, Progress
from workers.errors import InternalError, OutOfMemory
from workers.log import Log

Result = TypeVar("Result")
Model = TypeVar("Model")

log = Log(__name__)


def attempt(work: Callable[[], Result]) -> Result | None:
    """What `work` returns, or None when memory ran out.

    The exception ends with this function: held any longer, its traceback would keep the tensors alive.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch (the CUDA allocator, its libraries, the CPU allocator) or numpy could not get memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).lower()
    return any(
        words in message for words in ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
    )


def free_memory(executor: Executor[Any], progress: Progress, observe: Observer) -> None:
    """After memory ran out: what the allocator holds and nobody uses goes back to the device.

    Nothing more is kept for an attempt after this one: it would begin with the larger tiles.
    """
    progress.checkpoint.stop()
    observe.oom_retry(executor.name)
    if executor.device.type == "cuda":
        torch.cuda.empty_cache()


def refuse_smaller(executor: Executor[Any], tile: int, smallest: int, advice: str) -> None:
    """Raises OutOfMemory where memory ran out for a tile that cannot be made smaller."""
    if tile <= smallest:
        raise OutOfMemory(
            f"{executor.name} ran out of memory on {executor.device} even in tiles of {tile} pixels; {advice}"
        )


def is_finite(tile: NDArray[np.float32]) -> bool:
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return bool(np.isfinite(tile.sum(dtype=np.float64)))


def to_full_precision(executor: Executor[Model], observe: Observer) -> Executor[Model]:
    """For a tile whose values are not numbers: the same in float32. Raises InternalError where that was it already."""
    if executor.full_precision is None:
        raise InternalError(f"{executor.name} made values that are not numbers from this picture")
    observe.nonfinite_retry(executor.name)
    log.warning("values are not numbers, tile repeated in float32", model=executor.name)
    return replace(executor, model=executor.full_precision(), full_precision=None)
