"""The specification of LM-LIIF's render perceptron as training needs it, in plain PyTorch: what every input pixel
predicts for each of its samples, before anything is blended, and the gradients of that.

A pixel has as many slots down and to the right as samples at most lie around it; a prediction for a slot is
    v = relu((here + way[:, 0] down + way[:, 1] right) (1 + scale) + shift)
    five times   v = relu((W v + b) (1 + scale) + shift)
    prediction = W v + b
where `here` is what the first layer makes of the pixel's latent code and of the cell, its bias included, and down and
right are twice the way from the pixel to the sample. Ways have no gradient: they follow from the sizes of the pictures.
Where relu meets 0 its slope is 0. `kernels.reference.modulated_mlp` says where the perceptron comes from and how its
predictions are blended.

It does not check its arguments; that is `kernels.ops`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.reference.modulated_mlp import COLOURS, HIDDEN, UNITS


class Pixels(NamedTuple):
    """What each pixel has for all its slots."""

    modulations: Tensor  # (192, P): six scales of 16, layer by layer, then six shifts
    here: Tensor  # (16, P)


class Ways(NamedTuple):
    """Twice the way from each pixel to the samples in its slots, down and to the right."""

    rows: Tensor  # (slots, P)
    cols: Tensor


class PredictLayers(NamedTuple):
    """The perceptron, but for what `here` holds of its first layer."""

    way: Tensor  # (16, 2)
    hidden: Tensor  # (5, 16, 16)
    hidden_bias: Tensor  # (5, 16)
    last: Tensor  # (3, 16)
    last_bias: Tensor  # (3,)


LAYER_SHAPES: dict[str, tuple[int, ...]] = {
    "way": (UNITS, 2),
    "hidden": (HIDDEN - 1, UNITS, UNITS),
    "hidden_bias": (HIDDEN - 1, UNITS),
    "last": (COLOURS, UNITS),
    "last_bias": (COLOURS,),
}


class _Layer(NamedTuple):
    """A hidden layer at work, all (16, slots, P) but scale (16, 1, P)."""

    sums: Tensor
    scale: Tensor  # 1 + that of the modulations
    values: Tensor


def modulated_mlp_predict(pixels: Pixels, ways: Ways, layers: PredictLayers) -> Tensor:
    """Pixels (P), ways (k, P) and (l, P) -> predictions (3, k, l, P)."""
    out = _linear(_hidden(pixels, ways, layers)[-1].values, layers.last, layers.last_bias)
    return out.view(COLOURS, *_grid(ways))


def modulated_mlp_predict_backward(
    grad: Tensor, pixels: Pixels, ways: Ways, layers: PredictLayers
) -> tuple[Tensor, ...]:
    """Gradient of the predictions -> gradients by all tensors of pixels and layers, of their shapes."""
    passed = _hidden(pixels, ways, layers)
    above = grad.reshape(COLOURS, *passed[-1].values.shape[1:])
    by_last, by_last_bias = _by_linear(above, passed[-1].values)
    by_values = _linear(above, layers.last.T)
    by_scales, by_shifts, by_hidden = [], [], []
    for index in reversed(range(HIDDEN)):
        sums, scale, values = passed[index]
        by_modulated = torch.where(values <= 0, 0, by_values)
        by_scales.append((by_modulated * sums).sum(1))
        by_shifts.append(by_modulated.sum(1))
        by_sums = by_modulated * scale
        if index:
            by_hidden.append(_by_linear(by_sums, passed[index - 1].values))
            by_values = _linear(by_sums, layers.hidden[index - 1].T)
    by_weights, by_biases = (torch.stack(one[::-1]) for one in zip(*by_hidden, strict=True))
    spread = by_sums.view(UNITS, *_grid(ways))
    by_way = torch.stack([(spread.sum(2) * ways.rows).sum((1, 2)), (spread.sum(1) * ways.cols).sum((1, 2))], 1)
    by_modulations = torch.cat([*by_scales[::-1], *by_shifts[::-1]])
    return by_modulations, by_sums.sum(1), by_way, by_weights, by_biases, by_last, by_last_bias


def _grid(ways: Ways) -> tuple[int, int, int]:
    return len(ways.rows), *ways.cols.shape


def _hidden(pixels: Pixels, ways: Ways, layers: PredictLayers) -> list[_Layer]:
    modulations, here = pixels
    scales, shifts = modulations.view(2, HIDDEN, UNITS, 1, here.shape[1])
    down, right = (_outer(layers.way[:, axis], way) for axis, way in enumerate(ways))
    sums = (here[:, None, None] + (down[:, :, None] + right[:, None])).flatten(1, 2)
    passed: list[_Layer] = []
    for index, (scale, shift) in enumerate(zip(1 + scales, shifts, strict=True)):
        if index:
            sums = _linear(passed[-1].values, layers.hidden[index - 1], layers.hidden_bias[index - 1])
        passed.append(_Layer(sums, scale, F.relu(sums * scale + shift)))
    return passed


def _outer(weight: Tensor, way: Tensor) -> Tensor:
    """(16,), (slots, P) -> (16, slots, P)."""
    return weight[:, None, None] * way


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(inputs, slots, P) -> (outputs, slots, P)."""
    flat = x.flatten(1)
    out = weight @ flat if bias is None else torch.addmm(bias[:, None], weight, flat)
    return out.view(len(weight), *x.shape[1:])


def _by_linear(by_out: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by a layer's weight and bias."""
    return by_out.flatten(1) @ x.flatten(1).T, by_out.sum((1, 2))
