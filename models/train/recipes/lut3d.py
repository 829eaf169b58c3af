"""The image-adaptive 3D LUT, taught by the published one on photographs of our own choice.

The published pairs (FiveK, 4,500) are not at hand, so the published network is the teacher: each crop, jittered as in
the paper, is shown to both, and ours is judged by the squared difference of the pictures and of the whole mixed tables.
One sample in sixteen is a FiveK pair judged against the retoucher himself. The start is the published start, not a copy
of the teacher. Dropout stays in the network but sleeps: it guards against 4,500 noisy pairs, while a teacher can label
any crop without noise, and with it awake the second and third table stayed near nothing (RESULTS.md).
Source: Zeng et al., TPAMI 2022, sections 3 and 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels.ops import lut3d
from models import convert, weights
from models.lut3d import HEAD, REDUCE, SEEN_SIDE, Lut3D, Lut3DConfig, shrink
from models.train.data import Photos, Pixels
from models.train.losses import monotonicity, smoothness

BATCH = 8
PAIR_EVERY = 16  # one sample in so many is a retouched pair
JUDGED_SIDE = 64  # pixels of a side that are looked up; the predictor sees all 256
TABLE_SHARE = 0.3
SMOOTH_SHARE = 1e-4
MONO_SHARE = 0.5  # the paper's 10 outweighs the fit by far until bases have grown, which takes it 400 epochs
HEAD_START = 0.1  # of the published start, at which every picture gets random weights, to be unlearnt first
TABLES_LR, BODY_LR = 1e-3, 1e-3
HEAD_LR = 1e-4  # 8,192 numbers add up: a step of 1e-4 each moves the weight of the identity by a tenth
BRIGHTNESS = (0.8, 1.2)
SATURATION = (0.8, 1.2)


class Recipe:
    name = "lut3d"
    lr = TABLES_LR
    ema = 0.999
    autocast = False

    def weight_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        assert isinstance(network, Lut3D)
        body, head = network.classifier.model[:HEAD], network.classifier.model[HEAD]
        return [
            {"params": [network.luts], "lr": TABLES_LR},
            {"params": body.parameters(), "lr": BODY_LR},
            {"params": head.parameters(), "lr": HEAD_LR},
        ]

    def network(self) -> nn.Module:
        network = Lut3D(Lut3DConfig())
        with torch.no_grad():
            network.classifier.model[HEAD].weight.mul_(HEAD_START)
        return network

    def open(self, data: Path) -> str:
        self.photos = Photos.read(data / "train" / "photos")
        self.inputs = Photos.read(data / "train" / "retouch" / "input")
        self.targets = Photos.read(data / "train" / "retouch" / "target")
        self.teacher = read_teacher(data / "weights" / "ia3dlut_fivek_paired")
        return self.photos.sha256

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """seen (B, 3, 256, 256), target of the same size (NaN where the teacher is to be asked)."""
        samples = [self.pair(rng) if rng.integers(PAIR_EVERY) == 0 else self.photo(rng) for _ in range(BATCH)]
        return torch.cat([seen for seen, _ in samples]), torch.cat([target for _, target in samples])

    def photo(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        pool = self.photos.pixels + self.inputs.pixels
        (seen,) = cut([pool[rng.integers(len(pool))]], rng)
        seen = jitter(seen, rng)
        return seen, torch.full_like(seen, torch.nan)

    def pair(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        which = rng.integers(len(self.inputs.pixels))
        seen, target = cut([self.inputs.pixels[which], self.targets.pixels[which]], rng)
        return seen, target

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, float]]:
        seen, target = batch
        assert isinstance(network, Lut3D)
        with torch.no_grad():
            taught = self.teacher.fuse(self.teacher.predict_weights(seen))
        said = network.eval().predict_weights(seen)
        fused = network.fuse(said)
        pixels = seen[:, :, :: SEEN_SIDE // JUDGED_SIDE, :: SEEN_SIDE // JUDGED_SIDE]
        wanted = target[:, :, :: SEEN_SIDE // JUDGED_SIDE, :: SEEN_SIDE // JUDGED_SIDE]
        asked = torch.isnan(wanted)
        wanted = torch.where(asked, lut3d(pixels, taught), wanted)
        picture = F.mse_loss(lut3d(pixels, fused), wanted)
        from_teacher = asked[:, 0, 0, 0]
        table = F.mse_loss(fused[from_teacher], taught[from_teacher]) if bool(from_teacher.any()) else picture * 0
        smooth, mono = smoothness(network.luts), monotonicity(network.luts)
        kept = SMOOTH_SHARE * (smooth + said.square().mean()) + MONO_SHARE * mono
        loss = picture + TABLE_SHARE * table + kept
        return loss, {"picture": picture.item(), "table": table.item(), "smooth": smooth.item(), "mono": mono.item()}


def read_teacher(folder: Path) -> Lut3D:
    """The published checkpoint, as served: eval mode, no gradients."""
    found = convert.lut3d_weights([convert.read_checkpoint(folder / name) for name in ("LUTs.pth", "classifier.pth")])
    teacher = Lut3D(Lut3DConfig(**found.config))
    weights.fill(teacher, found.state_dict, "lut3d")
    return teacher.eval().requires_grad_(False)


def cut(pictures: list[Pixels], rng: np.random.Generator) -> list[Tensor]:
    """The same random crop (0.6 to 1 of each side, flipped half of the time) of each, as the predictor sees it."""
    height, width = pictures[0].shape[:2]
    size = [max(1, round(side * rng.uniform(0.6, 1))) for side in (height, width)]
    top, left = int(rng.integers(height - size[0] + 1)), int(rng.integers(width - size[1] + 1))
    step = -1 if rng.integers(2) else 1
    crops = [picture[top : top + size[0], left : left + size[1]][:, ::step] for picture in pictures]
    return [see(crop) for crop in crops]


def see(pixels: Pixels) -> Tensor:
    """8-bit pixels (H, W, 3) -> what reaches the predictor, (1, 3, 256, 256)."""
    picture = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float()
    seen = F.interpolate(shrink(picture, REDUCE), (SEEN_SIDE, SEEN_SIDE), mode="bilinear", align_corners=False)
    return seen / 255


def jitter(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Random brightness and saturation, clamped; the teacher sees the same."""
    out = (picture * rng.uniform(*BRIGHTNESS)).clamp(0, 1)
    luma = (out * out.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return (luma + (out - luma) * rng.uniform(*SATURATION)).clamp(0, 1)
