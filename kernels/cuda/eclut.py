"""Table super-resolution on a CUDA device: plans the launches of `eclut.cu`.

It checks no arguments; that is `kernels.ops`. `kernels.reference.eclut` specifies what it computes, bit by bit.
"""

from __future__ import annotations

from torch import Tensor

from kernels.cuda import loader
from kernels.cuda.launches import MAX_GRID_Y, aligned, blocks

SOURCE = "eclut/eclut.cu"
THREADS = 128
CHANNELS = 3


def eclut(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> Tensor:
    """picture (H, W, 3) uint8, table (65536, 9 scale^2) int8 or (65536, (scale + 2)^2) int16 -> a larger picture."""
    height, width, _ = picture.shape
    out = picture.new_empty((height * scale, width * scale, CHANNELS))
    if out.numel() == 0:
        return out
    grid = (blocks(width * CHANNELS, THREADS), min(height, MAX_GRID_Y))
    arguments = (picture.contiguous(), aligned(table), out, height, width)
    loader.launch(SOURCE, f"eclut_{step}_{scale}", grid, THREADS, *arguments, device=picture.device)
    return out
