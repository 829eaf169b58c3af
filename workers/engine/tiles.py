"""Tiles by whole numbers: plan them on the output grid, cut their windows from the picture, paste them into the result.

All windows of a plan have one size, so they can be batched. It does not run a model or choose a tile size; that is
`workers.engine.engine`.

Coordinates are pixel centres (`models.contract`). A tile's window holds, per axis, the two input pixels around each of
its samples, `halo` more on both sides, and what is needed to be as long as the plan's longest; but beyond the frame of
the picture no more than `frame` pixels, so that all tiles there see it end at one place. Over the frame the picture is
continued by mirroring it at its edge (d c b a | a b c d | d c b a), as often as needed: that continuation commutes with
resampling on pixel centres, and is the one whose spectrum is the cosine transform.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract import Axis, View

Array = NDArray[Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """Views that together cover the output exactly once, and the (height, width) of every window.

    `halo` None: each window is the whole picture. `frame`, `multiple`: as asked, None where the halo decides.
    """

    views: tuple[View, ...]
    window: Size
    halo: int | None
    frame: int | None = None
    multiple: int = 1

    def __len__(self) -> int:
        return len(self.views)


def plan(
    in_size: Size, out_size: Size, *, tile: Size, halo: int | None, frame: int | None = None, multiple: int = 1
) -> Plan:
    """Tiles of at most `tile` output samples (height, width), sizes as even as can be, row by row.

    Windows show at most `frame` mirrored pixels beyond the picture, None: as many as the halo asks for. At least 1, for
    a sample may lie before the centre of the first pixel. They begin and end at multiples of `multiple` input pixels,
    and reach as far over the frame as the next of these.
    """
    rows, cols = (_cut_axis(*sides) for sides in zip(in_size, out_size, tile, strict=True))
    return _with_windows([View(r, c) for r in rows for c in cols], halo, frame, multiple)


def halved(tiles: Sequence[View], whole: Plan) -> Plan:
    """A plan for these tiles alone, each cut in two along both axes; for when memory ran out."""
    return _with_windows([part for view in tiles for part in _quarters(view)], whole.halo, whole.frame, whole.multiple)


def cut(picture: Array, view: View, window: Array) -> None:
    """Copies the view's window out of the picture (H, W, C) into `window` (h, w, C), mirrored over the frame."""
    height, width = window.shape[:2]
    rows, cols = _taken(view.rows, height), _taken(view.cols, width)
    if isinstance(rows, slice) or isinstance(cols, slice):
        window[...] = picture[rows, cols]
    else:
        window[...] = picture[np.ix_(rows, cols)]


def paste(result: Array, view: View, tile: NDArray[np.float32]) -> None:
    """Writes a tile (C, h, w) of values in [0, 1] into `result` (H, W, C): rounded half up, clamped.

    `result` is uint8 or uint16; a float result takes the values as they are. A tile of one channel fills all of them.
    """
    spot = spot_of(result, view)
    if result.dtype.kind == "f":
        spot[...] = tile.transpose(1, 2, 0)
        return
    top = np.iinfo(result.dtype).max
    levels = tile * np.float32(top)
    levels += 0.5
    np.clip(levels, 0, top, out=levels)
    spot[...] = levels.astype(result.dtype).transpose(1, 2, 0)


def spot_of(result: Array, view: View) -> Array:
    """Where in `result` (H, W, C) the view's tile belongs."""
    rows, cols = view.rows, view.cols
    return result[rows.start : rows.start + rows.count, cols.start : cols.start + cols.count]


def mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices beyond 0..length-1 folded back by mirroring at the edges, any number of times."""
    folded = index % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)


def span(axis: Axis) -> tuple[int, int]:
    """First and last input index around the axis' samples: floor(p) of the first, floor(p) + 1 of the last."""
    return _floor(axis, axis.start), _floor(axis, axis.start + axis.count - 1) + 1


def _floor(axis: Axis, index: int) -> int:
    return ((2 * index + 1) * axis.in_size - axis.out_size) // (2 * axis.out_size)


def _cut_axis(in_size: int, out_size: int, tile: int) -> list[Axis]:
    parts = -(-out_size // max(1, tile))
    edges = [part * out_size // parts for part in range(parts + 1)]
    return [Axis(a, b - a, out_size, in_size, 0) for a, b in pairwise(edges)]


def _quarters(view: View) -> Iterable[View]:
    return (View(rows, cols) for rows in _halves(view.rows) for cols in _halves(view.cols))


def _halves(axis: Axis) -> list[Axis]:
    if axis.count == 1:
        return [axis]
    first = (axis.count + 1) // 2
    return [replace(axis, count=first), replace(axis, start=axis.start + first, count=axis.count - first)]


def _with_windows(views: Sequence[View], halo: int | None, frame: int | None, multiple: int) -> Plan:
    first = views[0]
    if halo is None:
        at_zero = tuple(View(replace(v.rows, origin=0), replace(v.cols, origin=0)) for v in views)
        return Plan(at_zero, (first.rows.in_size, first.cols.in_size), None)
    over = halo + 1 if frame is None else min(halo + 1, frame)  # a sample may lie before the first pixel's centre
    rows, height = _placed([view.rows for view in views], halo, over, multiple)
    cols, width = _placed([view.cols for view in views], halo, over, multiple)
    placed = tuple(View(r, c) for r, c in zip(rows, cols, strict=True))
    return Plan(placed, (height, width), halo, frame, multiple)


def _placed(axes: Sequence[Axis], halo: int, frame: int, multiple: int) -> tuple[list[Axis], int]:
    """The axes with the origins of their windows, and the length of all of these: a window begins a halo before its
    first pixel, or where it keeps within the frame."""
    first, last = -_up_to(frame, multiple), _up_to(axes[0].in_size + frame, multiple)
    origins = [max(first, (span(axis)[0] - halo) // multiple * multiple) for axis in axes]
    ends = [min(last, span(axis)[1] + 1 + halo) for axis in axes]
    length = _up_to(max(end - origin for origin, end in zip(origins, ends, strict=True)), multiple)
    return [
        replace(axis, origin=max(first, min(at, last - length))) for axis, at in zip(axes, origins, strict=True)
    ], length


def _up_to(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _taken(axis: Axis, length: int) -> slice | NDArray[np.int64]:
    """The input indices of a window's side: a slice inside the frame, mirrored indices over it."""
    if axis.origin >= 0 and axis.origin + length <= axis.in_size:
        return slice(axis.origin, axis.origin + length)
    return mirrored(np.arange(axis.origin, axis.origin + length), axis.in_size)
