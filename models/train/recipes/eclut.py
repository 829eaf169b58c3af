"""EC-LUT from clean photographs: what a table of pixel pairs should hold, for every scale at once.

Each step shows the network of each scale its own crops: squares of 48 r pixels, shrunk to 48x48 as the benchmarks were,
one channel of each (three of one place teach little more than one), judged by the mean squared error of the whole. The
networks share nothing but the steps. Values are rounded as the table will hold them from the first step on, the
gradient passing straight through, so that nothing is lost when the table is made.
Source: Yin and Shen, AAAI 2024 (the task); Jo and Kim, CVPR 2021, section 4 (patch, batch, Adam, squared error);
rate, budget, the running average and on a CPU half the batch are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.eclut import LEVELS, Eclut, EclutConfig
from models.train.data import Photos, Pixels, find_photos, random_crop, shrink_bicubic, turn
from models.train.run import Budget

BUDGETS = {
    "cpu": Budget(minutes=75, batch=16, lr=1e-3, patch=48),
    "cuda": Budget(minutes=9, batch=128, lr=1e-3, patch=48, workers=14),
}
CONFIG = EclutConfig()


@dataclass
class Recipe:
    """`quantised`: learn with the values of the table, else with the network's own."""

    budget: Budget
    name: str = "eclut"
    ema: float = 0.999
    autocast: bool = False
    quantised: bool = True
    config: EclutConfig = CONFIG

    def network(self) -> nn.Module:
        return Eclut(self.config)

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        return [{"params": list(network.parameters()), "lr": self.budget.lr}]

    def open(self, data: Path, cache: Path | None = None) -> str:
        self.photos = Photos.read(find_photos(data), cache)
        side = self.budget.patch * max(self.config.scales)
        large = np.array([min(photo.shape[:2]) >= side for photo in self.photos.pixels])
        if not large.any():
            raise FileNotFoundError(f"no photograph below {data} has sides of {side} pixels")
        self.odds = self.photos.odds() * large / (self.photos.odds() * large).sum()
        return self.photos.sha256

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """For each scale r small squares (B, P, P) and large ones (B, r P, r P), uint8."""
        drawn: list[Tensor] = []
        for scale in self.config.scales:
            pairs = [self.sample(scale, rng) for _ in range(self.budget.batch)]
            drawn += [torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True)]
        return tuple(drawn)

    def sample(self, scale: int, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        photo = self.photos.pixels[rng.choice(len(self.odds), p=self.odds)]
        patch, channel = self.budget.patch, int(rng.integers(3))
        crop = random_crop(photo, (scale * patch, scale * patch), rng)[..., channel : channel + 1]
        hr = turn(crop, int(rng.integers(8)))
        return shrink_bicubic(hr, (patch, patch))[..., 0], hr[..., 0]

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(network, Eclut)
        sides = zip(self.config.scales, batch[::2], batch[1::2], strict=True)
        errors = {scale: self.error(network, scale, lr, hr) for scale, lr, hr in sides}
        decibels = {f"x{scale} dB": -10 * error.detach().log10() for scale, error in errors.items()}
        return torch.stack(list(errors.values())).sum(), decibels

    def error(self, network: Eclut, scale: int, lr: Tensor, hr: Tensor) -> Tensor:
        return (network.compute(lr, scale, quantised=self.quantised) - hr).div(LEVELS).square().mean()
