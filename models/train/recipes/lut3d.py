"""The image-adaptive 3D LUT, taught by the published one on photographs of our own choice.

The published pairs (FiveK, 4,500) are not at hand, so the published network is the teacher: each crop, jittered as in
the paper, is shown to both, and ours is judged by the squared difference of the pictures and of the whole mixed tables.
One sample in sixteen is a FiveK pair judged against the retoucher himself. The start is the published start, not a copy
of the teacher. Dropout stays in the network but sleeps: it guards against 4,500 noisy pairs, while a teacher can label
any crop without noise, and with it awake the second and third table stayed near nothing (RESULTS.md).
Source: Zeng et al., TPAMI 2022, sections 3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.ops import lut3d
from models import convert, weights
from models.lut3d import HEAD, REDUCE, SEEN_SIDE, Lut3D, Lut3DConfig, shrink
from models.train.data import Photos, Pixels, find_pairs, find_photos
from models.train.losses import monotonicity, smoothness
from models.train.run import Budget

BUDGETS = {
    "cpu": Budget(minutes=25, batch=8, lr=1e-3, patch=SEEN_SIDE, queries=64 * 64),
    "cuda": Budget(minutes=15, batch=32, lr=1e-3, patch=SEEN_SIDE, queries=64 * 64, slice_minutes=9, workers=14),
}


@dataclass
class Recipe:
    """`pair_every`: one sample in so many is a retouched pair. Of each picture `budget.queries` pixels are looked up,
    on a grid; the predictor sees all. `monotonicity`: the paper's 10 outweighs the fit by far until bases have grown,
    which takes it 400 epochs. `head_lr`: 8,192 numbers add up, a step of 1e-4 each moves the weight of the identity by
    a tenth. `head_start`: share of the published start, at which every picture gets random weights, to be unlearnt.
    """

    budget: Budget
    name: str = "lut3d"
    ema: float = 0.999
    autocast: bool = False
    pair_every: int = 16
    table: float = 0.3
    smoothness: float = 1e-4
    monotonicity: float = 0.5
    head_start: float = 0.1
    body_lr: float = 1e-3
    head_lr: float = 1e-4
    brightness: tuple[float, float] = (0.8, 1.2)
    saturation: tuple[float, float] = (0.8, 1.2)

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        assert isinstance(network, Lut3D)
        body, head = network.classifier.model[:HEAD], network.classifier.model[HEAD]
        return [
            {"params": [network.luts], "lr": self.budget.lr},
            {"params": list(body.parameters()), "lr": self.body_lr},
            {"params": list(head.parameters()), "lr": self.head_lr},
        ]

    def network(self) -> nn.Module:
        network = Lut3D(Lut3DConfig())
        with torch.no_grad():
            network.classifier.head.weight.mul_(self.head_start)
        return network

    def open(self, data: Path, cache: Path | None = None) -> str:
        pairs = find_pairs(data)
        self.photos = Photos.read(find_photos(data), cache)
        self.inputs = Photos.read([before for before, _ in pairs], cache)
        self.targets = Photos.read([after for _, after in pairs], cache)
        self.teacher = read_teacher(data / "weights" / "ia3dlut_fivek_paired")
        return self.photos.sha256

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """seen (B, 3, 256, 256), target of the same size (NaN where the teacher is to be asked)."""
        count = range(self.budget.batch)
        samples = [self.pair(rng) if rng.integers(self.pair_every) == 0 else self.photo(rng) for _ in count]
        return torch.cat([seen for seen, _ in samples]), torch.cat([target for _, target in samples])

    def photo(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        pool = self.photos.pixels + self.inputs.pixels
        (seen,) = cut([pool[rng.integers(len(pool))]], rng)
        seen = jitter(seen, self.brightness, self.saturation, rng)
        return seen, torch.full_like(seen, torch.nan)

    def pair(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        which = rng.integers(len(self.inputs.pixels))
        seen, target = cut([self.inputs.pixels[which], self.targets.pixels[which]], rng)
        return seen, target

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        seen, target = batch
        assert isinstance(network, Lut3D)
        taught, wanted, by_teacher = self.teach(seen, target)
        predicted = network.eval().predict_weights(seen)
        fused = network.fuse(predicted)
        picture = F.mse_loss(lut3d(self.judged(seen), fused), wanted)
        apart = (fused - taught).square().mean((1, 2, 3, 4))
        table = (apart * by_teacher).sum() / by_teacher.sum().clamp(min=1)
        smooth, mono = smoothness(network.luts), monotonicity(network.luts)
        regularisation = self.smoothness * (smooth + predicted.square().mean()) + self.monotonicity * mono
        parts = {"picture": picture, "table": table, "smooth": smooth, "mono": mono}
        return picture + self.table * table + regularisation, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def teach(self, seen: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The teacher's tables, the pixels wanted, and 1 for each sample in which the teacher was asked for them."""
        teacher = self.teacher.to(seen.device)
        taught = teacher.fuse(teacher.predict_weights(seen))
        wanted = self.judged(target)
        unknown = torch.isnan(wanted)
        return taught, torch.where(unknown, lut3d(self.judged(seen), taught), wanted), unknown[:, 0, 0, 0].float()

    def judged(self, picture: Tensor) -> Tensor:
        """The pixels that are looked up, of the 256x256 that the predictor sees."""
        every = SEEN_SIDE // math.isqrt(self.budget.queries)
        return picture[:, :, ::every, ::every]


def read_teacher(folder: Path) -> Lut3D:
    """The published checkpoint, as served: eval mode, no gradients."""
    files = [convert.read_checkpoint(folder / name) for name in ("LUTs.pth", "classifier.pth")]
    published = convert.lut3d_weights(files)
    teacher = Lut3D(Lut3DConfig(**published.config))
    weights.fill(teacher, published.state_dict, "lut3d")
    return teacher.eval().requires_grad_(False)


def cut(pictures: list[Pixels], rng: np.random.Generator) -> list[Tensor]:
    """The same random crop (0.6 to 1 of each side, flipped half of the time) of each, as the predictor sees it."""
    height, width = pictures[0].shape[:2]
    size = [max(1, round(side * rng.uniform(0.6, 1))) for side in (height, width)]
    top, left = int(rng.integers(height - size[0] + 1)), int(rng.integers(width - size[1] + 1))
    step = -1 if rng.integers(2) else 1
    crops = [picture[top : top + size[0], left : left + size[1]][:, ::step] for picture in pictures]
    return [predictor_input(crop) for crop in crops]


def predictor_input(pixels: Pixels) -> Tensor:
    """8-bit pixels (H, W, 3) -> what reaches the predictor, (1, 3, 256, 256)."""
    picture = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float()
    seen = F.interpolate(shrink(picture, REDUCE), (SEEN_SIDE, SEEN_SIDE), mode="bilinear", align_corners=False)
    return seen / 255


def jitter(
    picture: Tensor, brightness: tuple[float, float], saturation: tuple[float, float], rng: np.random.Generator
) -> Tensor:
    """Random brightness and saturation, clamped; the teacher sees the same."""
    out = (picture * rng.uniform(*brightness)).clamp(0, 1)
    luma = (out * out.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return (luma + (out - luma) * rng.uniform(*saturation)).clamp(0, 1)
