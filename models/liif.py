"""LIIF: a picture as a continuous function, so that any scale and any ratio of sides comes from one network.

Each output sample is the bilinear blend of what a small perceptron predicts from the features of its four neighbours.
This is the published function with its first layer moved to the input grid; the tests have it as it was published.
It does not cut, pad or clamp: windows come with a halo, samples leave unclamped.
Source: Chen, Liu, Wang, "Learning Continuous Image Representation with Local Implicit Image Function", CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.contract import Axis, View
from models.edsr import Edsr
from models.rdn import Rdn

BLOCK_QUERIES = 2048  # samples that pass the perceptron at once: small enough for the caches
TAPS = 9  # the features of a 3x3 neighbourhood are read together
ENCODERS: dict[str, type[Edsr] | type[Rdn]] = {"edsr-baseline": Edsr, "rdn": Rdn}


@dataclass(frozen=True)
class LiifConfig:
    """`encoder` is one of ENCODERS, of so many `blocks` and features `width` wide.

    `bilinear_base`: the perceptron predicts the difference to the bilinear blend of the four input pixels.
    `cell_scale_limit`: the largest scale the perceptron is conditioned on; None: the true one, as published.
    """

    width: int = 64
    blocks: int = 16
    hidden: int = 256
    layers: int = 4
    bilinear_base: bool = False
    cell_scale_limit: float | None = None
    encoder: str = "edsr-baseline"


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
    """Features of an encoder and a perceptron of five layers; fulfils `models.contract.Upscaler`."""

    def __init__(self, config: LiifConfig | None = None) -> None:
        super().__init__()
        self.config = config or LiifConfig()
        c = self.config
        if c.encoder not in ENCODERS:
            raise TypeError(f"no encoder {c.encoder!r}, known are {', '.join(ENCODERS)}")
        self.encoder = ENCODERS[c.encoder](c.width, c.blocks)
        self.imnet = Perceptron(TAPS * c.width + 4, c.hidden, c.layers, 3)
        if c.bilinear_base:
            nn.init.zeros_(self.imnet.last.weight)
            nn.init.zeros_(self.imnet.last.bias)

    def first_layer(self, feat: Tensor) -> Tensor:
        """Features (N, C, h, w) -> the part of layer 1 that depends on them alone, (N, hidden, h, w), no bias."""
        width = self.config.width
        weight = self.imnet.first.weight[:, : TAPS * width].reshape(-1, width, 3, 3)
        return F.conv2d(feat, weight.contiguous(memory_format=torch.channels_last), padding=1)

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """See `models.contract.Upscaler`. Networks in half precision still place and add the base in float32."""
        dtype = self.imnet.first.weight.dtype
        x = (windows.float() * 2 - 1).to(dtype).contiguous(memory_format=torch.channels_last)
        feat = self.encoder(x)
        pairs = zip(windows.float(), feat.split(1), views, strict=True)
        return [self.render(window, features, view) for window, features, view in pairs]

    def render(self, window: Tensor, feat: Tensor, view: View) -> Tensor:
        """window (3, h, w), its features (1, C, h, w) -> samples (3, rows, cols), some thousand at a time."""
        rows = neighbours(view.rows, window.shape[1], window.device)
        cols = neighbours(view.cols, window.shape[2], window.device)
        hidden = self.first_layer_within(feat, rows, cols)
        first = self.imnet.first
        from_rows = rows.rel[..., None] * first.weight[:, -4].float()
        from_cols = cols.rel[..., None] * first.weight[:, -3].float() + self.condition(view)
        out = blend_pixels(window, rows, cols) if self.config.bilinear_base else window.new_full((), 0.5)
        out = out.expand(3, view.rows.count, view.cols.count).contiguous()
        for band, part in blocks(view.rows.count, view.cols.count):
            near = hidden[rows.index[:, band] - rows.low] + from_rows[:, band, None].to(hidden.dtype)
            near = near[:, :, cols.index[:, part] - cols.low] + from_cols[:, part].to(hidden.dtype)
            weight = rows.weight[:, band, None, None] * cols.weight[:, part]
            out[:, band, part] += 0.5 * self.blend(near, weight)
        return out

    def blend(self, near: Tensor, weight: Tensor) -> Tensor:
        """First layer of the four corners (2, R, 2, C, hidden), their weights (2, R, 2, C) -> (3, R, C), float32."""
        predictions: Tensor = self.imnet.layers[1:](near).float()
        return (predictions * weight[..., None]).sum((0, 2)).permute(2, 0, 1)

    def condition(self, view: View) -> Tensor:
        """What the first layer makes of the size of an output pixel, and its bias; (hidden,), float32."""
        limit = self.config.cell_scale_limit or float("inf")
        tall, wide = (2 / min(axis.scale, limit) for axis in (view.rows, view.cols))
        weight, bias = self.imnet.first.weight.float(), self.imnet.first.bias.float()
        return tall * weight[:, -2] + wide * weight[:, -1] + bias

    def first_layer_within(self, feat: Tensor, rows: Neighbours, cols: Neighbours) -> Tensor:
        """The first layer where the view needs it, (rows, cols, hidden), from pixel (rows.low, cols.low) on."""
        top, left = max(rows.low - 1, 0), max(cols.low - 1, 0)
        part = feat[:, :, top : rows.high + 2, left : cols.high + 2]
        hidden = self.first_layer(part)[0].permute(1, 2, 0)
        return hidden[rows.low - top : rows.high + 1 - top, cols.low - left : cols.high + 1 - left].contiguous()

    def cell(self, scale: Tensor) -> Tensor:
        """Size of an output pixel in input pixels, times two, as the perceptron is conditioned on it."""
        limit = self.config.cell_scale_limit
        return 2 / (scale if limit is None else scale.clamp(max=limit))

    def sample(self, lr: Tensor, out_size: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Training: lr (N, 3, h, w); samples at output indices rows, cols (N, Q) of out_size (N, 2) -> (N, 3, Q)."""
        n, _, h, w = lr.shape
        lr = lr.contiguous(memory_format=torch.channels_last)
        hidden = self.first_layer(self.encoder(lr * 2 - 1))
        cell = self.cell(out_size / torch.tensor([h, w], device=lr.device))
        at, rel, weight = corners(locate(rows, h, out_size[:, :1]), locate(cols, w, out_size[:, 1:]), (h, w))
        place = torch.cat([rel, cell[:, None, :].expand_as(rel)], -1)
        near = F.embedding(at, hidden.permute(0, 2, 3, 1).reshape(n * h * w, -1))
        with torch.autocast(lr.device.type, enabled=False):  # places never in half precision
            near = near + F.linear(place, self.imnet.first.weight[:, -4:], self.imnet.first.bias)
        predictions: Tensor = 0.5 * self.imnet.layers[1:](near).float()
        base = lr.permute(0, 2, 3, 1).reshape(n * h * w, 3)[at] if self.config.bilinear_base else 0.5
        return (weight[..., None] * (base + predictions)).sum(0).transpose(1, 2)


