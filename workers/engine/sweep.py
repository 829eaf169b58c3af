"""One pass of a model over a picture: cut windows, run them in batches, paste the tiles, and go on when things fail.

Out of memory: fewer tiles at once, then smaller tiles; what is pasted stays. Values that are not numbers: the tile
again in full precision. Only windows and tiles are on the device; picture and result stay in host memory. It does not
choose model, size of tiles or precision; that is `workers.engine.engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.contract import Upscaler, View
from workers.engine import tiles
from workers.engine.tiles import Plan
from workers.errors import InternalError, OutOfMemory
from workers.log import Log

Array = NDArray[Any]
Tick = Callable[[int, int], None]
Model = TypeVar("Model")

SMALLEST_TILE = 16  # output samples; below, windows are all halo and smaller tiles save nothing

log = Log(__name__)


class Observer(Protocol):
    """What the engine tells of its work, for metrics."""

    def tiles(self, model: str, count: int) -> None: ...

    def batch(self, model: str, size: int) -> None: ...

    def oom_retry(self, model: str) -> None: ...

    def nonfinite_retry(self, model: str) -> None: ...


class Silent:
    """An observer that nobody reads."""

    def tiles(self, model: str, count: int) -> None:
        pass

    def batch(self, model: str, size: int) -> None:
        pass

    def oom_retry(self, model: str) -> None:
        pass

    def nonfinite_retry(self, model: str) -> None:
        pass


class Progress:
    """Tiles done of all the passes over one picture; `tick` hears of it and may raise to stop the work."""

    def __init__(self, tick: Tick, total: int) -> None:
        self._tick = tick
        self.done = 0
        self.total = total

    def tell(self) -> None:
        self._tick(self.done, self.total)

    def advance(self, count: int) -> None:
        self.done += count
        self.tell()

    def replan(self, before: int, after: int) -> None:
        """`before` tiles still to do have become `after`; what is done is recounted in their size."""
        others = self.total - self.done - before
        self.done = round(self.done * after / before)
        self.total = self.done + after + others


@dataclass(frozen=True)
class Runs(Generic[Model]):
    """A model as one pass needs it. `in_full`: the same model in float32, None where `model` computes in it already.

    `grey`: the model wants three channels, the picture has one: replicate, then average.
    """

    name: str
    model: Model
    device: torch.device
    in_full: Callable[[], Model] | None = None
    grey: bool = False


def sweep(
    runs: Runs[Upscaler],
    picture: Array,
    result: Array,
    plan: Plan,
    *,
    batch: int,
    progress: Progress,
    observe: Observer,
) -> Plan:
    """Fills `result` (H, W, C) from `picture` (h, w, C), tile by tile; returns the plan that memory allowed at last.

    A picture of one channel fills all the channels of the result. Raises OutOfMemory or InternalError, and whatever
    `progress` raises, between batches.
    """
    source = _Source(picture, plan, runs.device)
    at = 0
    while at < len(plan.views):
        views = plan.views[at : at + batch]
        done = _attempt(runs, source, views)
        if done is None:
            observe.oom_retry(runs.name)
            source.forget()
            plan, at, batch = _smaller(runs, plan, at, len(views), progress)
            source = _Source(picture, plan, runs.device)
            continue
        for view, tile in zip(views, done, strict=True):
            if _is_finite(tile):
                tiles.paste(result, view, tile)
            else:
                _repeat_in_full(runs, picture, result, replace(plan, views=(view,)), observe)
        at += len(views)
        observe.tiles(runs.name, len(views))
        observe.batch(runs.name, len(views))
        progress.advance(len(views))
    return plan


class _Source:
    """Windows of the picture on the device, float32 in [0, 1]; the whole picture is sent once."""

    def __init__(self, picture: Array, plan: Plan, device: torch.device) -> None:
        self._picture = picture
        self._plan = plan
        self._device = device
        self._whole: Tensor | None = None

    def fetch(self, views: Sequence[View]) -> Tensor:
        """(N, C, h, w)."""
        if self._plan.halo is None:
            if self._whole is None:
                self._whole = self._send(self._picture[None].astype(np.float32))
            return self._whole.expand(len(views), -1, -1, -1)
        # 8 bits travel as they are; torch computes little on uint16
        kind = np.uint8 if self._picture.dtype == np.uint8 else np.float32
        windows = np.empty((len(views), *self._plan.window, self._picture.shape[2]), kind)
        for view, window in zip(views, windows, strict=True):
            tiles.cut(self._picture, view, window)
        return self._send(windows)

    def forget(self) -> None:
        self._whole = None

    def _send(self, windows: Array) -> Tensor:
        top = np.iinfo(self._picture.dtype).max
        return torch.from_numpy(windows).to(self._device).permute(0, 3, 1, 2).float().div_(float(top))


def _attempt(runs: Runs[Upscaler], source: _Source, views: Sequence[View]) -> list[NDArray[np.float32]] | None:
    """The tiles of these views in host memory, or None when memory ran out.

    The exception ends with this function: held any longer, its traceback would keep the tensors alive.
    """
    try:
        return _tiles(runs, runs.model, source, views)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None


def _tiles(runs: Runs[Upscaler], model: Upscaler, source: _Source, views: Sequence[View]) -> list[NDArray[np.float32]]:
    windows = source.fetch(views)
    made = model(windows.expand(-1, 3, -1, -1) if runs.grey else windows, views)
    return [_to_host(tile.float().mean(0, keepdim=True) if runs.grey else tile.float()) for tile in made]


def _to_host(tile: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = tile.cpu().numpy()
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch (the CUDA allocator, its libraries, the CPU allocator) or numpy could not get memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error).lower()
    return any(
        words in said for words in ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
    )


def _smaller(runs: Runs[Upscaler], plan: Plan, at: int, tried: int, progress: Progress) -> tuple[Plan, int, int]:
    """Plan, place in it and batch after memory ran out: half the tiles at once, or tiles of half the side."""
    if runs.device.type == "cuda":
        torch.cuda.empty_cache()
    if tried > 1:
        batch = (tried + 1) // 2
        log.warning("memory ran out, fewer tiles at once", model=runs.name, batch=batch)
        return plan, at, batch
    left = plan.views[at:]
    side = max(max(view.rows.count, view.cols.count) for view in left)
    if side <= SMALLEST_TILE:
        raise OutOfMemory(
            f"{runs.name} ran out of memory on {runs.device} even in tiles of {side} pixels; "
            "try again later or with a smaller model"
        )
    smaller = tiles.halved(left, plan)
    progress.replan(len(left), len(smaller))
    log.warning("memory ran out, smaller tiles", model=runs.name, tile=(side + 1) // 2)
    return smaller, 0, 1


def _repeat_in_full(runs: Runs[Upscaler], picture: Array, result: Array, one: Plan, observe: Observer) -> None:
    """A tile whose values are not numbers, once more in float32. Raises InternalError where that is no better."""
    if runs.in_full is None:
        raise InternalError(f"{runs.name} made values that are not numbers from this picture")
    observe.nonfinite_retry(runs.name)
    log.warning("values are not numbers, tile repeated in float32", model=runs.name)
    in_full = replace(runs, model=runs.in_full(), in_full=None)
    sweep(in_full, picture, result, one, batch=1, progress=Progress(lambda done, total: None, 1), observe=observe)


def _is_finite(tile: NDArray[np.float32]) -> bool:
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return bool(np.isfinite(tile.sum(dtype=np.float64)))
