"""Budgets, and the words of the command line that change them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

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


def changed(data: Path, name: str, word: str) -> Any:
    """The recipe with `--set word`."""
    return command.make_recipe(command.read_arguments([name, "--data", str(data), "--device", "cpu", "--set", word]))


@pytest.mark.parametrize("word", ["false", "False"])
def test_a_yes_or_no_is_spelt_as_in_json_or_as_in_python(data: Path, word: str) -> None:
    assert changed(data, "lmliif", f"teach_first={word}").teach_first is False
    assert (
        changed(data, "lmliif", f"autocast={word.replace('false', 'true').replace('False', 'True')}").autocast is True
    )


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("budget.decay=0.5", "decay", 0.5),
        ("budget.decay=1", "decay", 1),
        ("budget.decay=None", "decay", None),
        ("budget.slice_minutes=null", "slice_minutes", None),
    ],
)
def test_what_may_be_left_open_can_be_set_and_left_open_again(data: Path, word: str, field: str, value: object) -> None:
    assert getattr(changed(data, "liif", word).budget, field) == value


@pytest.mark.parametrize("word", ["scales=(2,3)", "scales=[2,3]"])
def test_several_numbers_are_a_list_or_a_tuple(data: Path, word: str) -> None:
    assert changed(data, "lmliif", word.replace("scales", "fixed_scales")).fixed_scales == (2, 3)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("teach_first=yes", "teach_first is True, which yes cannot replace: bool is expected"),
        ("teach_first=1", "teach_first is True, which 1 cannot replace: bool is expected"),
        ("ema=True", "which True cannot replace: float is expected"),
        ("budget.batch=true", "which true cannot replace: int is expected"),
        ("budget.batch=2.5", "which 2.5 cannot replace: int is expected"),
        ("budget.decay=often", "decay is 0.2, which often cannot replace: float | None is expected"),
        ("fixed_scales=3", "which 3 cannot replace: tuple[int, ...] is expected"),
    ],
)
def test_what_does_not_fit_is_told_with_what_is_expected(
    data: Path, word: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        changed(data, "lmliif", word)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", MODULES)
def test_every_field_of_every_recipe_says_what_it_may_hold(name: str, data: Path) -> None:
    recipe = command.make_recipe(command.read_arguments([name, "--data", str(data), "--device", "cpu"]))
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if isinstance(value, (bool, int, float)):
            assert getattr(command.change(recipe, [field.name], repr(value)), field.name) == value


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
        ("--set", "budget.decay=0"),
        ("--set", "budget.decay=1.5"),
        ("--set", "budget.decay=nan"),
        ("--set", "ema=abc"),
    ],
)
def test_a_budget_that_nothing_can_be_learnt_with_is_a_sentence(
    data: Path, tmp_path: Path, asked: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        command.main([*words("liif", data, tmp_path / "run"), *asked])
    assert (asked[1].partition("=")[2] or asked[1]) in f"{left.value.code}{capsys.readouterr().err}"
    assert left.value.code != 0
    assert not (tmp_path / "run").exists()
