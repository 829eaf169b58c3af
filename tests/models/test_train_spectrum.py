from __future__ import annotations

import numpy as np
import pytest

from models.train.spectrum import detail_db, top_octave


def wave(frequency: float, side: int = 64, along: int = 0) -> np.ndarray:
    line = np.cos(2 * np.pi * frequency * np.arange(side))
    return np.broadcast_to(line, (side, side)) if along else np.broadcast_to(line[:, None], (side, side))


@pytest.mark.parametrize("along", [0, 1])
@pytest.mark.parametrize("side", [63, 64])
def test_only_what_is_finer_than_a_quarter_of_a_cycle_counts(along: int, side: int) -> None:
    coarse, fine = wave(0.15, side, along), wave(0.35, side, along)
    assert top_octave(coarse) < 1e-4 * top_octave(fine)
    assert detail_db(coarse + fine, fine) == pytest.approx(0, abs=0.02)


def test_rows_and_columns_weigh_the_same() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 57))
    assert top_octave(noise) == pytest.approx(top_octave(noise.T))


def test_energy_grows_with_the_square() -> None:
    noise = np.random.default_rng(0).normal(size=(48, 48))
    assert detail_db(noise / 2, noise) == pytest.approx(-20 * np.log10(2))
    assert detail_db(noise + 7, noise) == pytest.approx(0, abs=1e-9)


def test_a_frame_with_different_ends_is_no_detail() -> None:
    ramp = np.linspace(0, 1, 64)[:, None] * np.ones(64)
    assert detail_db(ramp, wave(0.35)) < -60


def test_no_detail_is_infinitely_little() -> None:
    flat = np.full((32, 32), 0.5)
    assert detail_db(flat, wave(0.35, 32)) == -np.inf
    assert np.isnan(detail_db(flat, flat))
