"""The plain network that restorers are timed beside: how multiplications are counted, and that it has as many."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks import plain
from models.airnet_u import AirnetU, AirnetUConfig
from models.look import Look


def test_multiplications_are_those_of_convolutions_and_linear_layers() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1, groups=8))
    pixels = plain.SIDE**2
    assert plain.multiplications(network, network) == pixels * 27 * 8 + pixels // 4 * 9 * 8
    linear = nn.Linear(plain.SIDE, 5)
    assert plain.multiplications(linear, linear) == 3 * plain.SIDE * 5 * plain.SIDE


def test_the_plain_network_multiplies_as_often_as_the_restorer_on_windows_and_on_the_look() -> None:
    restorer = AirnetU(AirnetUConfig(contrast=False)).eval()
    network, look = plain.like(restorer), Look(torch.rand(1, 6, 3, 128, 128), torch.rand(1, 3, 64, 64))
    for ours, theirs in (
        (lambda window: restorer(window, restorer.code_of("rain")), lambda window: network(window, window)),
        (lambda _: restorer.examine(look), lambda _: network.examine(look)),
    ):
        wanted = plain.multiplications(restorer, ours)
        assert abs(plain.multiplications(network, theirs) - wanted) < 0.06 * wanted
    assert network(torch.rand(1, 3, 24, 40), torch.zeros(1, 1)).shape == (1, 3, 24, 40)
