"""SRResNet from clean photographs: the pixel stage, and what the adversarial stage starts from.

Crops of 96x96 pixels are shrunk to 24x24 as the benchmarks were; the network gives them back and is judged pixel by
pixel. Four things differ from the paper, for the sake of an hour instead of days: it predicts the difference to
the bicubic picture, there are no batch norms (what they are folded into at serving is trained directly), L1 instead of
the mean square, and learning rate (cosine over the budget) with a running average. `--set config.batch_norm=true`,
`--set config.interpolated_base=false` and `--set judged_by=mse` are the paper's.
`--init` with weights of LIIF on EDSR-baseline of the same width begins with what its trunk has learnt.
Source: Ledig et al., CVPR 2017, section 3.2 (16 patches of 24x24, Adam).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layout import channels_last
from models.srresnet import Srresnet, SrresnetConfig
from models.train.data import Photos, Pixels, find_photos, random_crop, shrink_bicubic, turn
from models.train.run import Budget
from models.weights import Weights, WeightsError

BUDGETS = {
    "cpu": Budget(minutes=60, batch=16, lr=4e-4, patch=24),
    "cuda": Budget(minutes=22, batch=64, lr=4e-4, patch=48, slice_minutes=9, workers=14),
}
CONFIG = SrresnetConfig(batch_norm=False, interpolated_base=True)
PIXEL_LOSSES = {"l1": F.l1_loss, "mse": F.mse_loss}


@dataclass
class Recipe:
    """`judged_by` is one of PIXEL_LOSSES."""

    budget: Budget
    name: str = "srresnet"
    ema: float = 0.999
    autocast: bool = True
    judged_by: str = "l1"
    config: SrresnetConfig = CONFIG

    def __post_init__(self) -> None:
        if self.judged_by not in PIXEL_LOSSES:
            raise ValueError(f"no loss {self.judged_by!r}, known are {', '.join(PIXEL_LOSSES)}")

    def network(self) -> nn.Module:
        return channels_last(Srresnet(self.config))

    def inherit(self, begun: Weights, network: nn.Module) -> Weights:
        """See `capabilities.WarmStart`."""
        if begun.network != "liif":
            return begun
        if self.config.batch_norm or begun.config["encoder"] != "edsr-baseline":
            raise WeightsError("only a network without batch norms can begin with weights of LIIF, on EDSR-baseline")
        assert isinstance(network, Srresnet)
        state = network.state_dict() | trunk_of(begun.state_dict, network.first)
        return Weights(self.name, dataclasses.asdict(self.config), state, begun.facts)

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        return [{"params": list(network.parameters()), "lr": self.budget.lr}]

    def open(self, data: Path, cache: Path | None = None) -> str:
        self.photos = Photos.read(find_photos(data), cache)
        self.odds = self.photos.odds()
        refuse_small(self.photos, self.budget.patch * self.config.scale)
        return self.photos.sha256

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """lr (B, 3, P, P) and hr (B, 3, scale * P, scale * P), as 8 bits hold them in [0, 1]."""
        pairs = [self.sample(rng) for _ in range(self.budget.batch)]
        lr, hr = (np.stack(column) for column in zip(*pairs, strict=True))
        return as_pictures(lr), as_pictures(hr)

    def sample(self, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        small = (self.budget.patch, self.budget.patch)
        large = (small[0] * self.config.scale, small[1] * self.config.scale)
        photo = self.photos.pixels[rng.choice(len(self.odds), p=self.odds)]
        hr = turn(random_crop(photo, large, rng), int(rng.integers(8)))
        return shrink_bicubic(hr, small), hr

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        lr, hr = batch
        assert isinstance(network, Srresnet)
        return self.pixel_loss(network.enlarge(lr), hr), {}

    def pixel_loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        return PIXEL_LOSSES[self.judged_by](sr, hr)


def refuse_small(photos: Photos, side: int) -> None:
    """Raises WeightsError naming a photo that no crop of `side` pixels fits into."""
    for name, pixels in zip(photos.names, photos.pixels, strict=True):
        if min(pixels.shape[:2]) < side:
            height, width = pixels.shape[:2]
            raise WeightsError(f"{name} is {width}x{height}, smaller than a crop of {side}x{side}")


def trunk_of(liif: dict[str, Tensor], head: nn.Conv2d) -> dict[str, Tensor]:
    """Keys of LIIF's encoder (EDSR-baseline on [-1, 1]) -> keys of Srresnet up to `conv2`, the same function on [0, 1].

    The 3x3 head stands in the middle of the 9x9 one; a PReLU of slope 1 is none, of slope 0 a ReLU.
    """
    weight, bias = liif["encoder.head.0.weight"], liif["encoder.head.0.bias"]
    middle = (head.kernel_size[0] - 3) // 2
    state = {
        "conv1.0.weight": F.pad(2 * weight, [middle] * 4),
        "conv1.0.bias": bias - weight.sum((1, 2, 3)),
        "conv1.1.weight": torch.ones(1),
    }
    tail = max(int(key.split(".")[2]) for key in liif if key.startswith("encoder.body."))
    for kind in ("weight", "bias"):
        state[f"conv2.0.{kind}"] = liif[f"encoder.body.{tail}.{kind}"]
        for block, (theirs, ours) in product(range(tail), ((0, 0), (2, 3))):
            state[f"trunk.{block}.rcb.{ours}.{kind}"] = liif[f"encoder.body.{block}.body.{theirs}.{kind}"]
    return state | {f"trunk.{block}.rcb.2.weight": torch.zeros(1) for block in range(tail)}


def as_pictures(pixels: Pixels) -> Tensor:
    """(N, h, w, 3) of 8 bits -> (N, 3, h, w) in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
