"""The benchmark of /restore: steps across tiles beside those inside, costs beside a plain network in the same run."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import restore


def test_steps_are_told_across_borders_and_inside_and_what_tiling_added() -> None:
    whole = np.zeros((4, 8, 3), int)
    whole[:, 2:] += 9
    found = whole.copy()
    found[:, 4:] += 2
    assert restore.steps(found, whole, 1, [4]) == (2, 9, 2)
    assert restore.steps(whole, whole, 1, [4]) == (0, 9, 0)
    assert restore.steps(found, whole, 0, []) == (0, 0, 0)


def test_a_plain_network_takes_turns_with_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    restore.main(["--models", "airnet-u", "--height", "64", "--width", "96", "--rounds", "2", "--precision", "fp32"])
    said = capsys.readouterr().out
    assert "64x96" in said and "2 rounds" in said
    lines = [line for line in said.splitlines() if " CPU s " in line]
    assert [line.split("float32")[0].strip() for line in lines] == ["airnet-u", "a plain network"]
    assert lines[1].endswith("1.00, 1.00")


def test_tiles_are_held_against_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--height", "112", "--width", "224", "--tile", "96", "--precision", "fp32", "--whole"]
    restore.main(["--models", "airnet-u", "airnet", *words])
    exact, blended = capsys.readouterr().out.split("airnet-u, ")[1].split("airnet, ")
    assert exact.startswith("112x224: tiles 6, largest difference to the whole 0 of 255")
    assert blended.startswith("112x224: tiles ")
