"""Tables and pictures that several test modules draw, each from a seed."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from kernels.reference.lut3d import identity_lut


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def tame_lut(nodes: int) -> Tensor:
    """The identity, unevenly, from -0.1 to 1.1."""
    uneven = 0.2 * torch.rand(3, nodes, nodes, nodes, generator=generator(nodes)) - 0.1
    return identity_lut(nodes) + uneven


def steep_lut(nodes: int, reach: float = 1.0) -> Tensor:
    return reach * torch.rand(3, nodes, nodes, nodes, generator=generator(nodes))


def draw_codes(dtype: torch.dtype, *shape: int) -> Tensor:
    top = torch.iinfo(dtype).max
    codes = torch.randint(0, top + 1, shape, generator=generator(sum(shape)))
    codes.view(-1)[: min(6, codes.numel())] = torch.tensor([0, 0, 0, top, top, top])[: codes.numel()]
    return codes.to(dtype)


def same_bits(first: Tensor, second: Tensor) -> bool:
    """On the processor: devices compare fewer types."""
    return torch.equal(first.cpu(), second.cpu())
