"""LM-LIIF for pictures as they arrive: the network and the task of `recipes.lmliif`, most of them spoilt.

A network that has only seen clean pictures takes the blocks of a JPEG for detail and sharpens them. Here the small
picture goes through the steps of `models.train.degradations` in random order, at times through a second JPEG. Wanted
are the clean crop, and what the teacher makes of the small picture as it was before: that can be reached, and has no
grain that only chance would hit. A fifth of the samples stay as `recipes.lmliif` makes them. Nothing tells the network
which are which. Start it from the weights of `lmliif` (`--init`). Its base is projected back over means of PROJECTED
pixels, and to single ones as far as it believes them: one that agrees with each pixel of a JPEG has its blocks.
Source: as `recipes.lmliif` and `models.train.degradations`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from models.lmliif import LmliifConfig
from models.train.data import Pixels
from models.train.degradations import Degradation, degrade
from models.train.recipes import lmliif
from models.train.run import Budget
from models.weights import Weights

BUDGETS = {
    "cpu": Budget(minutes=80, batch=8, lr=2e-3, patch=48, steps=16_000, decay=0.4),
    "cuda": Budget(minutes=22, batch=32, lr=2e-3, patch=64, slice_minutes=9, workers=14, decay=0.4),
}
PROJECTED = 9


@dataclass
class Recipe(lmliif.Recipe):
    """`clean`: share of the samples that nothing happens to."""

    name: str = "lmliif-real"
    head_first: float = 0.0
    exact: float = 0.06
    clean: float = 0.2
    degradation: Degradation = field(default_factory=lambda: Degradation(second_jpeg=0.25))
    config: LmliifConfig = field(default_factory=lambda: LmliifConfig(projected_over=PROJECTED))

    def inherit(self, begun: Weights, network: nn.Module) -> Weights:
        """See `capabilities.WarmStart`: those of `lmliif`, which believes every pixel and has no layer to say so."""
        begun = super().inherit(begun, network)
        if begun.config.get("projected_over", 1) > 1:
            return begun
        config = begun.config | {"projected_over": self.config.projected_over}
        return dataclasses.replace(begun, config=config, state_dict=network.state_dict() | begun.state_dict)

    def taught_samples(self, scale: float, side: int, rng: np.random.Generator) -> Iterator[tuple[Pixels, ...]]:
        """As of `lmliif`, and then most are spoilt: the teacher's answer is to the picture as it was before."""
        for small, original, answer in super().taught_samples(scale, side, rng):
            if rng.uniform() >= self.clean:
                small = degrade(original, (small.shape[0], small.shape[1]), self.degradation, rng)
            yield small, original, answer
