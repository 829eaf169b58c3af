"""One pass of a restorer over a picture: tiles that overlap, each seen with a halo, blended where they meet.

For networks that see further than any halo can be: what differs between two tiles is spread over the width of a
feather instead of standing as a step. Rows of tiles that an attempt before this one has kept are taken up. Over the
frame the picture is continued by mirroring it at its edge. Memory holds one row of tiles as floats; picture and result
stay as they are. It does not choose model, tile or precision; that is
`workers.engine.engine`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from models.contract import Axis, Restorer, View
from workers.engine import tiles
from workers.engine.attempts import attempt, free_memory, is_finite, refuse_smaller, to_full_precision
from workers.engine.passes import Array, Executor, Float, Observer, Progress
from workers.log import Log

FEATHER = 32  # pixels to both sides of a border over which two tiles are blended
FRAME = 8  # mirrored pixels around the picture: what a network makes of the end of a window stays outside
ALIGN = 4  # windows begin at multiples of it, so that a network that folds pixels together folds the same ones
NARROWEST = 2 * FEATHER + ALIGN  # of a tile: at most two tiles meet along an axis
SMALLEST_TILE = 96

log = Log(__name__)


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the picture.

    Its output is for `start` to `stop`, feathers included; `border` is where it meets the tile before. Its window
    begins at `origin` and is `length` long.
    """

    start: int
    stop: int
    border: int
    origin: int
    length: int
    size: int

    def weights(self) -> Float:
        """How much the tile counts at each of its pixels; those of all tiles add up to 1."""
        at = np.arange(self.start, self.stop)
        rising, falling = (_ramp(at, edge) for edge in (self.border, self.stop - FEATHER))
        weights: Float = np.ones(len(at), np.float32)
        if self.border:
            weights *= rising
        if self.stop < self.size:
            weights *= 1 - falling
        return weights

    @property
    def finished(self) -> int:
        """No later tile contributes to the pixels before this one."""
        return self.stop if self.stop == self.size else self.stop - 2 * FEATHER


def restore(
    executor: Executor[Restorer],
    picture: Array,
    result: Array,
    *,
    tile: int,
    halo: int,
    strength: float,
    progress: Progress,
    observe: Observer,
) -> int:
    """Fills `result` (H, W, C) from `picture` of the same size and type; returns the tile that memory allowed at last.

    A picture of one channel fills all the channels of the result. `tile` is the side of what a window is for, `halo`
    what it shows around. `strength` below 1 goes towards the picture itself. Raises OutOfMemory or InternalError, and
    whatever `progress` raises, between tiles.
    """
    transposed = picture.shape[1] > picture.shape[0]
    if transposed:  # a row of tiles is as long as the shorter side
        picture, result = picture.transpose(1, 0, 2), result.transpose(1, 0, 2)
    context = _Context(executor, picture, transposed, observe)
    rows, cols = cut_picture(picture.shape, tile, halo)
    rows, overlap = _take_up(context, rows, len(cols), result, progress)
    while rows:
        row = rows[0]
        blended = _blend_row(context, row, cols, progress)
        if blended is None:
            free_memory(executor, progress, observe)
            tile = _smaller(executor, tile)
            rows, cols = cut_picture(picture.shape, tile, halo, begin=row.border)
            progress.replan(progress.total - progress.done, len(rows) * len(cols))
            continue

        blended[: len(overlap)] += overlap
        whole = row.finished - row.start
        finished, overlap = result[row.start : row.finished], blended[whole:].copy()
        _write(blended[:whole], picture[row.start : row.finished], finished, strength)
        progress.checkpoint.add(finished, overlap)
        rows = rows[1:]
    return tile


def count(size: tuple[int, ...], tile: int, halo: int) -> int:
    """Tiles of a picture (height, width)."""
    rows, cols = cut_picture(size, tile, halo)
    return len(rows) * len(cols)


def cut_picture(shape: tuple[int, ...], tile: int, halo: int, begin: int = 0) -> tuple[list[Span], list[Span]]:
    """Spans of both axes of a picture (H, W, ...), of its rows from `begin` on."""
    return cut_axis(shape[0], tile, halo, begin), cut_axis(shape[1], tile, halo)


