"""What keeps basis tables usable besides being right: smooth, and never darker for a brighter input.

It knows nothing of pictures or networks.
Source: Zeng et al., TPAMI 2022, section 3.4; weights at the first and last interval as in the published training.
"""

from __future__ import annotations

import torch
from torch import Tensor


def smoothness(luts: Tensor) -> Tensor:
    """luts (T, 3, D, D, D) -> sum over tables and axes of the mean squared step, border steps counted twice."""
    total = luts.new_zeros(())
    for axis in (2, 3, 4):
        steps = luts.diff(dim=axis).square().movedim(axis, -1)
        weight = luts.new_ones(steps.shape[-1])
        weight[0] = weight[-1] = 2
        total = total + (steps * weight).mean(dim=(1, 2, 3, 4)).sum()
    return total


def monotonicity(luts: Tensor) -> Tensor:
    """luts (T, 3, D, D, D) -> sum over tables and axes of the mean downward step."""
    steps = [torch.relu(-luts.diff(dim=axis)) for axis in (2, 3, 4)]
    return torch.stack([s.mean(dim=(1, 2, 3, 4)).sum() for s in steps]).sum()
