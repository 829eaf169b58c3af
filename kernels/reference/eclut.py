"""The specification of table super-resolution (EC-LUT), in plain PyTorch, and what serves where nothing faster is.

Each colour channel on its own. In each of four rotations of the picture a pixel `a` and the pixel `b` below it choose
row 256 a + b of one table, and the row holds what `a` adds to the larger picture:
    step "lr"   nine blocks of r x r values, for the larger blocks of the pixel and of its eight neighbours;
                int8, (65536, 9 r^2), part 3 i + j belonging to the neighbour at (i - 1, j - 1)
    step "hr"   the same nine blocks, placed one *large* pixel apart; their sum is a square of r + 2 values a side;
                int16, (65536, (r + 2)^2), made by `collapse`; a sum that nine int8 maps cannot have counts as the
                nearest that they can
A table holds differences to `a`: for "lr" an entry e stands for the value a + 6 e, for "hr" half the sum of the 6 e. In
each large pixel thirty-six values meet (nine by four); they are added as integers and divided once, halves up. Steps of
six: a mean of thirty-six sharpens little unless its parts go far, and their rounding, 0.41 levels in all, is not seen.

The frame: the picture is continued by reflection, the edge not repeated (a side of 1 is repeated), so each pixel
outside has neighbours of its own. A large pixel depends on small ones at most two away. It does not check its
arguments; that is `kernels.ops`.
Source: Yin and Shen, "EC-LUT", AAAI 2024; Jo and Kim, "Practical Single-Image Super-Resolution Using Look-Up Table",
CVPR 2021 (one table, four rotations).
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

REACH = 2  # small pixels on each side that a large one depends on
PARTS = 9
TERMS = 4 * PARTS  # values that meet in one large pixel
UNIT = 6  # levels of an entry


def eclut(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> Tensor:
    """picture (H, W, 3) uint8, table (65536, 9 r^2) int8 or (65536, (r + 2)^2) int16 -> (r H, r W, 3), r = scale."""
    height, width, channels = picture.shape
    larger = (height * scale, width * scale, channels)
    if picture.numel() == 0:
        return picture.new_empty(larger)
    place = _place_blocks if step == "lr" else _place_squares
    frame = _continued(picture.int())
    total = picture.new_zeros(larger, dtype=torch.int32)
    for turn in range(4):
        turned = torch.rot90(frame, turn)
        pixel, below = turned[1:-1, 1:-1], turned[2:, 1:-1]
        total += torch.rot90(place(pixel, below, table, scale), -turn)
    return torch.div(total + TERMS // 2, TERMS, rounding_mode="floor").clamp(0, 255).to(torch.uint8)


def _continued(picture: Tensor) -> Tensor:
    rows, columns = (_reflected(size, picture.device) for size in picture.shape[:2])
    return picture[rows][:, columns]


def _reflected(size: int, device: torch.device) -> Tensor:
    """Places -REACH to size + REACH - 1, folded back into 0 to size - 1."""
    period = max(2 * size - 2, 1)
    place = torch.arange(-REACH, size + REACH, device=device) % period
    return torch.minimum(place, period - place)


def collapse(table: Tensor, scale: int) -> Tensor:
    """The table for step "hr", (65536, (scale + 2)^2) int16, of nine maps laid out as for "lr"."""
    blocks = table.reshape(-1, 3, 3, scale, scale).short()
    squares = blocks.new_zeros(len(blocks), scale + 2, scale + 2)
    for i, j in product(range(3), repeat=2):
        squares[:, i : i + scale, j : j + scale] += UNIT // 2 * blocks[:, i, j]
    return squares.reshape(len(blocks), -1)


def coverage(scale: int) -> Tensor:
    """How many of the nine maps cover each value of the square, (scale + 2, scale + 2) int32."""
    count = torch.zeros(scale + 2, scale + 2, dtype=torch.int32)
    for i, j in product(range(3), repeat=2):
        count[i : i + scale, j : j + scale] += 1
    return count


def _place_blocks(pixel: Tensor, below: Tensor, table: Tensor, scale: int) -> Tensor:
    """One rotation of step "lr": the frame's pixels (h + 2, w + 2, 3) -> the picture's values (h scale, w scale, 3)."""
    height, width, channels = pixel.shape
    maps, row = table.reshape(-1, 3, 3, scale, scale), (256 * pixel + below).long()
    canvas = pixel.new_zeros(height + 2, scale, width + 2, scale, channels)
    for i, j in product(range(3), repeat=2):
        block = pixel[..., None, None] + UNIT * maps[row, i, j].int()
        canvas[i : i + height, :, j : j + width] += block.permute(0, 3, 1, 4, 2)
    return canvas[2:-2, :, 2:-2].reshape((height - 2) * scale, (width - 2) * scale, channels)


def _place_squares(pixel: Tensor, below: Tensor, table: Tensor, scale: int) -> Tensor:
    """One rotation of step "hr", as `_place_blocks`."""
    height, width, channels = pixel.shape
    side, count = scale + 2, coverage(scale).to(pixel.device)
    row = (256 * pixel + below).long()
    canvas = pixel.new_zeros(height * scale + 2, width * scale + 2, channels)
    for i, j in product(range(side), repeat=2):
        bounds = (UNIT // 2 * entry * count[i, j] for entry in (-128, 127))
        held = table[:, i * side + j][row].int().clamp(*bounds)
        canvas[i : i + height * scale : scale, j : j + width * scale : scale] += count[i, j] * pixel + 2 * held
    return canvas[scale + 1 : -scale - 1, scale + 1 : -scale - 1]
