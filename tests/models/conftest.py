from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.drawn import draw_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder laid out like the real one, with drawn pictures."""
    return draw_data(tmp_path / "data")
