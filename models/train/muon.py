"""Muon: matrices step along the orthogonal factor of their momentum, so that all its directions are learnt at one pace.

It is for layers whose gradients are far from round, as those of thin perceptrons behind wide ones. What is no matrix,
and groups that do not ask for it, step as Adam does. It knows no schedule.
Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024 (Newton-Schulz iteration and
its coefficients); Liu et al., "Muon is scalable for LLM training", 2025, arXiv 2502.16982 (step sizes as Adam's);
Kingma and Ba, ICLR 2015 (Adam).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MOMENTUM, FIRST, SECOND, TINY = 0.95, 0.9, 0.999, 1e-8
ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
ADAM_SIZE = 0.2  # root mean square of Adam's steps at a rate of 1
LEAST_SIDE = 3  # of what counts as a matrix


class Muon(torch.optim.Optimizer):
    """Groups with `muon` true are stepped so; `lr` means as much as Adam's."""

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "muon": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # knows no closure
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is None:
                    continue
                state = self.state[value]
                along = group["muon"] and min(value.flatten(1).shape if value.dim() > 1 else (1,)) >= LEAST_SIDE
                move = orthogonal_step(state, value.grad) if along else adam_step(state, value.grad)
                value.add_(move, alpha=-group["lr"])


def orthogonal_step(state: dict[str, Any], gradient: Tensor) -> Tensor:
    momentum: Tensor = state.setdefault("momentum", torch.zeros_like(gradient))
    momentum.lerp_(gradient, 1 - MOMENTUM)
    matrix = gradient.lerp(momentum, MOMENTUM).flatten(1)
    size: float = ADAM_SIZE * max(matrix.shape) ** 0.5
    return (orthogonal(matrix) * size).view_as(gradient)


def adam_step(state: dict[str, Any], gradient: Tensor) -> Tensor:
    first: Tensor = state.setdefault("first", torch.zeros_like(gradient))
    second: Tensor = state.setdefault("second", torch.zeros_like(gradient))
    count: int
    count = state["count"] = state.get("count", 0) + 1
    first.lerp_(gradient, 1 - FIRST)
    second.lerp_(gradient.square(), 1 - SECOND)
    return (first / (1 - FIRST**count)) / ((second / (1 - SECOND**count)).sqrt() + TINY)


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are all one (0.7 to 1.2)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.float().T if tall else matrix.float()
    x = x / (x.norm() + TINY)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
