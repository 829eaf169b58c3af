"""The op `modulated_mlp`: LM-LIIF's render perceptron.

An op of torch takes tensors and numbers alone, so the arguments of its schema are flat; those of the functions are
grouped as `Samples` and `Layers`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.cuda import modulated_mlp as on_cuda
from kernels.library.checks import any_of, check_storage, check_tensor, shape_of
from kernels.library.definition import define
from kernels.reference import modulated_mlp as reference
from kernels.reference.modulated_mlp import Layers, Places, Samples

MODULATIONS = (torch.float32, torch.bfloat16)

Arguments = tuple[Tensor, Tensor, Samples, Layers]


def modulated_mlp(modulations: Tensor, base: Tensor, samples: Samples, layers: Layers) -> Tensor:
    """Serving: LM-LIIF's render perceptron, from the modulations of h x w pixels to samples (3, rows, cols), float32,
    not clamped.

    modulations (208, h, w) float32 or bfloat16: six scales of 16, layer by layer, six shifts, the latent code; fastest
    with channels last in memory. base (3, rows, cols) float32, to which the predictions are added. A sample has the
    same bits whatever the others are. No gradients. Raises ValueError.
    """
    rows, cols, cell = samples
    out: Tensor = torch.ops.lutra.modulated_mlp(modulations, base, *rows, *cols, *cell, *layers)
    return out


def grouped(modulations: Tensor, base: Tensor, *flat: Any) -> Arguments:
    row_floor, row_part, col_floor, col_part, cell_height, cell_width, weights, biases = flat
    samples = Samples(Places(row_floor, row_part), Places(col_floor, col_part), (cell_height, cell_width))
    return modulations, base, samples, Layers(weights, biases)


def _check(modulations: Tensor, base: Tensor, samples: Samples, layers: Layers) -> None:
    if modulations.dim() != 3 or modulations.shape[0] != reference.CHANNELS or modulations.numel() == 0:
        wanted = f"({reference.CHANNELS}, h, w), none of them 0"
        raise ValueError(f"modulations has shape {shape_of(modulations)}, wanted {wanted}")
    if modulations.dtype not in MODULATIONS:
        raise ValueError(f"modulations is {modulations.dtype}, wanted {any_of(MODULATIONS)}")
    places, named_layers = _check_places(samples), _check_layers(layers)
    check_tensor("base", base, (reference.COLOURS, len(samples.rows.floor), len(samples.cols.floor)))
    tensors = {"modulations": modulations, "base": base, **places, **named_layers}
    check_storage(**tensors)


def _check_places(samples: Samples) -> dict[str, Tensor]:
    """Their tensors by name."""
    for axis, (floor, part) in (("row", samples.rows), ("col", samples.cols)):
        if floor.dim() != 1:
            raise ValueError(f"{axis}_floor has shape {shape_of(floor)}, wanted (samples,)")
        check_tensor(f"{axis}_floor", floor, shape_of(floor), torch.int64)
        check_tensor(f"{axis}_part", part, shape_of(floor))
    return dict(zip(("row_floor", "row_part", "col_floor", "col_part"), (*samples.rows, *samples.cols), strict=True))


def _check_layers(layers: Layers) -> dict[str, Tensor]:
    """Their tensors by name."""
    weights, biases = layers
    shapes = reference.layer_shapes()
    if len(weights) != len(shapes) or len(biases) != len(shapes):
        raise ValueError(f"there are {len(weights)} weights and {len(biases)} biases, wanted {len(shapes)} of each")
    for layer, (weight, bias, shape) in enumerate(zip(weights, biases, shapes, strict=True)):
        check_tensor(f"weights[{layer}]", weight, shape)
        check_tensor(f"biases[{layer}]", bias, shape[:1])
    return {f"{name}[{layer}]": one for name, tensors in layers._asdict().items() for layer, one in enumerate(tensors)}


def _empty(modulations: Tensor, base: Tensor, samples: Samples, layers: Layers) -> Tensor:
    return base.new_empty(base.shape)


define(
    "modulated_mlp(Tensor modulations, Tensor base, Tensor row_floor, Tensor row_part, Tensor col_floor,"
    " Tensor col_part, float cell_height, float cell_width, Tensor[] weights, Tensor[] biases) -> Tensor",
    reference.modulated_mlp,
    _check,
    _empty,
    on_cuda=on_cuda.modulated_mlp,
    grouped=grouped,
)
