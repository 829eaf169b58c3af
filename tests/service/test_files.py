"""Pictures as files, in and out, by the command line: names, formats, folders, and what is never overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.cli import main
from tests.living import as_file, opened, photo


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(as_file(photo()))
    return path


def test_upscale_writes_a_file_of_the_size_and_format_named(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "big.png"
    assert main(["upscale", str(picture), "-o", str(out), "--scale", "3.7", "--model", "bicubic"]) == 0
    assert opened(out.read_bytes()).size == (237, 178)
    assert [path.name for path in out.parent.iterdir()] == ["big.png"]


def test_enhance_of_strength_zero_gives_the_same_picture(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "same.png"
    assert main(["enhance", str(picture), "-o", str(out), "--strength", "0"]) == 0
    before, after = (np.asarray(Image.open(path), int) for path in (picture, out))
    assert np.abs(before - after).max() <= 2


def test_a_folder_goes_in_and_what_fails_is_named_while_the_others_go_on(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(picture.read_bytes())
    (folder / "broken.jpg").write_bytes(picture.read_bytes()[:-600])
    status = main(["upscale", str(folder), "-o", str(tmp_path / "out"), "--scale", "2", "--model", "nearest"])
    assert status == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "b.jpg"]
    assert "broken.jpg" in capsys.readouterr().err


def test_an_output_that_no_format_fits_is_refused(picture: Path, tmp_path: Path) -> None:
    for name in ("x.gif", "x.xyz"):
        assert main(["enhance", str(picture), "-o", str(tmp_path / name)]) == 2
        assert not (tmp_path / name).exists()


def test_a_picture_that_is_not_there_and_an_output_that_cannot_be_are_sentences(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upscale", str(tmp_path / "none.jpg"), "-o", str(tmp_path / "x.png"), "--scale", "2"]) == 1
    assert "none.jpg: No such file" in capsys.readouterr().err
    assert main(["upscale", str(picture), str(picture), "-o", str(tmp_path), "--scale", "2"]) == 1
    assert "both become" in capsys.readouterr().err


def test_pictures_of_one_stem_and_two_formats_go_side_by_side_and_meet_only_under_one_name(
    picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both, out = picture.parent / "both", picture.parent / "out"
    both.mkdir()
    for suffix in (".jpg", ".png"):
        Image.open(picture).convert("RGB").save(both / f"a{suffix}")
    assert main(["enhance", str(both), "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "a.png"]
    assert main(["enhance", str(both), "-o", str(picture.parent / "one"), "--format", "png"]) == 1
    assert "would both become a.png" in capsys.readouterr().err


def test_a_picture_is_never_overwritten_by_its_better_self(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = picture.read_bytes()
    assert main(["enhance", str(picture), "-o", str(picture)]) == 1
    assert main(["enhance", str(picture.parent), "-o", str(picture.parent)]) == 1
    assert picture.read_bytes() == before
    assert "overwrite" in capsys.readouterr().err
