"""LIIF: a picture as a continuous function, so that any scale and any ratio of sides comes from one network.

Each output sample is the bilinear blend of what a small perceptron says from the features of its four neighbours
(`query_reference` is the published text; `Liif` is the same function with the first layer moved to the input grid).
It does not cut, pad or clamp: windows come with a halo, samples leave unclamped.
Source: Chen, Liu, Wang, "Learning Continuous Image Representation with Local Implicit Image Function", CVPR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.edsr import Edsr

BLOCK_QUERIES = 2048  # samples that pass the perceptron at once: small enough for the caches
TAPS = 9  # the features of a 3x3 neighbourhood are read together


@dataclass(frozen=True)
class LiifConfig:
    """`bilinear_base`: the perceptron predicts the difference to the bilinear blend of the four input pixels.

    `cell_scale_limit`: the largest scale told to the perceptron; None tells the true one, as published.
    """

    width: int = 64
    blocks: int = 16
    hidden: int = 256
    layers: int = 4
    bilinear_base: bool = False
    cell_scale_limit: float | None = None


class Perceptron(nn.Module):
    """Linear layers with ReLU between them; published key names `layers.{0,2,4,...}`."""

    def __init__(self, inputs: int, hidden: int, layers: int, outputs: int) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * layers]
        steps: list[nn.Module] = []
        for before, after in pairwise(widths):
            steps += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*steps, nn.Linear(hidden, outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out

    @property
    def first(self) -> nn.Linear:
        return self.layers[0]  # type: ignore[return-value]

    @property
    def last(self) -> nn.Linear:
        return self.layers[-1]  # type: ignore[return-value]


class Liif(nn.Module):
    """EDSR features and a perceptron of five layers; fulfils `models.contract.Upscaler`."""

    def __init__(self, config: LiifConfig | None = None) -> None:
        super().__init__()
        self.config = config or LiifConfig()
        c = self.config
        self.encoder = Edsr(c.width, c.blocks)
        self.imnet = Perceptron(TAPS * c.width + 4, c.hidden, c.layers, 3)
        if c.bilinear_base:
            nn.init.zeros_(self.imnet.last.weight)
            nn.init.zeros_(self.imnet.last.bias)

    def first_layer(self, feat: Tensor) -> Tensor:
        """Features (N, C, h, w) -> the part of layer 1 that depends on them alone, (N, hidden, h, w), no bias."""
        width = self.config.width
        weight = self.imnet.first.weight[:, : TAPS * width].reshape(-1, width, 3, 3)
        return F.conv2d(feat, weight.contiguous(memory_format=torch.channels_last), padding=1)

    def told_cell(self, scale: Tensor) -> Tensor:
        """Size of an output pixel in input pixels, times two, as the perceptron is told it."""
        limit = self.config.cell_scale_limit
        return 2 / (scale if limit is None else scale.clamp(max=limit))

    def sample(self, lr: Tensor, out_size: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Training: lr (N, 3, h, w); samples at output indices rows, cols (N, Q) of out_size (N, 2) -> (N, 3, Q)."""
        n, _, h, w = lr.shape
        lr = lr.contiguous(memory_format=torch.channels_last)
        hidden = self.first_layer(self.encoder(lr * 2 - 1))
        hidden = hidden.permute(0, 2, 3, 1).reshape(n * h * w, -1)
        pixels = lr.permute(0, 2, 3, 1).reshape(n * h * w, 3)
        y0, fy = locate(rows, h, out_size[:, :1])
        x0, fx = locate(cols, w, out_size[:, 1:])
        window = torch.arange(n)[:, None] * (h * w)
        cell = self.told_cell(out_size / torch.tensor([h, w]))[:, None, :].expand(-1, rows.shape[1], -1)
        index, place, weight = [], [], []
        for dy in (0, 1):
            for dx in (0, 1):
                y, x = (y0 + dy).clamp(0, h - 1), (x0 + dx).clamp(0, w - 1)
                index.append(window + y * w + x)
                rel = torch.stack([2 * (y0 - y + fy), 2 * (x0 - x + fx)], -1)
                place.append(torch.cat([rel, cell], -1))
                weight.append((fy if dy else 1 - fy) * (fx if dx else 1 - fx))
        at = torch.stack(index)
        near = F.embedding(at, hidden)
        with torch.autocast(lr.device.type, enabled=False):  # places never in half precision
            near = near + F.linear(torch.stack(place), self.imnet.first.weight[:, -4:], self.imnet.first.bias)
        said = self.imnet.layers[1:](near).float()
        blend = torch.stack(weight)[..., None]
        if self.config.bilinear_base:
            out = (blend * (pixels[at] + 0.5 * said)).sum(0)
        else:
            out = 0.5 * (blend * said).sum(0) + 0.5
        return out.transpose(1, 2)


def locate(index: Tensor, in_size: int, out_size: Tensor) -> tuple[Tensor, Tensor]:
    """Output indices -> floor of their place on the input axis, and the fraction above it; exact until the division."""
    numerator = (2 * index + 1) * in_size - out_size
    floor = torch.div(numerator, 2 * out_size, rounding_mode="floor")
    return floor, (numerator - floor * 2 * out_size).float() / (2 * out_size)
