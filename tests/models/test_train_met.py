"""What restorers are shown beside the published sets: grey noise, damage as met, and what is to stay as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.train import benchmarks, met
from models.train.benchmarks import Trial
from models.train.data import read_rgb


def by_name(data: Path) -> dict[tuple[str, str], Trial]:
    return {(one.set, one.damage): one for one in met.plan(data)}


def test_all_of_it_is_there_with_the_photographs_and_what_is_drawn_without_any(wet: Path, tmp_path: Path) -> None:
    drawn = {(name, "clean") for name in (*met.PAGES, *met.PATTERNS, "flat fields", "slopes of 16 bits")}
    assert set(by_name(tmp_path)) == drawn
    grey = {("CBSD68 grey", f"sigma {sigma}") for sigma in (15, 25, 50)}
    inside = {(f"{name} in photos", "clean") for name in met.PATTERNS}
    small = {("kodak24 crops", "clean"), ("kodak24 crops", "JPEG 40")}
    assert set(by_name(wet)) == drawn | grey | inside | small | {("kodak24", "camera"), ("kodak24", "mixed")}
    assert not {("kodak24", "clean")} & set(by_name(wet)), "measured among the published"


def test_clean_pictures_are_shown_as_they_are_and_drawn_alike_each_time(wet: Path) -> None:
    for (name, damage), trial in by_name(wet).items():
        first, again = (list(benchmarks.read_trial(trial, first=2)) for _ in range(2))
        assert len(first) == 2
        for (spoilt, clean), (spoilt_again, _) in zip(first, again, strict=True):
            assert spoilt.shape == clean.shape and spoilt.dtype == clean.dtype
            assert np.array_equal(spoilt, spoilt_again), name
            assert np.array_equal(spoilt, clean) == (damage == "clean"), name
        assert not np.array_equal(first[0][1], first[1][1])


def test_flat_fields_have_every_level_and_slopes_more_than_eight_bits_hold() -> None:
    fields = list(met.flat_fields())
    assert [int(spoilt[0, 0, 0]) for spoilt, _ in fields] == list(range(256))
    slope, _ = next(met.deep_slopes())
    assert slope.dtype == np.uint16
    assert len(np.unique(slope)) > 5000


def test_grey_noise_is_the_same_in_all_channels_and_as_strong_as_told(wet: Path) -> None:
    for sigma in (15, 50):
        for spoilt, clean in benchmarks.read_trial(by_name(wet)["CBSD68 grey", f"sigma {sigma}"]):
            assert (spoilt == spoilt[..., :1]).all() and (clean == clean[..., :1]).all()
            inner = (clean > 90) & (clean < 165)
            assert (spoilt.astype(float) - clean)[inner].std() == pytest.approx(sigma, rel=0.25)


def test_a_pattern_in_a_photograph_leaves_the_rest_of_it(wet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(met, "SIDE", 16)
    trial = by_name(wet)["checkers in photos", "clean"]
    path = sorted((wet / "bench" / "kodak24").glob("*.png"))[0]
    shown, _ = next(benchmarks.read_trial(trial))
    photo = benchmarks.whole(read_rgb(path))
    top, left = ((side - 16) // 2 for side in photo.shape[:2])
    inside = np.zeros(photo.shape[:2], bool)
    inside[top : top + 16, left : left + 16] = True
    assert np.array_equal(shown[~inside], photo[~inside])
    assert set(np.unique(shown[inside])) <= {0, 255}


def test_a_crop_is_a_picture_of_its_own_sound_or_a_jpeg(wet: Path) -> None:
    trials = by_name(wet)
    for damage, is_sound in (("clean", True), ("JPEG 40", False)):
        pairs = list(benchmarks.read_trial(trials["kodak24 crops", damage]))
        assert len(pairs) == len(list((wet / "bench" / "kodak24").glob("*.png")))
        for spoilt, clean in pairs:
            assert spoilt.shape == clean.shape and max(clean.shape[:2]) <= met.SIDE
            assert np.array_equal(spoilt, clean) == is_sound
