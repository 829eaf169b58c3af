"""The contracts of models: how an upscaler, a restorer and a retoucher are called, and what of a network serves.

A tile is planned on the output grid; `Axis` says, in exact integers, where its samples lie in the window of input
pixels that was cut for it. Coordinates are pixel centres: output index i of n_out lies at
p = (i + 1/2) n_in / n_out - 1/2 on the input axis. It does not cut, pad or paste; that is `workers.engine.tiles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models.look import Look


@dataclass(frozen=True)
class Axis:
    """`count` output samples from `start` on, of an axis of `out_size` samples made from `in_size` input samples.

    `origin` is the input index of the window's first sample; it is negative where the window reaches over the frame
    (the frame is continued by reflection).
    """

    start: int
    count: int
    out_size: int
    in_size: int
    origin: int

    @property
    def scale(self) -> float:
        """True ratio of this axis, n_out / n_in."""
        return self.out_size / self.in_size

    def positions(self) -> tuple[Tensor, Tensor]:
        """floor(p) as int64 relative to the window, and p - floor(p) as float32 in [0, 1); both of shape (count,)."""
        i = torch.arange(self.start, self.start + self.count, dtype=torch.int64)
        numerator = (2 * i + 1) * self.in_size - self.out_size
        denominator = 2 * self.out_size
        floor = torch.div(numerator, denominator, rounding_mode="floor")
        remainder = numerator - floor * denominator
        return floor - self.origin, (remainder.double() / denominator).float()


@dataclass(frozen=True)
class View:
    """Where one tile's samples lie in its window, per axis."""

    rows: Axis
    cols: Axis


class Upscaler(Protocol):
    """What `workers.engine.engine` asks of a model of the task `upscale`."""

    def __call__(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """windows (N, C, h, w) in [0, 1], one view each -> N tensors (C, rows.count, cols.count), not clamped."""
        ...


class Restorer(Protocol):
    """What `workers.engine.engine` asks of a model of the task `restore`."""

    @property
    def bytes_per_pixel(self) -> int:
        """Memory that a pixel of a window takes while it is computed."""
        ...

    @property
    def reach(self) -> int:
        """Pixels to every side that a pixel depends on, but for what moved taps see beyond."""
        ...

    def __call__(self, windows: Tensor) -> Tensor:
        """windows (N, 3, h, w) in [0, 1], of any size -> restored ones of the same size, float32, not clamped."""
        ...


@runtime_checkable
class ConditionedRestorer(Protocol):
    """A restorer whose work on each window follows from one look at the whole picture as well."""

    @property
    def bytes_per_pixel(self) -> int:
        """As `Restorer`."""
        ...

    @property
    def reach(self) -> int:
        """Pixels to every side that a pixel depends on, and no further."""
        ...

    def examine(self, look: Look, only: str | None = None) -> tuple[Tensor, dict[str, float]]:
        """The condition (1, D) for the windows of the one picture looked at, and how likely each of its card's kinds
        of damage is there, in [0, 1]. `only`: the kind that alone is to be taken off.
        """
        ...

    def __call__(self, windows: Tensor, condition: Tensor) -> Tensor:
        """As `Restorer`; windows that begin and end at multiples of the card's `multiple` equal the whole."""
        ...


class Retoucher(Protocol):
    """What `workers.engine.engine` asks of a model of the task `enhance`."""

    def lut(self, picture: Tensor, strength: float = 1.0, reduce: int | None = None) -> Tensor:
        """The table for one picture (1, 3, H, W) in [0, 1] -> (3, D, D, D); strength 0 is the identity."""
        ...


@runtime_checkable
class Servable(Protocol):
    """A network of which another form serves than the one that was trained; any other serves as it is.

    `models.catalog.serve` asks for it once, after the weights are loaded: in eval mode and float32, on the CPU.
    """

    def served(self) -> nn.Module:
        """The same function as it is computed fastest, in eval mode: batch norms folded into convolutions, parts that
        training alone needs left out, tables made. It may be the network itself.
        """
        ...
