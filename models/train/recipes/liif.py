"""LIIF from clean photographs: the published task on a short budget.

Each sample is a crop of round(48 s) pixels, s ~ U(1, 4), shrunk to 48x48 as the benchmarks were; the network
is asked for random output pixels of it and judged by L1. Three things differ from the paper: it predicts the difference
to the bilinear blend, learning rate (cosine over the budget) and batch suit an hour instead of days, and the weights
kept are a running average. Beyond x4, which was never trained, the network is conditioned on x4 (RESULTS.md).
Source: Chen, Liu, Wang, CVPR 2021, section 4 (patches, scales, L1, Adam).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.layout import channels_last
from models.liif import Liif, LiifConfig
from models.train.data import Photos, Pixels, find_photos, random_crop, shrink_bicubic, turn
from models.train.run import Budget

BUDGETS = {
    "cpu": Budget(minutes=110, batch=8, lr=4e-4, patch=48, queries=768),
    "cuda": Budget(minutes=22, batch=64, lr=4e-4, patch=48, queries=2304, slice_minutes=9, workers=14),
}
CONFIG = LiifConfig(bilinear_base=True, cell_scale_limit=4.0)


@dataclass
class Recipe:
    budget: Budget
    name: str = "liif"
    ema: float = 0.999
    autocast: bool = True
    min_scale: float = 1.0
    max_scale: float = 4.0
    config: LiifConfig = CONFIG

    def network(self) -> nn.Module:
        return channels_last(Liif(self.config))

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        return [{"params": list(network.parameters()), "lr": self.budget.lr}]

    def open(self, data: Path, cache: Path | None = None) -> str:
        self.photos = Photos.read(find_photos(data), cache)
        self.odds = self.photos.odds()
        return self.photos.sha256

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """lr (B, 3, P, P), out_size (B, 2), rows and cols (B, Q), hr (B, 3, Q)."""
        samples = [self.sample(rng) for _ in range(self.budget.batch)]
        return tuple(torch.stack(column) for column in zip(*samples, strict=True))

    def sample(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        photo = self.photos.pixels[rng.choice(len(self.odds), p=self.odds)]
        side = min(round(self.budget.patch * rng.uniform(self.min_scale, self.max_scale)), *photo.shape[:2])
        hr = turn(random_crop(photo, (side, side), rng), int(rng.integers(8)))
        lr = self.shrink(hr, rng)
        queries = self.budget.queries
        rows, cols = np.divmod(rng.choice(side * side, queries, replace=side * side < queries), side)
        picked = torch.from_numpy(hr[rows, cols].T.astype(np.float32) / 255)
        small = torch.from_numpy(lr.astype(np.float32) / 255).permute(2, 0, 1)
        return small, torch.tensor([side, side]), torch.from_numpy(rows), torch.from_numpy(cols), picked

    def shrink(self, hr: Pixels, rng: np.random.Generator) -> Pixels:
        """What the network is shown of a crop, (P, P, 3)."""
        return shrink_bicubic(hr, (self.budget.patch, self.budget.patch))

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        lr, out_size, rows, cols, hr = batch
        assert isinstance(network, Liif)
        return (network.sample(lr, out_size, rows, cols).float() - hr).abs().mean(), {}
