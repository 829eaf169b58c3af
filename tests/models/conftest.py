from __future__ import annotations

from pathlib import Path

import pytest

from models.train import loop
from tests.models.drawn import draw_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder laid out like the real one, with drawn pictures."""
    return draw_data(tmp_path / "data")


@pytest.fixture
def log_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