Place = tuple[Tensor, Tensor]  # floor of the position on the input axis, and the fraction above it


def corners(row: Place, col: Place, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The four neighbours of N x Q samples: index among all pixels of the batch, rel (4, N, Q, 2), weight (4, N, Q)."""
    (y0, fy), (x0, fx), (h, w) = row, col, size
    first = torch.arange(len(y0), device=y0.device)[:, None] * (h * w)
    index, rel, weight = [], [], []
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = (y0 + dy).clamp(0, h - 1), (x0 + dx).clamp(0, w - 1)
            index.append(first + y * w + x)
            rel.append(torch.stack([2 * (y0 - y + fy), 2 * (x0 - x + fx)], -1))
            weight.append((fy if dy else 1 - fy) * (fx if dx else 1 - fx))
    return torch.stack(index), torch.stack(rel), torch.stack(weight)


def locate(index: Tensor, in_size: int, out_size: Tensor) -> Place:
    """Output indices -> floor of their place on the input axis, and the fraction above it; exact until the division."""
    numerator = (2 * index + 1) * in_size - out_size
    floor = torch.div(numerator, 2 * out_size, rounding_mode="floor")
    return floor, (numerator - floor * 2 * out_size).float() / (2 * out_size)


@dataclass(frozen=True)
class Neighbours:
    """The two input pixels around each output sample of one axis, all of shape (2, count).

    `index` within the window, `rel` twice the distance to it, `weight` of the bilinear blend; `low` and `high` bound
    `index`.
    """

    index: Tensor
    rel: Tensor
    weight: Tensor
    low: int
    high: int


def neighbours(axis: Axis, length: int, device: torch.device) -> Neighbours:
    """Neighbours within a window of `length` pixels; only at its end do both fall on the same pixel."""
    floor, fraction = axis.positions()
    index = torch.stack([floor, floor + 1]).clamp(0, length - 1)
    rel = 2 * ((floor - index) + fraction)
    weight = torch.stack([1 - fraction, fraction])
    low, high = int(index.min()), int(index.max())
    return Neighbours(index.to(device), rel.to(device), weight.to(device), low, high)


def blocks(rows: int, cols: int) -> Iterator[tuple[slice, slice]]:
    """Cuts a grid into parts of at most BLOCK_QUERIES samples, whole rows where they fit."""
    wide = min(cols, BLOCK_QUERIES)
    tall = max(1, BLOCK_QUERIES // wide)
    for top in range(0, rows, tall):
        for left in range(0, cols, wide):
            yield slice(top, top + tall), slice(left, left + wide)


def blend_pixels(window: Tensor, rows: Neighbours, cols: Neighbours) -> Tensor:
    """The bilinear blend of the window's own pixels, (C, rows, cols)."""
    tall = (window[:, rows.index] * rows.weight[None, ..., None]).sum(1)
    return (tall[:, :, cols.index] * cols.weight).sum(2)
