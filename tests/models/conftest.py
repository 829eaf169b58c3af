from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

from models.train import examples, loop, teacher
from tests.models.drawn import draw_data, draw_photo
from tests.models.drawn_span import plain


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder laid out like the real one, with drawn pictures."""
    return draw_data(tmp_path / "data")


@pytest.fixture
def log_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)


@pytest.fixture
def wet(data: Path) -> Path:
    """Drawn data with pairs of weather and the benchmarks of restoration."""
    for kind in ("rain", "haze"):
        for part, seed in (("input", 70), ("target", 80)):
            draw_photo(data / "train" / kind / part / "w0.png", (50, 60), seed)
    for name in ("rain100l", "sots_indoor20"):
        for part, seed in (("input", 90), ("target", 95)):
            draw_photo(data / "bench" / name / part / "w0.png", (40, 50), seed)
    for k in range(2):
        draw_photo(data / "bench" / "BSD100" / "HR" / f"n{k}.png", (40, 50), 100 + k)
    (data / "bench" / "cbsd68").mkdir()
    (data / "bench" / "cbsd68" / "LIST.txt").write_text("# two of them\nn1.png\t7\nn0.png\t9\n")
    return data


@pytest.fixture
def taught(data: Path) -> Path:
    """The data folder with a teacher in it."""
    (data / teacher.FOLDER).mkdir(parents=True)
    for scale in (2, 4):
        save_file(plain(8, scale), data / teacher.FOLDER / f"span_x{scale}_ch8.safetensors")
    return data


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """Drawn pictures in place of the photographs that cards and crops show."""
    everything = [one for card in examples.GALLERIES.values() for one in card.examples] + list(examples.CROPS)
    for number, name in enumerate(sorted({one.picture for one in everything if isinstance(one.picture, str)})):
        path = tmp_path / name
        draw_photo(path.with_suffix(".png"), (360, 480), number)
        if path.suffix != ".png":
            Image.open(path.with_suffix(".png")).save(path, lossless=True)
    return tmp_path
