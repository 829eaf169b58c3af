"""How much of a budget lies behind, and the learning rate there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from models.train import schedule
from models.train.run import Run
from tests.models.runs import SMALL


def test_the_rate_rises_shortly_and_falls_to_nothing() -> None:
    assert schedule.cosine(0) < 0.02
    assert schedule.cosine(0.01) > 0.99
    assert schedule.cosine(0.5) == pytest.approx(0.5)
    assert schedule.cosine(1.0) == pytest.approx(0, abs=1e-12)


def test_a_rate_with_a_decay_is_constant_before_it() -> None:
    budget = dataclasses.replace(SMALL["liif"], decay=0.2)
    assert schedule.rate_at(0, budget) < 0.02
    assert schedule.rate_at(0.01, budget) == schedule.rate_at(0.5, budget) == schedule.rate_at(0.79, budget) == 1
    assert schedule.rate_at(0.85, budget) == pytest.approx(0.5)  # 1 - sqrt(1/4)
    assert schedule.rate_at(0.95, budget) < schedule.rate_at(0.9, budget) < 0.5
    assert schedule.rate_at(1.0, budget) == schedule.rate_at(1.2, budget) == 0
    assert schedule.rate_at(0.5, SMALL["liif"]) == pytest.approx(0.5)


def test_the_budget_is_counted_in_steps_where_it_has_some_else_in_minutes(data: Path) -> None:
    run = Run(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), None, step=5, seconds=30)  # type: ignore[arg-type]
    assert schedule.progress(run, dataclasses.replace(SMALL["liif"], steps=20)) == 0.25
    assert schedule.progress(run, dataclasses.replace(SMALL["liif"], steps=None, minutes=2)) == 0.25
    assert schedule.time_left_s(run, dataclasses.replace(SMALL["liif"], steps=20), 2.0) == 30
    assert schedule.time_left_s(run, dataclasses.replace(SMALL["liif"], steps=None, minutes=2), 2.0) == 90
