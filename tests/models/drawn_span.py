"""Weights of SPAN, drawn with exactly the keys and shapes that are published, written out here."""

from __future__ import annotations

from typing import Any

import torch

from models.span import MEAN

State = dict[str, Any]
CONVOLUTIONS = ["conv_1", *(f"block_{i}.c{j}_r" for i in range(1, 7) for j in range(1, 4)), "conv_2"]


def conv(name: str, outputs: int, inputs: int, side: int, small: float = 1.0) -> State:
    weight = torch.randn(outputs, inputs, side, side) / side / inputs**0.5 * small
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(outputs) / 10}


def plain(channels: int, scale: int) -> State:
    """As it serves."""
    torch.manual_seed(channels + scale)
    state = {"mean": torch.tensor(MEAN)}
    for name in CONVOLUTIONS:
        first = name == "conv_1"
        state |= conv(name, channels, 3 if first else channels, 3, 1 / 50 if first else 1.0)
    return state | conv("conv_cat", channels, 4 * channels, 1) | conv("upsampler", 3 * scale**2, channels, 3)
