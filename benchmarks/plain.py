"""A plain network of convolutions as a yardstick: as many multiplications on a window as a restorer, nothing learnt.

3x3 convolutions of one width with rectifiers between, as torch computes them, and 1x1 ones that fill up the count: what
the same arithmetic takes without norms, gates and five sizes. Counted are convolutions and linear layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.airnet_u import AirnetU, folded
from models.layout import channels_last
from models.look import CROP_SIDE, Look

SIDE = 64  # of the window on which multiplications are counted
WIDTH = 32
ENDS, INNER, POINT = 2 * 27 * WIDTH, 9 * WIDTH**2, WIDTH**2  # multiplications for each pixel


class Plain(nn.Module):
    """See `models.contract.ConditionedRestorer`; its condition says nothing. `looked`: for so large a share of the
    pixels of a look it multiplies as for those of a window."""

    def __init__(self, inner: int, points: int, bytes_per_pixel: int, looked: float) -> None:
        super().__init__()
        self.looked = looked
        kernels = [3] * inner + [1] * points
        layers = [(nn.Conv2d(WIDTH, WIDTH, kernel, padding=kernel // 2), nn.ReLU()) for kernel in kernels]
        self.head, self.tail = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 3, 3, padding=1)
        self.body = nn.Sequential(nn.ReLU(), *(layer for pair in layers for layer in pair))
        self.bytes_per_pixel, self.reach = bytes_per_pixel, inner + 2

    def examine(self, look: Look, only: str | None = None) -> tuple[Tensor, dict[str, float]]:
        crops = look.crops.flatten(0, 1)
        self(crops[..., : round(self.looked * crops.shape[-2]), :], torch.zeros(1, 1))
        return torch.zeros(1, 1), {}

    def forward(self, windows: Tensor, condition: Tensor) -> Tensor:
        x = windows.to(self.head.weight.dtype).contiguous(memory_format=torch.channels_last)
        changed: Tensor = self.tail(self.body(self.head(x)))
        return windows.float() + changed.float()


def like(restorer: AirnetU) -> Plain:
    """A plain network with as many multiplications on a window, to half a 1x1 layer, and on a look."""
    wanted = multiplications(restorer, lambda window: restorer(window, restorer.code_of("noise"))) / SIDE**2
    inner, left = divmod(max(0.0, wanted - ENDS), INNER)
    crop = torch.zeros(1, 3, CROP_SIDE, CROP_SIDE, dtype=restorer.R.head.weight.dtype)
    looked = multiplications(restorer, lambda _: restorer.encoder.near(folded(crop))) / CROP_SIDE**2 / wanted
    network = Plain(int(inner), round(left / POINT), restorer.bytes_per_pixel, looked)
    return channels_last(network.eval().requires_grad_(False))


def multiplications(network: nn.Module, work: Callable[[Tensor], Any]) -> int:
    """Those of convolutions and linear layers while `work` has a window of SIDE pixels a side. With gradients, so
    that torch computes them all: a kernel that serves calls no layer."""
    counts = []

    def count(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        counts.append(made.numel() * weight[0].numel())

    counted = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in counted]
    with torch.enable_grad():
        work(torch.zeros(1, 3, SIDE, SIDE, dtype=next(network.parameters()).dtype))
    for hook in hooks:
        hook.remove()
    return sum(counts)
