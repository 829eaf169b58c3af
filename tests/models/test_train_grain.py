"""Crops with grain of their own: found where there is grain and nothing else, shown beside what models make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.train import __main__ as command
from models.train import grain, sheet
from tests.models.brought import bring_airnet_u

SIGMA = 3.5


def photo(path: Path, sigma: float, edges: bool = False, seed: int = 0) -> Path:
    """A slope with noise on its right half; with `edges` stripes run over it."""
    rng = np.random.default_rng(seed)
    luma = np.linspace(80, 150, 240)[None] + np.zeros((144, 1))
    luma[:, 120:] += sigma * rng.standard_normal((144, 120))
    luma += 60 * (np.arange(240) // 9 % 2) * edges
    Image.fromarray(np.repeat(luma.clip(0, 255).astype(np.uint8)[..., None], 3, 2)).save(path)
    return path


def test_the_grainy_part_of_a_photograph_is_found_and_how_strong_it_is(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png", SIGMA)
    (found,) = grain.find([path], 2)
    assert found.path == path
    assert found.left >= 120 - grain.BLOCK
    assert found.sigma == pytest.approx(SIGMA, rel=0.2)


def test_neither_a_smooth_picture_nor_one_full_of_edges_has_grain(tmp_path: Path) -> None:
    smooth, full = photo(tmp_path / "a.png", 0), photo(tmp_path / "b.png", SIGMA, edges=True)
    assert grain.find([smooth, full], 2) == []


def test_the_strongest_grain_comes_first(tmp_path: Path) -> None:
    paths = [photo(tmp_path / f"{sigma}.png", sigma, seed=int(10 * sigma)) for sigma in (2.5, 3.6, 3)]
    assert [one.path.stem for one in grain.find(paths, 2)] == ["3.6", "3", "2.5"]


def test_a_model_sees_the_crop_among_its_surroundings(tmp_path: Path) -> None:
    crop = grain.Crop(photo(tmp_path / "a.png", SIGMA), 36, 132, 3.5)
    near, spot = grain.around(crop)
    whole = np.asarray(Image.open(crop.path))
    assert near.shape[0] > grain.SIDE and near.shape[1] > grain.SIDE
    assert np.array_equal(near[spot], whole[36 : 36 + grain.SIDE, 132 : 132 + grain.SIDE])


def test_the_command_counts_them_and_draws_a_row_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, sigma in (("a.png", 2.5), ("b.png", 3.3), ("c.png", 0), ("d.png", 3.6)):
        photo(folder / name, sigma, seed=int(10 * sigma))
    bring_airnet_u(tmp_path / "own")
    weights = tmp_path / "own" / "airnet-u.safetensors"
    words = ["grain", str(folder), "-o", str(tmp_path / "sheet.png"), "--without", "d.png", "--models", "airnet-u"]
    command.main([*words, "--weights", str(weights), "--threads", str(torch.get_num_threads())])
    said = capsys.readouterr().out
    assert "grain in 2 of 3 photographs" in said and said.index("1 b.png") < said.index("2 a.png")
    found = np.asarray(Image.open(tmp_path / "sheet.png"))
    step = grain.SIDE + sheet.GAP
    assert found.shape == (sheet.HEAD + 2 * (step + sheet.HEAD), sheet.GAP + 2 * step, 3)
    shown, restored = (found[sheet.HEAD + 30 : sheet.HEAD + 96, at : at + 96].astype(float) for at in (6, 6 + step))
    assert not np.array_equal(restored, shown)
