"""The penalties of tables by their definitions, and distances of features that teach without being taught."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from models.train import losses


def tables() -> Tensor:
    return torch.rand(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))


def steps(luts: Tensor, table: int, axis: int) -> list[tuple[int, float]]:
    """(where along the axis, step) of all neighbours in one table."""
    found = []
    for channel, *place in product(range(3), range(4), range(4), range(4)):
        if place[axis] < 3:
            beyond = [*place[:axis], place[axis] + 1, *place[axis + 1 :]]
            step = luts[(table, channel, *beyond)] - luts[(table, channel, *place)]
            found.append((place[axis], float(step)))
    return found


def test_smoothness_is_the_mean_squared_step_with_those_at_the_border_twice() -> None:
    luts, expected = tables(), 0.0
    for table, axis in product(range(2), range(3)):
        told = steps(luts, table, axis)
        expected += sum((2 if at in (0, 2) else 1) * step**2 for at, step in told) / len(told)
    assert float(losses.smoothness(luts)) == pytest.approx(expected, rel=1e-5)


def test_monotonicity_is_the_mean_downward_step() -> None:
    luts, expected = tables(), 0.0
    for table, axis in product(range(2), range(3)):
        told = steps(luts, table, axis)
        expected += sum(max(0.0, -step) for _, step in told) / len(told)
    assert float(losses.monotonicity(luts)) == pytest.approx(expected, rel=1e-5)


def test_features_see_what_their_network_was_trained_on_and_learn_nothing() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    see = losses.Features(layers, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5), divisor=2)
    x = torch.rand(1, 3, 6, 6)
    normal = (x - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.25, 0.5]).view(3, 1, 1)
    assert torch.allclose(see(x), layers(normal) / 2)
    assert not see.training and not any(parameter.requires_grad for parameter in see.parameters())


def test_the_distance_of_features_pulls_the_picture_and_never_the_original() -> None:
    see = losses.Features(nn.Conv2d(3, 4, 3), (0.0,) * 3, (1.0,) * 3)
    sr, hr = torch.rand(1, 3, 6, 6, requires_grad=True), torch.rand(1, 3, 6, 6, requires_grad=True)
    distance = losses.feature_distance(see, sr, hr)
    assert torch.allclose(distance, (see(sr) - see(hr)).square().mean())
    towards_sr, towards_hr = torch.autograd.grad(distance, (sr, hr), allow_unused=True)
    assert towards_sr.any() and towards_hr is None
    assert not losses.feature_distance(see, sr, sr).any()


def test_our_own_features_are_those_of_the_encoder_that_serves() -> None:
    see = losses.our_features(2)
    assert see(torch.rand(1, 3, 9, 11)).shape == (1, 64, 9, 11)
