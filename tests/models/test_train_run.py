"""Budgets, and the words of the command line that change them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from models.train import __main__ as command
from models.train.degradations import Degradation
from tests.models.runs import MODULES, words


@pytest.mark.parametrize("name", MODULES)
def test_each_recipe_fits_two_hours_of_two_cores_and_slices_of_a_gpu(name: str) -> None:
    budgets = MODULES[name].BUDGETS
    assert budgets["cpu"].minutes <= 120
    assert budgets["cuda"].minutes <= 22
    assert budgets["cuda"].slice_minutes <= 9


def test_the_command_line_changes_any_field_and_refuses_what_does_not_fit(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["liif-real", "--data", str(data), "--device", "cpu"]
    more = ["--lr", "0.001", "--set", "degradation.jpeg=1", "--set", "degradation.jpeg_quality=[50,60]"]
    recipe = command.make_recipe(command.read_arguments([*given, *more]))
    assert recipe.budget.lr == 0.001
    assert recipe.degradation == dataclasses.replace(Degradation(), jpeg=1, jpeg_quality=(50, 60))
    for wrong in ("speed=3", "degradation.jpeg=often", "ema=[1]", "degradation=3"):
        with pytest.raises(SystemExit):
            command.read_arguments([*given, "--set", wrong])
    assert "no field 'speed', known are budget, name" in capsys.readouterr().err


@pytest.mark.parametrize(
    "asked",
    [
        ("--steps", "0"),
        ("--minutes", "-1"),
        ("--minutes", "nan"),
        ("--lr", "nan"),
        ("--batch", "0"),
        ("--workers", "-1"),
        ("--set", "budget.patch=-4"),
        ("--set", "ema=abc"),
    ],
)
def test_a_budget_that_nothing_can_be_learnt_with_is_a_sentence(
    data: Path, tmp_path: Path, asked: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        command.main([*words("liif", data, tmp_path / "run"), *asked])
    assert asked[1].partition("=")[2] or asked[1] in f"{left.value.code}{capsys.readouterr().err}"
    assert left.value.code != 0
    assert not (tmp_path / "run").exists()
