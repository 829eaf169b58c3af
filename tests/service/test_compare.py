"""`lutra compare`: one page with a picture by each model, which needs nothing but itself."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from service.cli import main
from tests.living import as_file, opened, photo

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "<photo>.jpg"
    path.write_bytes(as_file(photo()))
    return path


def test_every_model_stands_beside_the_others_with_what_it_took(picture: Path, capsys: Captured) -> None:
    words = ["compare", str(picture), "--scale", "2.5", "--models", "nearest,bicubic,eclut"]
    assert main(words) == 0
    page = picture.with_name("<photo>-compared.html")
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)" alt="([a-z-]+)"', text)
    assert [name for _, name in pictures] == ["nearest", "bicubic", "eclut"]
    assert {opened(base64.b64decode(data)).size for data, _ in pictures} == {(160, 120)}
    assert len(re.findall(r"160x120, [0-9.]+ s, [0-9,]+ bytes", text)) == 3
    assert "&lt;photo&gt;.jpg" in text and "<photo>" not in text and "{{" not in text
    assert not re.search(r"(src|href)=.?http", text)


def test_a_model_that_cannot_says_why_and_the_others_are_shown(picture: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["compare", str(picture), "--scale", "7.5", "--models", "nearest,srresnet", "-o", str(page)]
    assert main(words) == 0
    assert 'alt="nearest"' in page.read_text() and "scale 7.5" in page.read_text()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            ["--operation", "enhance"],
            ["original", *(f"lut3d, strength {share}" for share in (0.25, 0.5, 0.75)), "lut3d"],
        ),
        (["--operation", "restore"], ["original", "airnet-u", "airnet"]),
        (
            ["--operation", "restore", "--strengths", "0.3,1", "--models", "airnet-u"],
            ["original", "airnet-u, strength 0.3", "airnet-u"],
        ),
    ],
)
def test_what_keeps_its_size_stands_beside_the_picture_as_it_came(
    picture: Path, words: list[str], shown: list[str]
) -> None:
    noise = np.random.default_rng(1).normal(0, 25, photo().shape)
    picture.write_bytes(as_file((photo() + noise).clip(0, 255).astype(np.uint8), "PNG"))
    assert main(["compare", str(picture), *words]) == 0
    text = picture.with_name("<photo>-compared.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)" alt="([^"]+)"', text)
    assert [name for _, name in pictures] == shown
    seen = [np.asarray(opened(base64.b64decode(data)), int) for data, _ in pictures]
    assert np.array_equal(seen[0], np.asarray(opened(picture.read_bytes())))
    changes = [np.abs(one - seen[0]).mean() for one in seen]
    assert changes[0] == 0 < min(changes[1:])
    if "airnet" not in shown:  # of one model: more strength, more change
        assert changes == sorted(changes)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--operation", "enhance", "--scale", "2"], 2, "enhance has no scale"),
        (["--operation", "enhance", "--strengths", "0,1"], 2, "--strengths 0,1: each has to be more than 0, at most 1"),
        (["--operation", "enhance", "--strengths", "half"], 2, "--strengths half are not numbers"),
        (["--operation", "restore", "--only", "rain", "--models", "airnet"], 1, "no model could do it: airnet cannot"),
        (["--scale", "2", "--models", "nothing"], 2, "no model is named 'nothing'; known are"),
        (["--models", "nearest"], 2, "no size asked for"),
        (["--scale", "7.5", "--models", "srresnet"], 1, "no model could do it: scale 7.5"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_no_page(
    picture: Path, words: list[str], status: int, sentence: str, capsys: Captured
) -> None:
    assert main(["compare", str(picture), *words]) == status
    assert sentence in capsys.readouterr().err
    assert list(picture.parent.iterdir()) == [picture]
