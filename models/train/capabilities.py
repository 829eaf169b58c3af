"""What a recipe or a network may be besides: protocols that the loop asks for, each by itself.

It decides nothing; `models.train.loop` says when each is called.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models.weights import Weights


@runtime_checkable
class Adversary(Protocol):
    """What a recipe is besides, where a second network is trained against the first by an optimiser of its own.

    Its turn comes after each step; `loss` may ask the second network but does not train it.
    """

    def prepare(self, device: torch.device) -> None:
        """A fresh second network and its optimiser, before the first step."""
        ...

    def after_step(self, rate: float) -> dict[str, Tensor]:
        """Its own step at `rate`, a share of its highest learning rate; what to log of it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs of it."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class WarmStart(Protocol):
    """What a recipe is besides, where its network can begin with what another network has learnt."""

    def inherit(self, begun: Weights, network: nn.Module) -> Weights:
        """The weights as `network` has them: those of its own kind as they are, of another kind translated."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """What a recipe is besides, where what it does changes on the way."""

    def begin_step(self, share: float) -> None:
        """Called before the loss of each step: how much of the budget, 0 to 1, lies behind."""
        ...


@runtime_checkable
class CustomOptimizer(Protocol):
    """What a recipe is besides, where its groups are not stepped by Adam."""

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer: ...


@runtime_checkable
class GradientClipper(Protocol):
    """What a recipe is besides, where some gradients are kept short before each step of the optimiser."""

    def clip(self, network: nn.Module) -> None: ...


@runtime_checkable
class Exported(Protocol):
    """What a network is besides, where weight files keep less of it than training needs."""

    def exported(self) -> nn.Module:
        """The part that weight files keep, with a `config` of its own."""
        ...
