"""The weights of the render perceptron as the compiled kernels read them."""

from __future__ import annotations

import torch

from kernels import perceptron
from tests.kernels.test_modulated_mlp import draw_layers


def test_the_weights_are_packed_column_by_column() -> None:
    weights, biases = layers = draw_layers()
    vector = perceptron.pack(layers, (0.5, 0.25))
    assert vector.shape == (18 * 16 + 5 * 256 + 6 * 16 + 16 * 4 + 4,)
    assert torch.equal(vector[16:32], weights[0][:, 1])
    assert torch.equal(vector[288 + 256 + 16 :][:16], weights[2][:, 1])
    assert torch.allclose(vector[288 + 1280 :][:16], biases[0] + 0.5 * weights[0][:, 18] + 0.25 * weights[0][:, 19])
    assert torch.equal(vector[-68:-64], torch.cat([weights[6][:, 0], torch.zeros(1)]))
