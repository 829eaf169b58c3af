"""The ops `modulated_mlp_predict` and `modulated_mlp_predict_backward`: LM-LIIF's render perceptron for training.

An op of torch takes and gives tensors alone, so the arguments of the schemas are flat; those of the functions are
grouped as `Pixels`, `Ways` and `PredictLayers`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.library.checks import any_of, check_storage, check_tensor, shape_of
from kernels.library.definition import define
from kernels.reference import modulated_mlp_predict as reference
from kernels.reference.modulated_mlp import COLOURS, HIDDEN, UNITS
from kernels.reference.modulated_mlp_predict import LAYER_SHAPES, Pixels, PredictLayers, Ways

FLOATS = (torch.float32, torch.float64)

Arguments = tuple[Pixels, Ways, PredictLayers]


def modulated_mlp_predict(pixels: Pixels, ways: Ways, layers: PredictLayers) -> Tensor:
    """Training: what each of P pixels predicts for each of its slots of samples, (3, slots down, slots right, P).

    modulations (192, P): six scales of 16, layer by layer, six shifts; here (16, P); rows (k, P) and cols (l, P); the
    layers as `PredictLayers` says. All float32 or all float64, fastest in plain memory. Differentiable once, in reverse
    mode, in pixels and layers but not in the ways. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.modulated_mlp_predict(*pixels, *ways, *layers)
    return out


def grouped(modulations: Tensor, here: Tensor, rows: Tensor, cols: Tensor, *layers: Tensor) -> Arguments:
    return Pixels(modulations, here), Ways(rows, cols), PredictLayers(*layers)


def _grouped_backward(grad: Tensor, *flat: Tensor) -> tuple[Tensor, Pixels, Ways, PredictLayers]:
    return grad, *grouped(*flat)


def _check(pixels: Pixels, ways: Ways, layers: PredictLayers) -> None:
    modulations, dtype = pixels.modulations, pixels.modulations.dtype
    if modulations.dim() != 2 or len(modulations) != 2 * HIDDEN * UNITS:
        raise ValueError(f"modulations has shape {shape_of(modulations)}, wanted ({2 * HIDDEN * UNITS}, P)")
    if dtype not in FLOATS:
        raise ValueError(f"modulations is {dtype}, wanted {any_of(FLOATS)}")
    count = modulations.shape[1]
    check_tensor("here", pixels.here, (UNITS, count), dtype)
    for name, way in ways._asdict().items():
        if way.dim() != 2:
            raise ValueError(f"{name} has shape {shape_of(way)}, wanted (slots, {count})")
        check_tensor(name, way, (len(way), count), dtype)
    for name, shape in LAYER_SHAPES.items():
        check_tensor(name, getattr(layers, name), shape, dtype)
    check_storage(**pixels._asdict(), **ways._asdict(), **layers._asdict())


def _check_backward(grad: Tensor, pixels: Pixels, ways: Ways, layers: PredictLayers) -> None:
    _check(pixels, ways, layers)
    check_tensor("grad", grad, _shape(ways), pixels.here.dtype)
    check_storage(modulations=pixels.modulations, grad=grad)


def _shape(ways: Ways) -> tuple[int, ...]:
    return COLOURS, len(ways.rows), *ways.cols.shape


def _empty(pixels: Pixels, ways: Ways, layers: PredictLayers) -> Tensor:
    return pixels.here.new_empty(_shape(ways))


def _empty_gradients(grad: Tensor, pixels: Pixels, ways: Ways, layers: PredictLayers) -> tuple[Tensor, ...]:
    return tuple(one.new_empty(one.shape) for one in (*pixels, *layers))


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    if any(ctx.needs_input_grad[2:4]):
        raise RuntimeError("lutra::modulated_mlp_predict has no gradient by rows and cols")
    modulations, here, *layers = torch.ops.lutra.modulated_mlp_predict_backward(grad, *ctx.saved_tensors)
    return modulations, here, None, None, *layers


TENSORS = (
    "Tensor modulations, Tensor here, Tensor rows, Tensor cols, Tensor way, Tensor hidden, Tensor hidden_bias,"
    " Tensor last, Tensor last_bias"
)
define(
    f"modulated_mlp_predict({TENSORS}) -> Tensor",
    reference.modulated_mlp_predict,
    _check,
    _empty,
    backward=_backward,
    grouped=grouped,
)
define(
    f"modulated_mlp_predict_backward(Tensor grad, {TENSORS})"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    reference.modulated_mlp_predict_backward,
    _check_backward,
    _empty_gradients,
    grouped=_grouped_backward,
)