def cut_axis(size: int, tile: int, halo: int, begin: int = 0) -> list[Span]:
    """Spans that cover an axis from `begin` on, as even as can be: few, with windows of at most tile + 2 halo."""
    left = size - begin
    longest = tile + 2 * halo
    if begin == 0 and left <= longest:
        parts = 1
    elif begin == 0 and left <= 2 * (tile + halo):
        parts = 2
    else:
        parts = max(1, min(-(-left // tile), left // NARROWEST))
    edges = [begin + part * left // parts // ALIGN * ALIGN for part in range(parts)] + [size]
    return [_span(edges[part], edges[part + 1], size, halo) for part in range(parts)]


def _span(border: int, end: int, size: int, halo: int) -> Span:
    """A tile from `border` to `end`, with feathers and halo where there is picture, and a frame where there is none."""
    origin = max(border - halo, -FRAME) if border else -FRAME
    last = min(end + halo, size + FRAME) if end < size else size + FRAME
    start = border - FEATHER if border else 0
    stop = end + FEATHER if end < size else size
    return Span(start, stop, border, origin, last - origin, size)


def _ramp(at: NDArray[np.int64], border: int) -> Float:
    """From 0 to 1 over the feathers of a border."""
    return ((at - (border - FEATHER) + 0.5) / (2 * FEATHER)).clip(0, 1).astype(np.float32)


@dataclass(frozen=True)
class _Context:
    """What every tile of one picture needs; `transposed`: its rows are the picture's columns."""

    executor: Executor[Restorer]
    picture: Array
    transposed: bool
    observe: Observer


def _take_up(
    context: _Context, rows: list[Span], cols: int, result: Array, progress: Progress
) -> tuple[list[Span], Float]:
    """The rows of tiles that are left to do, and what the row before them adds to the first of them (rows, W, C)."""
    overlap: Float = np.zeros((0, *context.picture.shape[1:]), np.float32)
    done = 0
    for row in rows:
        further: Float = np.empty((row.stop - row.finished, *overlap.shape[1:]), np.float32)
        if not progress.checkpoint.fill(result[row.start : row.finished], further):
            break
        overlap, done = further, done + 1
    if done:
        log.info("tiles of the attempt before are taken up", model=context.executor.name, tiles=done * cols)
        progress.advance(done * cols)
    return rows[done:], overlap


def _blend_row(context: _Context, row: Span, cols: list[Span], progress: Progress) -> Float | None:
    """The weighted sum of a row of tiles, (row.stop - row.start, W, C), or None when memory ran out."""
    blended: Float = np.zeros((row.stop - row.start, *context.picture.shape[1:]), np.float32)
    down = row.weights()[:, None, None]
    for col in cols:
        tile = _attempt(context, row, col)
        if tile is None:
            return None
        blended[:, col.start : col.stop] += tile * down * col.weights()[:, None]
        context.observe.tiles(context.executor.name, 1)
        context.observe.batch(context.executor.name, 1)
        progress.advance(1)
    return blended


def _attempt(context: _Context, row: Span, col: Span) -> Float | None:
    """One tile, in float32 where its values are not numbers otherwise, or None when memory ran out.

    Raises InternalError where they are none in float32 either.
    """
    tile = attempt(partial(_tile, context, row, col))
    if tile is None or is_finite(tile):
        return tile
    return _attempt(replace(context, executor=to_full_precision(context.executor, context.observe)), row, col)


def _tile(context: _Context, row: Span, col: Span) -> Float:
    """The model's output for one tile, (rows, cols, C) in [0, 1], not clamped."""
    executor = context.executor
    window = _window(context.picture, row, col)
    x = torch.from_numpy(window).to(executor.device).permute(2, 0, 1)[None].float()
    x = x.div_(float(np.iinfo(context.picture.dtype).max)).expand(-1, 3, -1, -1)
    if context.transposed:
        x = x.transpose(2, 3)

    output = executor.model(x)[0].float()
    if context.transposed:
        output = output.transpose(1, 2)
    if executor.grey:
        output = output.mean(0, keepdim=True)

    top, left = row.start - row.origin, col.start - col.origin
    output = output[:, top : top + row.stop - row.start, left : left + col.stop - col.start]
    tile: Float = output.permute(1, 2, 0).cpu().numpy()
    return tile


def _window(picture: Array, row: Span, col: Span) -> Array:
    """The picture around a tile (h, w, C), mirrored over the frame."""
    kind = np.uint8 if picture.dtype == np.uint8 else np.float32  # torch computes little with 16 bits
    window = np.empty((row.length, col.length, picture.shape[2]), kind)
    axes = [Axis(one.start, one.stop - one.start, one.size, one.size, one.origin) for one in (row, col)]
    tiles.cut(picture, View(*axes), window)
    return window


def _smaller(executor: Executor[Restorer], tile: int) -> int:
    """The tile to go on with after memory ran out. Raises OutOfMemory where there is none smaller."""
    refuse_smaller(executor, tile, SMALLEST_TILE, "try again later")
    tile = max(SMALLEST_TILE, tile // 2)
    log.warning("memory ran out, smaller tiles", model=executor.name, tile=tile)
    return tile


def _write(values: Float, picture: Array, result: Array, strength: float) -> None:
    """Values in [0, 1] -> levels of the result's type, `strength` of the way from the picture; rounded half up."""
    top = np.iinfo(result.dtype).max
    values *= np.float32(top)
    np.clip(values, 0, top, out=values)
    if strength < 1:
        values -= picture
        values *= np.float32(strength)
        values += picture
    values += 0.5
    result[...] = values.astype(result.dtype)
