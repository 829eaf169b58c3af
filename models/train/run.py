"""What a run is made of: what a recipe is and may spend, where a run reads and writes, its state."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.train.capabilities import Adversary


@dataclass(frozen=True)
class Budget:
    """What a recipe may spend on one kind of device.

    `minutes` of training in all, over every slice of `slice_minutes` (None: in one go), or so many `steps`. `lr` is the
    highest rate, `patch` the side in pixels of what the network sees, `queries` the samples asked of each patch.
    `workers` processes prepare batches (0: none beside this one). `decay`: the last share of the budget, in which a
    rate that was constant falls to nothing; None: it is a cosine.
    """

    minutes: float
    batch: int
    lr: float
    patch: int
    queries: int = 0
    steps: int | None = None
    slice_minutes: float | None = None
    workers: int = 0
    decay: float | None = None


class Recipe(Protocol):
    """One experiment, a dataclass: what is learnt, from which batches, by which loss."""

    budget: Budget
    name: str
    ema: float
    autocast: bool

    def network(self) -> nn.Module: ...

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Parameters with their highest learning rates, as the optimiser takes them."""
        ...

    def open(self, data: Path, cache: Path | None = None) -> str:
        """Reads the data and returns its hash."""
        ...

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]: ...

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
        """The number to lower, and what to log beside it."""
        ...


@dataclass
class Run:
    """State of a run; what a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    decaying: bool = False
    adversary: Adversary | None = None
    identity: dict[str, Any] = field(default_factory=dict)  # what a resumed run must share with the one it goes on with


@dataclass(frozen=True)
class Options:
    """Where a run reads, writes and computes, and what it starts from.

    `began`: the `time.monotonic` that a slice is counted from, None: its first step.
    """

    data: Path
    out: Path
    device: str = "cpu"
    seed: int = 0
    resume: bool = False
    init: Path | None = None
    cache: Path | None = None
    began: float | None = None
