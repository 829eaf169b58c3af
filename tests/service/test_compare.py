"""`lutra compare`: one page with a picture by each model, which needs nothing but itself."""

from __future__ import annotations

import base64
import re
from pathlib import Path

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
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)" alt="by ([a-z-]+)"', text)
    assert [name for _, name in pictures] == ["nearest", "bicubic", "eclut"]
    assert {opened(base64.b64decode(data)).size for data, _ in pictures} == {(160, 120)}
    assert len(re.findall(r"160x120, [0-9.]+ s, [0-9,]+ bytes", text)) == 3
    assert "&lt;photo&gt;.jpg" in text and "<photo>" not in text and "{{" not in text
    assert not re.search(r"(src|href)=.?http", text)


def test_a_model_that_cannot_says_why_and_the_others_are_shown(picture: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["compare", str(picture), "--scale", "7.5", "--models", "nearest,srresnet", "-o", str(page)]
    assert main(words) == 0
    assert "by nearest" in page.read_text() and "scale 7.5" in page.read_text()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
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
