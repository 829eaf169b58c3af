"""What of a picture is enlarged on its own: its colours and its alpha, each a pass of one model over one array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.contract import Upscaler
from workers.engine import tiles, transparency
from workers.engine.passes import Array, Executor
from workers.engine.tiles import Plan, Size
from workers.pictures.picture import Picture

ALPHA_TILE = 128  # input pixels a side
ALPHA = "alpha"  # in place of a model's name: a pass that no card stands for


@dataclass(frozen=True)
class PlanePass:
    """One model over one array: the colours of a picture, or its alpha."""

    executor: Executor[Upscaler]
    picture: Array
    result: Array
    plan: Plan
    batch: int

    @property
    def tiles(self) -> int:
        """How many are run."""
        return len(self.plan) * len(self.parts())

    def facts(self) -> tuple[object, ...]:
        """What decides which samples of the result it finishes when."""
        return self.executor.name, self.plan, self.batch, self.result.shape, self.result.dtype

    def parts(self) -> list[tuple[Array, Array]]:
        """What is swept at once: all channels, or one at a time where the model must see the whole picture.

        A picture of one channel may have a result of three, which take the same values.
        """
        if self.plan.halo is not None or self.picture.shape[2] == 1:
            return [(self.picture, self.result)]
        channels = range(self.picture.shape[2])
        return [(self.picture[..., c : c + 1], self.result[..., c : c + 1]) for c in channels]


def shown_colours(picture: Picture, near: int) -> Array:
    """The colours that a model should see which mixes those within `near` pixels."""
    return picture.pixels if picture.alpha is None else transparency.bleed(picture.pixels, picture.alpha, near)


def alpha_pass(alpha: Array, size: Size, nearest: Upscaler | None) -> PlanePass:
    """Alpha by a resampler of its own, on the CPU; by `nearest`, where colours keep their values."""
    ratio = min(size[0] / alpha.shape[0], size[1] / alpha.shape[1])
    upscaler = nearest or transparency.alpha_upscaler(alpha, ratio)
    tile = tuple(max(1, ALPHA_TILE * out // source) for source, out in zip(alpha.shape, size, strict=True))
    plan = tiles.plan(alpha.shape, size, tile=(tile[0], tile[1]), halo=transparency.KERNEL.halo(ratio))
    result = np.empty((*size, 1), alpha.dtype)
    return PlanePass(Executor(ALPHA, upscaler, torch.device("cpu")), alpha[..., None], result, plan, 1)
