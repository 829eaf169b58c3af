"""Figures that papers print: each stands beside ours in its table, and none under a name that nothing has."""

from __future__ import annotations

import pytest

from models.cards import BY_NAME
from models.train import report
from models.train.benchmarks import KNOWN_FIRST, NOISY, SIGMAS, WEATHER_SETS
from models.train.evaluate import BICUBIC, LARGE_SCALES, SCALES, Retouched, Upscaled
from models.train.published import AIRNET, LUT3D_FIVEK_DELTA_E, LUT3D_FIVEK_PSNR, PSNR_Y
from models.train.restoration import Restored


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("model", PSNR_Y)
def test_each_set_and_scale_of_an_upscaler_stands_beside_ours_and_not_beside_jpegs(model: str) -> None:
    assert model in BY_NAME
    for name, by_scale in PSNR_Y[model].items():
        assert name in KNOWN_FIRST
        assert set(by_scale) == {*SCALES, *LARGE_SCALES}
        for scale, decibels in by_scale.items():
            rows = [
                Upscaled(one, name, scale, jpeg, 5, 30.0, 0.9, 29.0, 0.9, 1.0)
                for one in (model, BICUBIC)
                for jpeg in (None, 75)
            ]
            clean, lossy = report.upscaled_table(model, rows).splitlines()[2:]
            assert cells(clean)[4] == f"{decibels:.2f}"
            assert cells(lossy)[4] == ""


def test_each_damage_of_a_restorer_stands_beside_ours() -> None:
    measured = {(NOISY, f"sigma {sigma}") for sigma in SIGMAS} | set(WEATHER_SETS.items())
    assert AIRNET.keys() <= measured
    for (name, damage), (decibels, similarity) in AIRNET.items():
        line = report.restored_table([Restored("airnet", name, damage, 2, 30.0, 0.9, 20.0, 0.5, 1.0)]).splitlines()[-1]
        assert (cells(line)[4], cells(line)[8]) == (f"{decibels:.2f}", f"{similarity:.3f}")
    haze = Restored("airnet", "sots_indoor20", "haze", 20, 30.0, 0.9, 20.0, 0.5, 1.0)
    assert cells(report.restored_table([haze]).splitlines()[-1])[4] == ""


def test_the_retouchers_stand_below_ours_as_of_other_pictures() -> None:
    ours = Retouched("lut3d", "fivek9", "target", 9, 22.0, 3.0, 18.0, 27.0, 0.9, 9.0)
    last = cells(report.retouched_table([ours]).splitlines()[-1])
    assert last[2] == "the paper, other pictures"
    assert (last[3], last[-1]) == (f"{LUT3D_FIVEK_PSNR}", f"{LUT3D_FIVEK_DELTA_E}")
