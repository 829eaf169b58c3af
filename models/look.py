"""A look at a whole picture, once, before it is restored in tiles: crops at full size from all over it, and all of it
reduced.

Noise and blocks show in the crops, for reducing takes them off; haze shows in the whole, for a crop of a wall may be
hazy or not. How a picture is tiled changes neither. It runs no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels import ops

Array = NDArray[Any]

CROP_SIDE = 128  # as large as the patches of training
MOST_CROPS = 4  # along each side
REDUCED_SIDE = 64


@dataclass(frozen=True)
class Look:
    """Of N pictures: `crops` (N, K, 3, h, w), `whole` (N, 3, h', w'); in [0, 1].

    `short_side`: pixels along the shorter side of the picture, 0 where that is not known.
    """

    crops: Tensor
    whole: Tensor
    short_side: int = 0

    def to(self, device: torch.device) -> Look:
        return Look(self.crops.to(device), self.whole.to(device), self.short_side)


def look_at(pixels: Array) -> Look:
    """Of one picture (H, W, C), uint8 or uint16, C 1 or 3; float32, on the CPU."""
    height, width = pixels.shape[:2]
    side = min(CROP_SIDE, height), min(CROP_SIDE, width)
    places = product(corners(height, side[0]), corners(width, side[1]))
    crops = np.stack([pixels[top : top + side[0], left : left + side[1]] for top, left in places])
    levels = torch.from_numpy(crops.astype(np.float32)).permute(0, 3, 1, 2) / float(np.iinfo(pixels.dtype).max)
    owned = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    whole = ops.area_mean(owned, min(REDUCED_SIDE, height), min(REDUCED_SIDE, width)).permute(2, 0, 1)
    return Look(levels.expand(-1, 3, -1, -1)[None], whole.expand(3, -1, -1)[None], min(height, width))


def corners(length: int, side: int) -> list[int]:
    """Where crops of `side` begin along an axis, spread evenly: as many as cover it, at most MOST_CROPS."""
    count = min(MOST_CROPS, -(-length // side))
    return [int(at) for at in np.linspace(0, length - side, count)] if count > 1 else [(length - side) // 2]
