"""What a folder holds is told by its files' bytes; what is passed over is named; no name ends a run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import main
from service.folders import find_pictures, shown
from tests.living import as_file, opened, photo
from workers.errors import LutraError

ROOT = Path(__file__).parent.parent.parent
JPEG, PNG, GIF = as_file(photo()), as_file(photo(), "PNG"), as_file(photo(), "GIF")
NEAREST = ["--scale", "2", "--model", "nearest"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


def fill(folder: Path, **files: bytes) -> None:
    """Files by their names, `__` for the dot."""
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)


def upscale(folder: Path, out: Path) -> int:
    return main(["upscale", str(folder), "-o", str(out), *NEAREST])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pictures_are_told_by_their_bytes_whatever_they_are_called(folder: Path, tmp_path: Path) -> None:
    fill(folder, plain__jpg=JPEG, saved__jfif=JPEG, old__JPE=JPEG, bare=PNG, wrong__txt=PNG, lying__png=JPEG)
    assert upscale(folder, tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["bare.png", "lying.jpg", "old.JPE", "plain.jpg", "saved.jfif", "wrong.png"]
    for path in (tmp_path / "out").iterdir():
        image = opened(path.read_bytes())
        assert (image.size, image.format) == ((128, 96), "PNG" if path.suffix == ".png" else "JPEG")


def test_what_is_left_out_is_named_and_fails_only_if_it_should_have_been_a_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(folder, a__jpg=JPEG, notes__txt=b"words", _DS_Store=b"")
    (folder / "deeper").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    assert upscale(folder, tmp_path / "out") == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    for name in ("notes.txt", "_DS_Store", "deeper", "pipe.jpg"):
        assert [line for line in told if f"{name}: left out: " in line], name
    fill(folder, page__jpg=b"<html>")
    (folder / "gone.dat").symlink_to("nowhere")
    for name in ("page.jpg", "gone.dat"):
        assert upscale(folder, tmp_path / "out") == 1
        assert f"{name}: left out: " in capsys.readouterr().err
        (folder / name).unlink()
    assert upscale(folder, tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["a.jpg"]


def test_a_folder_without_pictures_says_so_after_naming_what_it_holds(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(folder, notes__txt=b"words")
    assert upscale(folder, tmp_path / "out") == 1
    left_out, none = capsys.readouterr().err.splitlines()
    assert "notes.txt" in left_out and "no picture" in none
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("first", "second", "meets"),
    [
        ("a.png", "a.jpg", JPEG),  # a JPEG called .png becomes a.jpg
        ("a.bmp", "a.png", GIF),
        ("a", "a.jpg", JPEG),
    ],
)
def test_two_pictures_that_become_one_name_are_refused_before_either_is_written(
    folder: Path, tmp_path: Path, first: str, second: str, meets: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / first).write_bytes(meets)
    (folder / second).write_bytes(JPEG if second.endswith("jpg") else PNG)
    assert upscale(folder, tmp_path / "out") == 1
    assert f"would both become {second}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_name_that_the_terminal_cannot_show_does_not_end_the_run(folder: Path, tmp_path: Path) -> None:
    odd = [b"caf\xe9.jpg", b"two\nlines.jpg", b"\x1b[2J.jpg", "日本.jpg".encode(), b"z.jpg"]
    for name in odd:
        (folder / os.fsdecode(name)).write_bytes(JPEG)
    (folder / os.fsdecode(b"b\xffroken.jpg")).write_bytes(JPEG[:-600])
    for encoding, japanese in (("utf-8:strict", "日本.jpg"), ("ascii:strict", r"\u65e5\u672c.jpg")):
        out = tmp_path / encoding
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", "upscale", folder, "-o", out, *NEAREST],
            capture_output=True,
            timeout=120,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        told = done.stdout.decode().splitlines()
        assert done.returncode == 1, done.stderr
        assert {Path(line).name for line in told} == {
            r"caf\xe9.jpg",
            r"two\nlines.jpg",
            r"\x1b[2J.jpg",
            japanese,
            "z.jpg",
        }
        assert sorted(os.fsencode(path.name) for path in out.iterdir()) == sorted(odd)
        assert rb"b\xffroken.jpg: the JPEG" in done.stderr and b"Traceback" not in done.stderr


def test_a_name_as_long_as_names_can_be_is_written(folder: Path, tmp_path: Path) -> None:
    (folder / f"{'n' * 251}.jpg").write_bytes(JPEG)
    assert upscale(folder, tmp_path / "out") == 0
    assert names(tmp_path / "out") == [f"{'n' * 251}.jpg"]


def test_a_folder_that_cannot_be_listed_is_a_sentence(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(LutraError, match="in: Permission denied"):
        list(find_pictures([folder]))


def test_shown_names_tell_the_bytes() -> None:
    for name, told in ((b"\xe9", r"\xe9"), ("é\u2028".encode(), "é\\u2028"), (b"a\tb", r"a\tb"), (b"plain", "plain")):
        assert shown(os.fsdecode(name)) == told


def test_an_option_is_never_guessed_from_its_beginning(folder: Path, tmp_path: Path) -> None:
    fill(folder, a__jpg=JPEG)
    for abbreviated in (["--sc", "2"], ["--max-p", "100"], ["--scale", "2", "--mod", "nearest"]):
        with pytest.raises(SystemExit) as end:
            main(["upscale", str(folder), "-o", str(tmp_path / "out"), *abbreviated])
        assert end.value.code == 2
    with pytest.raises(SystemExit):
        main(["--vers"])


def test_every_parser_of_the_project_takes_whole_options_only() -> None:
    guessing = []
    for path in (path for room in ("service", "models", "benchmarks") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("ArgumentParser", "add_parser"):
                whole = [word for word in node.keywords if word.arg == "allow_abbrev"]
                guessing += [] if whole else [f"{path.relative_to(ROOT)}:{node.lineno}"]
    assert guessing == []
