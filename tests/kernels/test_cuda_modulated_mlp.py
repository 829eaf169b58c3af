"""The render perceptron by the CUDA kernels against the specification: on a processor by `cuda_on_host`, and the same
checks on a device (-m cuda).

Inputs and tolerances are those of `test_modulated_mlp`.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from kernels.cuda import modulated_mlp
from kernels.reference import modulated_mlp as mlp_reference
from tests.kernels import test_modulated_mlp
from tests.kernels.draws import same_bits

NAN = float("nan")


def on(device: torch.device, inputs: test_modulated_mlp.Inputs) -> test_modulated_mlp.Inputs:
    moved: test_modulated_mlp.Inputs = tree_map_only(Tensor, lambda tensor: tensor.to(device), inputs)
    return moved


@pytest.mark.parametrize("scale", test_modulated_mlp.SCALES)
@pytest.mark.parametrize("side", [1, 2, 17, 33])
def test_the_render_perceptron_is_near_the_specification(device: torch.device, side: int, scale: float) -> None:
    for size in ((side, 3), (2, side)):
        inputs = test_modulated_mlp.draw_inputs(*size, scale)
        exact = mlp_reference.modulated_mlp(*test_modulated_mlp.in_float64(inputs))
        result = modulated_mlp.modulated_mlp(*on(device, inputs))
        test_modulated_mlp.assert_near(result.cpu(), exact)
        modulations, base, samples, layers = on(device, inputs)
        assert same_bits(modulated_mlp.modulated_mlp(modulations.bfloat16(), base, samples, layers), result)


def test_parts_of_a_rendered_picture_have_the_bits_of_the_whole(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    modulations, base, samples, layers = on(device, test_modulated_mlp.draw_inputs(9, 60, 2.7))
    whole = modulated_mlp.modulated_mlp(modulations, base, samples, layers)
    monkeypatch.setattr(modulated_mlp, "MAX_GRID_Y", 3)  # and the rows go round
    rows, cols = slice(3, 20), slice(5, 140)
    some = test_modulated_mlp.some(samples, rows, cols)
    none = test_modulated_mlp.some(samples, slice(0, 0), cols)
    assert same_bits(modulated_mlp.modulated_mlp(modulations, base[:, rows, cols], some, layers), whole[:, rows, cols])
    assert modulated_mlp.modulated_mlp(modulations, base[:, :0, cols], none, layers).shape == (3, 0, 135)


def test_a_pixel_that_is_not_a_number_spoils_the_samples_around_it_and_no_other(device: torch.device) -> None:
    modulations, base, samples, layers = on(device, test_modulated_mlp.draw_inputs(9, 11, 2.7))
    whole = modulated_mlp.modulated_mlp(modulations, base, samples, layers)
    rows, cols = (torch.stack([axis.floor, axis.floor + 1]) for axis in samples[:2])
    touched = (rows == 4).any(0)[:, None] & (cols == 6).any(0)
    ruined = modulations.clone()
    ruined[:, 4, 6] = NAN
    result = modulated_mlp.modulated_mlp(ruined, base, samples, layers)
    assert result[:, touched].isnan().all()
    assert same_bits(result[:, ~touched], whole[:, ~touched])
