"""The look-up of float pictures and its gradients on a CUDA device: plans the launches of `lut3d_float.cu`.

It checks no arguments; that is `kernels.ops`. `kernels.reference.lut3d_float` specifies what it computes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.cuda import loader
from kernels.cuda.launches import MAX_GRID_Y, blocks, check_order_may_vary

SOURCE = "lut3d_float/lut3d_float.cu"
NAMES = {torch.float32: "f32", torch.float64: "f64"}
THREADS = 256
RUN = 8  # pixels a thread in the gradient of the table


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """picture (N, 3, H, W), lut (3, D, D, D) or (N, 3, D, D, D), both float32 or both float64 -> (N, 3, H, W)."""
    picture, lut = picture.contiguous(), lut.contiguous()
    out = torch.empty_like(picture)
    _run_float("forward", 1, picture, lut, picture, lut, out)
    return out


def lut3d_backward(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    """Gradient of what `lut3d` gave -> gradients by picture and by lut, of their shapes; empty where not needed.

    Raises RuntimeError where torch must be deterministic: the gradient by the table adds up in any order.
    """
    grad, picture, lut = grad.contiguous(), picture.contiguous(), lut.contiguous()
    by_picture = picture.new_empty(picture.shape if for_picture else 0)
    by_lut = lut.new_zeros(lut.shape if for_lut else 0)
    if for_picture:
        _run_float("backward_picture", 1, picture, lut, grad, picture, lut, by_picture)
    if for_lut:
        check_order_may_vary("lut3d_backward adds up the gradient of the table")
        _run_float("backward_lut", RUN, picture, lut, grad, picture, by_lut)
    return by_picture, by_lut


def _run_float(name: str, pixels_each: int, picture: Tensor, lut: Tensor, *tensors: Tensor) -> None:
    if picture.numel() == 0:
        return
    batch, _, height, width = picture.shape
    nodes, pixels = lut.shape[-1], height * width
    lut_stride = lut[0].numel() if lut.dim() == 5 else 0
    grid = (blocks(pixels, THREADS * pixels_each), min(batch, MAX_GRID_Y))
    kernel = f"lut3d_{name}_{NAMES[picture.dtype]}"
    loader.launch(SOURCE, kernel, grid, THREADS, *tensors, batch, pixels, nodes, lut_stride, device=picture.device)
