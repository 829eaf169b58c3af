"""The op `modulated_mlp`: LM-LIIF's render perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.cuda import modulated_mlp as on_cuda
from kernels.library.checks import any_of, check_storage, shape_of
from kernels.library.definition import define
from kernels.reference import modulated_mlp as reference

MODULATIONS = (torch.float32, torch.bfloat16)


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
    """Serving: LM-LIIF's render perceptron, from what a network says of h x w pixels to samples (3, rows, cols),
    float32, not clamped.

    modulations (208, h, w) float32 or bfloat16: six scales of 16, layer by layer, six shifts, the latent code; fastest
    with channels last in memory. window (3, h, w) float32, of which the bilinear blend is added. Each axis of samples:
    floor (count,) int64 of their places in the window, which may lie outside, where its first and last pixel go on,
    and fraction (count,) float32 in [0, 1), as `Axis.positions` gives them. cell: size of an output pixel in input
    pixels, times two. Layers (16, 20), five times (16, 16), (3, 16) with their biases, float32. A sample has the same
    bits whatever else is asked for. No gradients. Raises ValueError.
    """
    places = row_floor, row_part, col_floor, col_part
    out: Tensor = torch.ops.lutra.modulated_mlp(modulations, window, *places, cell_height, cell_width, weights, biases)
    return out


def _check(
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
) -> None:
    if modulations.dim() != 3 or modulations.shape[0] != reference.CHANNELS or modulations.numel() == 0:
        raise ValueError(
            f"modulations has shape {shape_of(modulations)}, wanted ({reference.CHANNELS}, h, w), none of them 0"
        )
    if modulations.dtype not in MODULATIONS:
        raise ValueError(f"modulations is {modulations.dtype}, wanted {any_of(MODULATIONS)}")
    _check_one("window", window, (reference.COLOURS, *modulations.shape[1:]))
    for axis, floor, part in (("row", row_floor, row_part), ("col", col_floor, col_part)):
        if floor.dim() != 1:
            raise ValueError(f"{axis}_floor has shape {shape_of(floor)}, wanted (samples,)")
        _check_one(f"{axis}_floor", floor, shape_of(floor), torch.int64)
        _check_one(f"{axis}_part", part, shape_of(floor))
    shapes = reference.layers()
    if len(weights) != len(shapes) or len(biases) != len(shapes):
        raise ValueError(f"there are {len(weights)} weights and {len(biases)} biases, wanted {len(shapes)} of each")
    for layer, (weight, bias, shape) in enumerate(zip(weights, biases, shapes, strict=True)):
        _check_one(f"weights[{layer}]", weight, shape)
        _check_one(f"biases[{layer}]", bias, shape[:1])
    places = {"row_floor": row_floor, "row_part": row_part, "col_floor": col_floor, "col_part": col_part}
    known = {"weights": weights, "biases": biases}
    layers = {f"{name}[{layer}]": one for name, found in known.items() for layer, one in enumerate(found)}
    check_storage(modulations=modulations, window=window, **places, **layers)


def _check_one(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ValueError(f"{name} is {shape_of(tensor)} of {tensor.dtype}, wanted {tuple(shape)} of {dtype}")


def _empty(
    modulations: Tensor, window: Tensor, row_floor: Tensor, row_part: Tensor, col_floor: Tensor, *_: Any
) -> Tensor:
    return window.new_empty(window.shape[0], row_floor.shape[0], col_floor.shape[0])


define(
    "modulated_mlp(Tensor modulations, Tensor window, Tensor row_floor, Tensor row_part, Tensor col_floor,"
    " Tensor col_part, float cell_height, float cell_width, Tensor[] weights, Tensor[] biases) -> Tensor",
    reference.modulated_mlp,
    _check,
    _empty,
    on_cuda=on_cuda.modulated_mlp,
)
