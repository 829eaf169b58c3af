"""Image-adaptive 3D LUT: a small network looks at the whole picture and mixes three basis tables into one.

The mixed table is an ordinary three-dimensional look-up table; `kernels.ops` applies it to each pixel and `models.cube`
writes it for other programs. It does not touch pixels itself, and never sees a tile.
Source: Zeng, Cai, Li, Cao, Zhang, "Learning Image-Adaptive 3D Lookup Tables for High Performance Photo Enhancement in
Real-Time", TPAMI 2022 (paired version, 593,516 parameters).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import ops
from kernels.ops import Taps
from kernels.reference.lut3d import identity_lut
from models.classical import in_units

SEEN_SIDE = 256  # the predictor sees the picture at this size
REDUCE = 480  # short side it is area-reduced to first: the size the published tables were trained on
SHOULDER = 0.97  # table values above are bent, where any is above 1
HEAD = 16  # index of the last convolution, fixed by the published key names


@dataclass(frozen=True)
class Lut3DConfig:
    size: int = 33
    tables: int = 3
    width: int = 16


class Predictor(nn.Module):
    """Picture -> one number per basis table; any sign, any size. Published key names `model.N`."""

    def __init__(self, tables: int, width: int) -> None:
        super().__init__()
        w = width
        self.model = nn.Sequential(
            _Seen(size=(SEEN_SIDE, SEEN_SIDE), mode="bilinear", align_corners=False),
            *_halve(3, w),
            *_halve(w, 2 * w),
            *_halve(2 * w, 4 * w),
            *_halve(4 * w, 8 * w),
            *_halve(8 * w, 8 * w)[:2],
            nn.Dropout(0.5),
            nn.Conv2d(8 * w, tables, 8),
        )

    @property
    def head(self) -> nn.Conv2d:
        head = self.model[HEAD]
        assert isinstance(head, nn.Conv2d)
        return head

    def forward(self, picture: Tensor) -> Tensor:
        out: Tensor = self.model(picture)
        return out.flatten(1)


class _Seen(nn.Upsample):
    """What is seen already (`seen`) stays as it is; torch would compute it anew."""

    def forward(self, picture: Tensor) -> Tensor:
        if picture.shape[-2:] == (SEEN_SIDE, SEEN_SIDE):
            return picture
        resized: Tensor = super().forward(picture)
        return resized


def _halve(before: int, after: int) -> list[nn.Module]:
    """Half the side; the norm comes after the activation, as published: an instance norm, which a group norm of one
    channel a group is, computed several times faster.
    """
    conv = nn.Conv2d(before, after, 3, stride=2, padding=1)
    return [conv, nn.LeakyReLU(0.2, inplace=True), nn.GroupNorm(after, after)]


class Lut3D(nn.Module):
    """Three basis tables and the predictor of their weights."""

    luts: Tensor

    def __init__(self, config: Lut3DConfig | None = None) -> None:
        super().__init__()
        self.config = config or Lut3DConfig()
        size, tables = self.config.size, self.config.tables
        self.classifier = Predictor(tables, self.config.width)
        self.luts = nn.Parameter(torch.zeros(tables, 3, size, size, size))
        self.reset()

    def reset(self) -> None:
        """The published start: identity, zeros, zeros, and weights near 1."""
        for module in self.classifier.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)
            if isinstance(module, nn.GroupNorm):
                nn.init.normal_(module.weight, 1.0, 0.02)
        assert self.classifier.head.bias is not None
        nn.init.ones_(self.classifier.head.bias)
        with torch.no_grad():
            self.luts.zero_()
            self.luts[0] = identity_lut(self.config.size)

    def predict_weights(self, picture: Tensor, reduce: int | None = REDUCE) -> Tensor:
        """picture (N, 3, H, W) in [0, 1] -> (N, tables). `reduce=None` is the published path, noisy on large photos."""
        weights: Tensor = self.classifier(shrink(picture, reduce))
        return weights

    def fuse(self, weights: Tensor) -> Tensor:
        """(N, tables) -> one table each, (N, 3, D, D, D)."""
        return torch.einsum("nt,tcbgr->ncbgr", weights, self.luts)

    def lut(self, picture: Tensor, strength: float = 1.0, reduce: int | None = REDUCE) -> Tensor:
        """The table for one picture (1, 3, H, W) -> (3, D, D, D); strength 0 is the identity, 1 what was learnt.

        What was learnt reaches beyond 1. As published (`predict_weights`, `fuse`) it is cut off there; here it is bent.
        """
        fused = bend_below_one(self.fuse(self.predict_weights(picture, reduce))[0])
        if strength == 1.0:
            return fused
        return torch.lerp(identity_lut(self.config.size).to(fused), fused, strength)


def bend_below_one(lut: Tensor) -> Tensor:
    """A table (3, D, D, D) whose channels end at 1: above SHOULDER a curve whose slope begins at 1, and that takes a
    channel's largest value to 1, so that highlights keep their steps instead of being cut off. A channel that never
    exceeds 1 stays as it is.

    Source of the curve: Reinhard, Stark, Shirley, Ferwerda, "Photographic tone reproduction for digital images",
    SIGGRAPH 2002, equation 4.
    """
    room = 1 - SHOULDER
    bent = lut.clamp(max=SHOULDER)
    above = lut - bent
    for channel, top in enumerate(lut.flatten(1).amax(1).tolist()):
        if top <= 1:
            bent[channel] = lut[channel]
            continue
        white, x = (top - SHOULDER) / room, above[channel]
        curve = torch.addcmul(x, x, x, value=1 / (room * white**2))  # few passes, for each over a table counts
        bent[channel].addcdiv_(curve, x.div_(room).add_(1))
    return bent


def shrink(picture: Tensor, side: int | None) -> Tensor:
    """Area-reduces (N, 3, H, W) so that its short side is `side`, keeping its ratio; smaller pictures stay."""
    height, width = picture.shape[-2:]
    if side is None or min(height, width) <= side:
        return picture
    return F.interpolate(picture, reduced_size(height, width, side), mode="area")


def reduced_size(height: int, width: int, side: int = REDUCE) -> tuple[int, int]:
    """The size at which the short side is `side`, in the same ratio; smaller pictures stay."""
    ratio = min(1.0, side / min(height, width))
    return round(height * ratio), round(width * ratio)


def seen(picture: Tensor) -> Tensor:
    """What the predictor sees of a picture (H, W, C) of codes, uint8 or uint16 -> (C, SEEN_SIDE, SEEN_SIDE) float32 in
    [0, 1]: `shrink` to REDUCE and the predictor's own resizing, in one reading of the picture.
    """
    size = picture.shape[:2]
    rows, cols = map(_seen_taps, size, reduced_size(*size))
    return ops.resample_codes(picture, rows, cols)


@lru_cache(maxsize=64)
def _seen_taps(length: int, reduced: int) -> Taps:
    """An axis of so many pixels, area-reduced, then sampled at SEEN_SIDE places, linearly; weights sum to exactly 1."""
    at = ((torch.arange(SEEN_SIDE, dtype=torch.float64) + 0.5) * reduced / SEEN_SIDE - 0.5).clamp(min=0)
    low = at.long()
    cells = low, (low + 1).clamp(max=reduced - 1)
    begins, ends = [cell * length // reduced for cell in cells], [-(-(cell + 1) * length // reduced) for cell in cells]
    count = int((ends[1] - begins[0]).amax())
    first = begins[0].clamp(max=length - count)
    pixel = first[:, None] + torch.arange(count)
    weight = torch.zeros(SEEN_SIDE, count, dtype=torch.float64)
    for begin, end, share in zip(begins, ends, (1 - (at - low), at - low), strict=True):
        inside = (pixel >= begin[:, None]) & (pixel < end[:, None])
        weight += inside * (share / (end - begin))[:, None]
    return Taps(first, in_units(weight))
