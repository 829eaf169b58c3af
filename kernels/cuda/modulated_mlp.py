"""LM-LIIF's render perceptron on a CUDA device: plans the launches of `modulated_mlp.cu`.

It checks no arguments; that is `kernels.ops`. What it computes is said in `kernels.reference.modulated_mlp`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels import perceptron
from kernels.cuda import loader
from kernels.cuda.launches import MAX_GRID_Y, aligned, blocks

SOURCE = "modulated_mlp/modulated_mlp.cu"
NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}
THREADS = 128


def modulated_mlp(
    modulations: Tensor,
    window: Tensor,
    row_floor: Tensor,
    row_part: Tensor,
    col_floor: Tensor,
    col_part: Tensor,
    cell_height: float,
    cell_width: float,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
) -> Tensor:
    """modulations (208, h, w), window (3, h, w), floor and fraction of each place -> samples (3, rows, cols)."""
    rows, cols = len(row_floor), len(col_floor)
    out = window.new_empty(len(window), rows, cols)
    if out.numel() == 0:
        return out
    said = aligned(modulations.detach().permute(1, 2, 0))
    axes = (tensor.detach().contiguous() for tensor in (row_floor, row_part, col_floor, col_part))
    known = perceptron.packed(weights, biases, cell_height, cell_width)
    arguments = (said, window.detach().contiguous(), *window.shape[1:], *axes, rows, cols, known, out)
    grid = (blocks(cols, THREADS), min(rows, MAX_GRID_Y))
    kernel = f"modulated_mlp_{NAMES[modulations.dtype]}"
    loader.launch(SOURCE, kernel, grid, THREADS, *arguments, device=window.device)
    return out
