"""The commands that draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.train import __main__ as command
from models.train import examples, sheet
from models.train.examples import SIDE


def run(*words: str | Path) -> None:
    command.main([*map(str, words), "--threads", str(torch.get_num_threads())])


def test_the_command_writes_the_card_of_each_model_that_it_is_told(
    shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("cards", "eclut", "lut3d", "airnet-u", "--data", shown, "-o", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"eclut.webp", "lut3d.webp", "airnet-u.webp"}
    with Image.open(tmp_path / "out" / "airnet-u.webp") as drawn:
        rows = len(examples.GALLERIES["airnet-u"].examples)
        size = (sheet.GAP + 4 * (SIDE + sheet.GAP), sheet.HEAD + rows * (sheet.HEAD + SIDE + sheet.GAP))
        assert drawn.size == size
    with pytest.raises(SystemExit):
        run("cards", "span", "--data", shown, "-o", tmp_path / "out")
    assert "span cannot be shown" in capsys.readouterr().err


def test_eight_crops_of_a_small_jpeg_are_shown_with_the_seconds_that_each_model_took(
    shown: Path, tmp_path: Path
) -> None:
    run("crops", "nearest", "bicubic", "--data", shown, "-o", tmp_path / "crops.png")
    each = sheet.HEAD + SIDE + sheet.GAP + sheet.HEAD
    found = np.asarray(Image.open(tmp_path / "crops.png"))
    assert found.shape == (sheet.HEAD + 8 * each, sheet.GAP + 4 * (SIDE + sheet.GAP), 3)
    kinds = [one.label.partition(",")[0] for one in examples.CROPS]
    assert kinds == ["face", "foliage", "text", "building", "water", "fabric", "drawing", "night"]
    columns = [found[2 * sheet.HEAD :][:SIDE, sheet.GAP + k * (SIDE + sheet.GAP) :][:, :99] for k in range(4)]
    assert np.array_equal(columns[0], columns[1]) and not np.array_equal(columns[1], columns[2])
    below = found[2 * sheet.HEAD + SIDE :][: sheet.HEAD, sheet.GAP + SIDE + sheet.GAP :]
    assert below.min() < 100  # seconds, in dark letters


def test_the_plot_is_drawn_of_what_is_kept(tmp_path: Path) -> None:
    command.main(["plot", "-o", str(tmp_path / "plot.svg")])
    drawn = (tmp_path / "plot.svg").read_text()
    assert {"lmliif", "span (published)", "IMDN (published)"} <= set(drawn.replace("<", ">").split(">"))
