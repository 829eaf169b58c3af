"""Benchmark folders: which there are, pairs at any scale, and what spoils the pictures of restoration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.train import benchmarks
from models.train.benchmarks import enlarged, find_sets, read_pairs, shrink
from models.train.data import list_pictures, read_rgb, resize
from models.train.degradations import through_jpeg
from tests.models.drawn import draw_photo


@pytest.mark.parametrize("scale", [1.5, 2, 2.7, 3, 4, 8])
def test_small_and_large_pictures_of_a_set_belong_together_at_any_scale(data: Path, scale: float) -> None:
    for pair in read_pairs(data / "bench" / "Set5", scale):
        assert pair.hr.shape[:2] == tuple(enlarged(side, scale) for side in pair.lr.shape[:2])
        assert (48 - pair.hr.shape[0], 61 - pair.hr.shape[1]) < (scale, scale)
        assert np.array_equal(pair.lr, shrink(pair.hr, scale))


def test_sets_are_found_below_any_folder(data: Path) -> None:
    assert list(find_sets(data)) == ["Set5"]
    assert list(find_sets(data / "bench" / "Set5")) == ["Set5"]
    assert list(find_sets(data, "input")) == ["fivek9"]


def test_the_given_small_pictures_are_used_where_there_are_some(data: Path) -> None:
    folder = data / "bench" / "Set5"
    (folder / "LRx2").mkdir()
    for path in list_pictures(folder / "HR"):
        Image.new("RGB", (30, 24)).save(folder / "LRx2" / path.name)
    assert all(not pair.lr.any() and pair.hr.shape == (48, 60, 3) for pair in read_pairs(folder, 2))
    hr = read_rgb(folder / "HR" / "b0.png")
    pair = next(read_pairs(folder, 3))
    assert np.array_equal(pair.lr, resize(hr[:48, :60], (16, 20)))


def test_a_small_picture_larger_than_its_original_is_refused(tmp_path: Path) -> None:
    for folder in ("HR", "LRx2"):
        (tmp_path / folder).mkdir()
        draw_photo(tmp_path / folder / "a.png", (40, 30), 0)
    with pytest.raises(OSError, match="larger than"):
        list(read_pairs(tmp_path, 2))


def test_noise_is_the_published_drawn_in_the_order_of_the_list_and_cut_off(wet: Path) -> None:
    (trial,) = (one for one in benchmarks.published_trials(wet) if one.damage == "sigma 25")
    assert [path.name for path in trial.pictures] == ["n1.png", "n0.png"]
    random = np.random.RandomState(0)
    for path, (spoilt, clean) in zip(trial.pictures, benchmarks.read_trial(trial), strict=True):
        photo = read_rgb(path)[4:36, 1:49]
        assert np.array_equal(clean, photo)
        wanted = np.floor((photo + 25 * random.randn(32, 48, 3)).clip(0, 255))
        assert np.array_equal(spoilt, wanted)
    assert len(list(benchmarks.read_trial(trial, first=1))) == 1


def test_what_is_measured_unless_told(wet: Path) -> None:
    trials = benchmarks.published_trials(wet)
    assert [(one.set, one.damage) for one in trials] == [
        ("CBSD68", "sigma 15"),
        ("CBSD68", "sigma 25"),
        ("CBSD68", "sigma 50"),
        ("rain100l", "rain"),
        ("sots_indoor20", "haze"),
        *(("kodak24", f"JPEG {quality}") for quality in (10, 20, 30, 40)),
        ("kodak24", "clean"),
    ]
    told = benchmarks.choose_trials(benchmarks.published_trials(wet, [55]), ["kodak24"], wet)
    assert [one.damage for one in told] == ["JPEG 55", "clean"]
    spoilt, clean = next(benchmarks.read_trial(told[0]))
    assert np.array_equal(spoilt, through_jpeg(clean, 55))
    spoilt, clean = next(benchmarks.read_trial(told[1]))
    assert np.array_equal(spoilt, clean)
    pairs = next(benchmarks.read_trial(trials[3]))
    folder = wet / "bench" / "rain100l"
    whole = [read_rgb(list_pictures(folder / part)[0])[4:36, 1:49] for part in ("input", "target")]
    assert all(np.array_equal(a, b) for a, b in zip(pairs, whole, strict=True))
    with pytest.raises(FileNotFoundError, match=r"no set sots_outdoor2 below .* found CBSD68"):
        benchmarks.choose_trials(benchmarks.published_trials(wet), ["sots_outdoor2"], wet)
