"""How a restorer is measured: by its own picture of the whole, what it moved, and under a look where it wants one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models import weights
from models.train import __main__ as command
from models.train import evaluate, report, restoration
from models.train.benchmarks import Trial
from tests.living import photo
from tests.models.brought import drawn_airnet_u

CLEAN = photo(48, 64)


class Brighter(nn.Module):
    """By a level of 255, in one channel by three."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return windows + torch.tensor([1.0, 3.0, 1.0])[:, None, None] / 255


def judged(model: object, clean: np.ndarray = CLEAN) -> dict[str, float]:
    return restoration.judge_restored(model, clean, clean)  # type: ignore[arg-type]


def test_what_a_sound_picture_loses_is_told_in_levels() -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    found = judged(Brighter(), grey)
    assert found["largest"] == pytest.approx(3, abs=1e-3)
    assert found["mean_moved"] == pytest.approx(3, abs=1e-3)
    assert found["psnr"] == pytest.approx(-10 * np.log10((1 + 9 + 1) / 3 / 255**2), abs=1e-3)
    assert found["psnr_y"] > found["psnr"]
    assert not np.isfinite(found["psnr_input"])


def test_a_picture_that_stays_counts_as_a_hundred_decibels_and_rows_stay_numbers() -> None:
    assert judged(nn.Identity())["psnr"] == restoration.MOST_DB
    trial = Trial("fields", Path(), "clean", make=lambda: iter([(CLEAN, CLEAN)]))
    (row,) = restoration.evaluate_restorer("airnet-u", nn.Identity(), [trial])  # type: ignore[arg-type]
    assert (row.psnr, row.psnr_input) == (100, None)
    assert (row.largest, row.mean_moved) == pytest.approx((0, 0), abs=1e-4)
    assert evaluate.scores_of([row], "airnet-u")["fields clean RGB largest change"] == 0
    assert "| fields, 1 | clean | **100.00** |" in report.restored_table([row])


def test_sixteen_bits_are_measured_as_such() -> None:
    deep = CLEAN.astype(np.uint16) * 257 + 3
    assert judged(nn.Identity(), deep)["largest"] < 1e-3
    assert judged(Brighter(), deep)["mean_moved"] == pytest.approx(3, abs=0.2)


def test_a_restorer_that_wants_a_look_is_given_one() -> None:
    network = drawn_airnet_u().served()
    found = restoration.restore(network, CLEAN)
    assert found.shape == CLEAN.shape
    assert 0 <= found.min() <= found.max() <= 1
    assert np.abs(255 * found - CLEAN).max() > 1


def test_a_run_of_airnet_u_is_measured_at_its_end_and_by_the_command(
    wet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, threads = tmp_path / "run", ["--threads", "1"]
    small = ("width=8", "down=[1,1,1,1]", "middle=1", "up=[1,1,1,1]", "encoder=[8,8,8]", "code=16", "hidden=16")
    changed = [*(f"config.{key}" for key in small), "budget.patch=32", "first_patch=32"]
    words = [word for key in changed for word in ("--set", key)]
    command.main(
        ["airnet-u", "--data", str(wet), "--out", str(out), "--device", "cpu", "--steps", "2", *words, *threads]
    )
    path = out / "airnet-u.safetensors"
    assert "CBSD68 sigma 25 RGB" in weights.load(path).facts["scores"]
    capsys.readouterr()
    evaluated = ["evaluate", "airnet-u", "--data", str(wet), "--weights", str(path), "--device", "cpu", *threads]
    command.main([*evaluated, "--first", "1", "--sets", "flat fields", "kodak24", "slopes of 16 bits"])
    told = capsys.readouterr().out
    for row in ("| flat fields, 1 | clean |", "| kodak24, 1 | mixed |", "| kodak24, 1 | JPEG 10 |", "16 bits, 1"):
        assert row in told
