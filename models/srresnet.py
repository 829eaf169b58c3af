"""SRResNet: sixteen residual blocks on the small picture, then two stages that double it; also the generator of SRGAN.

It enlarges by its own factor (x4 as published); scales below are reached by an antialiased resize of that result. Batch
norms are folded into their convolutions for serving (`served`). It does not clamp; windows come with a halo.
Source: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017;
names of the keys as in github.com/Lornatang/SRGAN-PyTorch, init of its early version.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.classical import finer_halo, from_finer
from models.contract import Axis, View
from models.layout import channels_last

ENLARGING_HALO = 3  # input pixels that the stages after the trunk see: 1 + 1/2 + 1
BLOCK_SIDE = 128  # input pixels that are enlarged at once, along each axis: at x4 and 32 bits each takes some 12 KB
SMALL_START = 0.1  # share at which residual branches start


@dataclass(frozen=True)
class SrresnetConfig:
    """`batch_norm`: as published; without, convolutions have a bias instead, as after folding.

    `interpolated_base`: the network predicts the difference to the bicubic picture (a = -1/2).
    """

    width: int = 64
    blocks: int = 16
    scale: int = 4
    batch_norm: bool = True
    interpolated_base: bool = False


class ResidualBlock(nn.Module):
    """x + norm(conv(prelu(norm(conv(x)))))."""

    def __init__(self, width: int, batch_norm: bool) -> None:
        super().__init__()
        self.rcb = nn.Sequential(*convolution(width, batch_norm), nn.PReLU(), *convolution(width, batch_norm))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.rcb(x)
        return out


class Doubling(nn.Module):
    """(N, C, h, w) -> (N, C, 2h, 2w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.upsample_block = nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.upsample_block(x)
        return out


class Srresnet(nn.Module):
    """Fulfils `models.contract.Upscaler`; training calls `enlarge`."""

    def __init__(self, config: SrresnetConfig | None = None) -> None:
        super().__init__()
        self.config = config or SrresnetConfig()
        c = self.config
        if c.scale not in (2, 4, 8):
            raise TypeError(f"scale {c.scale} is none of 2, 4, 8")
        self.conv1 = nn.Sequential(nn.Conv2d(3, c.width, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(*(ResidualBlock(c.width, c.batch_norm) for _ in range(c.blocks)))
        self.conv2 = nn.Sequential(*convolution(c.width, c.batch_norm))
        self.upsampling = nn.Sequential(*(Doubling(c.width) for _ in range(c.scale.bit_length() - 1)))
        self.conv3 = nn.Conv2d(c.width, 3, 9, padding=4)
        start_small(self)

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """See `models.contract.Upscaler`. Networks in half precision still add the base and resize in float32."""
        x = windows.to(self.conv3.weight.dtype).contiguous(memory_format=torch.channels_last)
        pairs = zip(windows.float(), torch.split(self.extract(x), 1), views, strict=True)
        return [self.render(window, feat, view) for window, feat, view in pairs]

    def render(self, window: Tensor, feat: Tensor, view: View) -> Tensor:
        """window (3, h, w), its features (1, C, h, w) -> samples (3, rows, cols), a block at a time."""
        out = window.new_empty(3, view.rows.count, view.cols.count)
        for rows, cols in product(cut(view.rows), cut(view.cols)):
            top, left = rows.start - view.rows.start, cols.start - view.cols.start
            block = self.render_block(window, feat, View(rows, cols))
            out[:, top : top + rows.count, left : left + cols.count] = block
        return out

    def render_block(self, window: Tensor, feat: Tensor, view: View) -> Tensor:
        """The same where only what the view needs is enlarged."""
        factor = self.config.scale
        rows, cols = (needed(*axis, factor) for axis in zip((view.rows, view.cols), window.shape[1:], strict=True))
        fine = self.finish(feat[:, :, rows, cols], window[None, :, rows, cols])[0]
        return take(fine, View(moved(view.rows, rows.start), moved(view.cols, cols.start)), factor)

    def enlarge(self, lr: Tensor) -> Tensor:
        """lr (N, 3, h, w) in [0, 1] -> (N, 3, scale * h, scale * w), float32."""
        return self.finish(self.extract(lr.contiguous(memory_format=torch.channels_last)), lr)

    @property
    def first(self) -> nn.Conv2d:
        first = self.conv1[0]
        assert isinstance(first, nn.Conv2d)
        return first

    def extract(self, x: Tensor) -> Tensor:
        """(N, 3, h, w) -> features of the same size."""
        head = self.conv1(x)
        out: Tensor = head + self.conv2(self.trunk(head))
        return out

    def finish(self, feat: Tensor, lr: Tensor) -> Tensor:
        """Features and the picture they were made of -> the enlarged picture, float32."""
        prediction: Tensor = self.conv3(self.upsampling(feat)).float()
        return prediction + bicubic(lr.float(), self.config.scale) if self.config.interpolated_base else prediction

    def served(self) -> Srresnet:
        """See `models.contract.Servable`: without batch norms."""
        if not self.config.batch_norm:
            return self
        network = Srresnet(dataclasses.replace(self.config, batch_norm=False))
        network.load_state_dict(fold(self.state_dict()))
        first = next(self.parameters())
        network = channels_last(network.to(first.device, first.dtype))
        return network.eval().requires_grad_(first.requires_grad)


def convolution(width: int, batch_norm: bool) -> list[nn.Module]:
    """A 3x3 convolution and its norm; a place holder keeps the numbering of the keys where there is none."""
    norm = nn.BatchNorm2d(width) if batch_norm else nn.Identity()
    return [nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm), norm]


@torch.no_grad()
def start_small(network: Srresnet) -> None:
    """Kaiming normal weights, no biases; each residual branch starts as a tenth, a difference to a base as nothing."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=0.25)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    blocks = [block for block in network.trunk if isinstance(block, ResidualBlock)]
    at = 1 if network.config.batch_norm else 0
    for last in [*(block.rcb[3 + at] for block in blocks), network.conv2[at]]:
        assert isinstance(last, nn.Conv2d | nn.BatchNorm2d)
        last.weight.mul_(SMALL_START)
    network.conv3.weight.mul_(0 if network.config.interpolated_base else SMALL_START)


def fold(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state_dict with batch norms -> the one without: each norm goes into the convolution before it, in float64."""
    norms = {key.removesuffix(".running_var"): value for key, value in state.items() if key.endswith(".running_var")}
    kept = {key: value for key, value in state.items() if key.rpartition(".")[0] not in norms}
    for norm, variance in norms.items():
        trunk, _, number = norm.rpartition(".")
        before = f"{trunk}.{int(number) - 1}"
        gain = state[f"{norm}.weight"].double() / (variance.double() + nn.BatchNorm2d(1).eps).sqrt()
        weight = kept[f"{before}.weight"]
        kept[f"{before}.weight"] = (weight.double() * gain[:, None, None, None]).to(weight.dtype)
        bias = state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * gain
        kept[f"{before}.bias"] = bias.to(weight.dtype)
    return kept


def bicubic(lr: Tensor, scale: int) -> Tensor:
    """(N, C, h, w) enlarged; torch takes a = -1/2 where it antialiases, and a = -3/4 elsewhere."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True)


def cut(axis: Axis) -> list[Axis]:
    """An axis in parts, as even as can be, of at most BLOCK_SIDE input pixels."""
    parts = math.ceil(axis.count / (axis.scale * BLOCK_SIDE))
    edges = [axis.start + part * axis.count // parts for part in range(parts + 1)]
    return [dataclasses.replace(axis, start=a, count=b - a) for a, b in pairwise(edges)]


def needed(axis: Axis, length: int, factor: int, enlarging_halo: int = ENLARGING_HALO) -> slice:
    """The input pixels of a window's side whose features the axis' samples depend on."""
    floor, _ = axis.positions()
    reach = enlarging_halo + (0 if is_native(axis, factor) else finer_halo(factor, axis.scale))
    return slice(max(0, int(floor[0]) - reach), min(length, int(floor[-1]) + 2 + reach))


def take(fine: Tensor, view: View, factor: int) -> Tensor:
    """A window enlarged `factor` times -> the view's samples: as they are where it asks for this scale, or resized."""
    if not (is_native(view.rows, factor) and is_native(view.cols, factor)):
        return from_finer(fine, view, factor)
    top, left = (axis.start - factor * axis.origin for axis in (view.rows, view.cols))
    return fine[:, top : top + view.rows.count, left : left + view.cols.count]


def is_native(axis: Axis, factor: int) -> bool:
    return axis.out_size == factor * axis.in_size


def moved(axis: Axis, by: int) -> Axis:
    """The same samples for a window that begins `by` pixels later."""
    return dataclasses.replace(axis, origin=axis.origin + by)
