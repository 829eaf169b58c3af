"""What a run leaves in TensorBoard and on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.train import journal


def test_the_curves_stand_in_tensorboard_where_it_is(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with journal.Journal(tmp_path, "liif") as told:
        for step in (50, 100):
            told.step(step, 1.0, 0.5, 60.0, 1e-4, {"loss": step / 1000})
    found = loader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(one.step, round(one.value, 6)) for one in found.Scalars("loss")] == [(50, 0.05), (100, 0.1)]


def test_time_is_told_as_a_clock_does() -> None:
    assert [journal.clock(seconds) for seconds in (-3, 9, 90, 3661)] == ["0:00", "0:09", "1:30", "1:01:01"]
