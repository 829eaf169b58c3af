"""One pass of a model over a picture: cut windows, run them in batches, paste the tiles, and go on when things fail.

What an attempt before this one has pasted and kept is taken up. Out of memory: fewer tiles at once, then smaller tiles;
what is pasted stays, and nothing more is kept. Values that are not numbers: the tile
again in full precision. Only windows and tiles are on the device; picture and result stay in host memory. It does not
choose model, size of tiles or precision; that is `workers.engine.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.contract import Upscaler, View
from workers.engine import tiles
from workers.engine.attempts import attempt, free_memory, is_finite, refuse_smaller, to_full_precision
from workers.engine.passes import Array, Executor, Float, Observer, Progress
from workers.engine.tiles import Plan
from workers.log import Log

SMALLEST_TILE = 16  # output samples; below, windows are all halo and smaller tiles save nothing

log = Log(__name__)


def sweep(
    executor: Executor[Upscaler],
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
    source = _Source(picture, plan, executor.device)
    at = _take_up(executor, result, plan, progress)
    while at < len(plan.views):
        views = plan.views[at : at + batch]
        computed = attempt(partial(_tiles, executor, source, views))
        if computed is None:
            source.forget()
            free_memory(executor, progress, observe)
            plan, at, batch = _smaller(executor, plan, at, len(views), progress)
            source = _Source(picture, plan, executor.device)
            continue

        for view, tile in zip(views, computed, strict=True):
            if is_finite(tile):
                tiles.paste(result, view, tile)
            else:
                _repeat_in_full(executor, picture, result, replace(plan, views=(view,)), observe)

        progress.checkpoint.add(*(tiles.spot_of(result, view) for view in views))
        at += len(views)
        observe.tiles(executor.name, len(views))
        observe.batch(executor.name, len(views))
        progress.advance(len(views))
    return plan


def _take_up(executor: Executor[Upscaler], result: Array, plan: Plan, progress: Progress) -> int:
    """How many tiles an attempt before this one has finished; they are in `result` then."""
    count = 0
    while count < len(plan) and progress.checkpoint.fill(tiles.spot_of(result, plan.views[count])):
        count += 1
    if count:
        log.info("tiles of the attempt before are taken up", model=executor.name, tiles=count, of=len(plan))
        progress.advance(count)
    return count


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


def _tiles(executor: Executor[Upscaler], source: _Source, views: Sequence[View]) -> list[Float]:
    """The tiles of these views in host memory."""
    windows = source.fetch(views)
    outputs = executor.model(windows.expand(-1, 3, -1, -1) if executor.grey else windows, views)
    return [_to_host(tile.float().mean(0, keepdim=True) if executor.grey else tile.float()) for tile in outputs]


def _to_host(tile: Tensor) -> Float:
    array: Float = tile.cpu().numpy()
    return array


def _smaller(
    executor: Executor[Upscaler], plan: Plan, at: int, tried: int, progress: Progress
) -> tuple[Plan, int, int]:
    """Plan, place in it and batch after memory ran out: half the tiles at once, or tiles of half the side."""
    if tried > 1:
        batch = (tried + 1) // 2
        log.warning("memory ran out, fewer tiles at once", model=executor.name, batch=batch)
        return plan, at, batch
    left = plan.views[at:]
    side = max(max(view.rows.count, view.cols.count) for view in left)
    refuse_smaller(executor, side, SMALLEST_TILE, "try again later or with a smaller model")
    smaller = tiles.halved(left, plan)
    progress.replan(len(left), len(smaller))
    log.warning("memory ran out, smaller tiles", model=executor.name, tile=(side + 1) // 2)
    return smaller, 0, 1


def _repeat_in_full(executor: Executor[Upscaler], picture: Array, result: Array, one: Plan, observe: Observer) -> None:
    """A tile whose values are not numbers, once more in float32. Raises InternalError where that is no better."""
    full_precision = to_full_precision(executor, observe)
    sweep(
        full_precision, picture, result, one, batch=1, progress=Progress(lambda done, total: None, 1), observe=observe
    )
