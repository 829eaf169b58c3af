"""LM-LIIF's render perceptron on a CUDA device: plans the launches of `modulated_mlp.cu`.

It checks no arguments; that is `kernels.ops`. `kernels.reference.modulated_mlp` specifies what it computes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import perceptron
from kernels.cuda import loader
from kernels.cuda.launches import MAX_GRID_Y, aligned, blocks
from kernels.reference.modulated_mlp import Layers, Samples

SOURCE = "modulated_mlp/modulated_mlp.cu"
NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}
THREADS = 128


def modulated_mlp(modulations: Tensor, base: Tensor, samples: Samples, layers: Layers) -> Tensor:
    """modulations (208, h, w), base (3, rows, cols) -> samples (3, rows, cols)."""
    rows, cols, cell = samples
    out = base.new_empty(base.shape)
    if out.numel() == 0:
        return out
    pixels = aligned(modulations.detach().permute(1, 2, 0))
    places = (tensor.detach().contiguous() for tensor in (*rows, *cols))
    arguments = (pixels, *modulations.shape[1:], base.detach().contiguous(), *places, *out.shape[1:])
    grid = (blocks(out.shape[2], THREADS), min(out.shape[1], MAX_GRID_Y))
    kernel = f"modulated_mlp_{NAMES[modulations.dtype]}"
    packed = perceptron.pack(layers, cell)
    loader.launch(SOURCE, kernel, grid, THREADS, *arguments, packed, out, device=base.device)
    return out
