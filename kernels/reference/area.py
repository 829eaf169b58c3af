"""The specification of the reduction by areas: every output cell is the mean of the input samples it touches.

Cell i of m covers samples floor(i n / m) to ceil((i + 1) n / m) of n on each axis, so cells overlap by a sample where m
does not divide n: what torch calls `area`. It does not check its arguments; that is `kernels.ops`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BAND_PIXELS = 1 << 20  # of the picture as floats at a time


def area_mean(picture: Tensor, height: int, width: int) -> Tensor:
    """picture (H, W, C) uint8 or uint16 -> (height, width, C) float32, shares of the largest code."""
    rows, columns, _ = picture.shape
    top = 255.0 if picture.dtype == torch.uint8 else 65535.0
    step = max(1, BAND_PIXELS * height // max(1, rows * columns))
    bands = []
    for first in range(0, height, step):
        last = min(first + step, height)
        taken = [picture[i * rows // height : -(-(i + 1) * rows // height)] for i in range(first, last)]
        cells = [F.interpolate(part.float().permute(2, 0, 1)[None], (1, width), mode="area")[0] for part in taken]
        bands.append(torch.cat(cells, 1).permute(1, 2, 0) / top)
    return torch.cat(bands)
