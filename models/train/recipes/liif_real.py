"""LIIF for real photos: the network and the task of `recipes.liif`, shown pictures that blur, noise and JPEG went over.

A network that has only seen clean pictures takes the blocks of a JPEG for detail and sharpens them. Here the small
picture goes through the steps of `models.train.degradations` in random order, while the answer wanted stays the clean
crop. Start it from the weights of `liif` (`--init`): the encoder has little to learn anew.
Source: as `recipes.liif` and `models.train.degradations`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.train.data import Pixels
from models.train.degradations import Degradation, degrade
from models.train.recipes import liif
from models.train.run import Budget

BUDGETS = {
    "cpu": Budget(minutes=75, batch=8, lr=2e-4, patch=48, queries=768),
    "cuda": Budget(minutes=18, batch=64, lr=2e-4, patch=48, queries=2304, slice_minutes=9, workers=14),
}


@dataclass
class Recipe(liif.Recipe):
    name: str = "liif-real"
    degradation: Degradation = field(default_factory=Degradation)

    def shrink(self, hr: Pixels, rng: np.random.Generator) -> Pixels:
        return degrade(hr, (self.budget.patch, self.budget.patch), self.degradation, rng)
