"""The weights of LM-LIIF's render perceptron as the compiled kernels and those of CUDA read them (`MlpWeights`), and as
its training does (`PredictLayers`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels.reference.modulated_mlp import Layers
from kernels.reference.modulated_mlp_predict import LAYER_SHAPES, PredictLayers


def pack(layers: Layers, cell: tuple[float, float]) -> Tensor:
    """Seven layers (16, 20), five times (16, 16), (3, 16) and their biases -> one vector.

    First the columns of the hidden layers but for the two of the cell, which all samples share: their product with it
    is part of the first bias. Then the biases of the hidden layers, the columns of the last and its bias, the latter
    two with a fourth colour that is 0.
    """
    first, *hidden, last = (weight.detach() for weight in layers.weights)
    first_bias, *hidden_biases, last_bias = (bias.detach() for bias in layers.biases)
    height, width = cell
    conditioned = first_bias + height * first[:, -2] + width * first[:, -1]
    columns = [weight.t().flatten() for weight in (first[:, :-2], *hidden)]
    last_columns, last_bias = F.pad(last.t(), (0, 1)).flatten(), F.pad(last_bias, (0, 1))
    return torch.cat([*columns, conditioned, *hidden_biases, last_columns, last_bias])


def pack_predict(layers: PredictLayers) -> Tensor:
    """One vector of all numbers, in order."""
    return torch.cat([one.detach().flatten() for one in layers])


def unpack_predict(packed: Tensor) -> PredictLayers:
    """Views of it."""
    parts = torch.split(packed, [math.prod(shape) for shape in LAYER_SHAPES.values()])
    return PredictLayers(*(part.view(shape) for part, shape in zip(parts, LAYER_SHAPES.values(), strict=True)))
