from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models.train import muon
from models.train.muon import Muon


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("shape", [(16, 16), (8, 30), (30, 8)])
def test_all_directions_of_a_step_are_as_long(shape: tuple[int, int]) -> None:
    u, _, v = torch.linalg.svd(draw(*shape), full_matrices=False)
    matrix = u @ torch.diag(torch.logspace(1, -0.5, min(shape))) @ v
    lengths = torch.linalg.svdvals(muon.orthogonal(matrix))
    assert float(lengths.min()) > 0.5
    assert float(lengths.max()) < 1.4
    assert float((muon.orthogonal(matrix) * (u @ v)).sum()) > 0.8 * min(shape)


def test_what_is_no_matrix_steps_as_adam_does() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 2))
    theirs = copy.deepcopy(ours)
    optimizers = [
        Muon([{"params": list(ours.parameters()), "lr": 1e-2}], 1e-2),
        torch.optim.Adam(theirs.parameters(), 1e-2),
    ]
    x, y = draw(7, 5), draw(7, 2)
    for _ in range(5):
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            (network(x) - y).abs().mean().backward()
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_matrices_of_a_group_that_asks_step_orthogonally_and_by_the_size_of_adam() -> None:
    layers = nn.ModuleList([nn.Conv2d(4, 8, 3), nn.Linear(8, 8), nn.Linear(2, 8)])
    optimizer = Muon([{"params": list(layers.parameters()), "lr": 1e-2, "muon": True}], 1e-2)
    before = [value.detach().clone() for value in layers.parameters()]
    for value in layers.parameters():
        value.grad = draw(*value.shape)
    optimizer.step()
    moves = [(was - value.detach()) / 1e-2 for was, value in zip(before, layers.parameters(), strict=True)]
    conv, _, linear, bias, narrow, _ = moves
    for move in (conv, linear):
        lengths = torch.linalg.svdvals(move.flatten(1))
        assert float(lengths.max() / lengths.min()) < 3
        assert 0.1 < float(move.square().mean().sqrt()) < 0.4
    for move in (bias, narrow):
        assert torch.allclose(move.abs(), torch.ones_like(move), atol=1e-3)


def test_a_state_that_was_kept_goes_on() -> None:
    torch.manual_seed(0)
    whole = nn.Linear(4, 4)
    parts = copy.deepcopy(whole)
    x = draw(6, 4)

    def steps(network: nn.Linear, optimizer: Muon, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            network(x).square().mean().backward()
            optimizer.step()

    steps(whole, Muon([{"params": list(whole.parameters()), "lr": 1e-2, "muon": True}], 1e-2), 4)
    first = Muon([{"params": list(parts.parameters()), "lr": 1e-2, "muon": True}], 1e-2)
    steps(parts, first, 2)
    second = Muon([{"params": list(parts.parameters()), "lr": 1e-2, "muon": True}], 1e-2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(parts, second, 2)
    assert torch.equal(parts.weight, whole.weight)
    assert torch.equal(parts.bias, whole.bias)
