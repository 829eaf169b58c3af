"""LIIF from 471 photographs on two processor cores: the published task on a short budget.

Each sample is a crop of round(48 s) pixels, s ~ U(1, 4), shrunk to 48x48 by the antialiased bicubic filter; the network
is asked for random output pixels of it and judged by L1. Three things differ from the paper: it predicts the difference
to the bilinear blend, the learning rate (4e-4, cosine over the time given) and the batch (8 patches) suit half an hour
instead of days, and the weights kept are a running average. Beyond x4, which was never trained, the network is told x4
(RESULTS.md).
Source: Chen, Liu, Wang, CVPR 2021, section 4 (patches, scales, L1, Adam).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.liif import Liif, LiifConfig
from models.train.data import Photos, random_crop, resize, turn

PATCH = 48
BATCH = 8
QUERIES = 768
MAX_SCALE = 4.0


class Recipe:
    name = "liif"
    lr = 4e-4
    ema = 0.999
    autocast = True
    weight_groups = None

    def network(self) -> nn.Module:
        return Liif(LiifConfig(bilinear_base=True, cell_scale_limit=MAX_SCALE)).to(memory_format=torch.channels_last)

    def open(self, data: Path) -> str:
        self.photos = Photos.read(data / "train" / "photos")
        self.odds = self.photos.odds()
        return self.photos.sha256

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """lr (B, 3, 48, 48), out_size (B, 2), rows and cols (B, Q), hr (B, 3, Q)."""
        samples = [self.sample(rng) for _ in range(BATCH)]
        return tuple(torch.stack(column) for column in zip(*samples, strict=True))

    def sample(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        photo = self.photos.pixels[rng.choice(len(self.odds), p=self.odds)]
        side = min(round(PATCH * rng.uniform(1, MAX_SCALE)), *photo.shape[:2])
        hr = turn(random_crop(photo, (side, side), rng), int(rng.integers(8)))
        lr = resize(hr, (PATCH, PATCH))
        rows, cols = np.divmod(rng.choice(side * side, QUERIES, replace=side * side < QUERIES), side)
        picked = torch.from_numpy(hr[rows, cols].T.astype(np.float32) / 255)
        small = torch.from_numpy(lr.astype(np.float32) / 255).permute(2, 0, 1)
        return small, torch.tensor([side, side]), torch.from_numpy(rows), torch.from_numpy(cols), picked

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        lr, out_size, rows, cols, hr = batch
        assert isinstance(network, Liif)
        return (network.sample(lr, out_size, rows, cols).float() - hr).abs().mean(), {}
