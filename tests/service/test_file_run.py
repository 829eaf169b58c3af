"""A run over many files, whatever computes them: what is there is passed over, what fails is named, pipes are pipes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.file_run import Asked, Compute, Manner, run_on_tasks
from service.file_tasks import Wanted
from service.reports import Better
from tests.living import as_file, photo
from workers.errors import CorruptPicture, ParameterError

JPEG, PNG = as_file(photo()), as_file(photo(), "PNG")
FORMATS = ("jpeg", "png", "webp", "avif", "tiff")


class Computing:
    """Answers with the picture itself, and keeps what it was asked; a picture that ends in `!` is a broken one."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def __call__(self, asked: Asked, tick: Callable[[int, int], None]) -> Better:
        self.asked.append(asked)
        tick(1, 2)
        if asked.data.endswith(b"!"):
            raise CorruptPicture("cut off")
        if asked.data.endswith(b"#"):
            raise ParameterError("too small for this one")
        if asked.data.endswith(b"?"):
            raise KeyboardInterrupt
        return Better(asked.data, asked.format, 64, 48, "same")


def wanted(*inputs: Path | str, output: Path | str | None = None, format_: str = "auto") -> Wanted:
    names = tuple(str(one) for one in inputs)
    return Wanted(names, None if output is None else str(output), format_, FORMATS, "-x2")


def run(what: Wanted, manner: Manner = Manner(), compute: Compute | None = None) -> int:  # noqa: B008
    return run_on_tasks(what, manner, lambda: compute or Computing())


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (made / name).write_bytes(JPEG)
    return made


def test_a_second_run_computes_only_what_is_not_there_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Computing(), Computing()
    (folder / "b.jpg").write_bytes(JPEG + b"!")
    assert run(wanted(folder), compute=first) == 1
    assert names(folder) == ["a-x2.jpg", "a.jpg", "b.jpg", "c-x2.jpg", "c.jpg"]
    (folder / "b.jpg").write_bytes(PNG)
    (folder / ".lutra-left").write_bytes(JPEG[:100])
    assert run(wanted(folder), Manner(skip_existing=True), second) == 0
    assert [one.data for one in second.asked] == [PNG]
    assert names(folder) == ["a-x2.jpg", "a.jpg", "b-x2.png", "b.jpg", "c-x2.jpg", "c.jpg"]
    told = capsys.readouterr().err
    assert "b.jpg: cut off" in told and "a-x2.jpg: left out: a result of this command" in told
    assert "3 pictures in" in told and "1 done, 2 skipped" in told


@pytest.mark.parametrize(("ends", "status"), [(("#", "#"), 2), (("#", ""), 1), (("#", "!"), 1), (("", ""), 0)])
def test_wrong_usage_is_what_parameters_alone_kept_from_all(folder: Path, ends: tuple[str, str], status: int) -> None:
    (folder / "c.jpg").unlink()
    for name, end in zip(("a.jpg", "b.jpg"), ends, strict=True):
        (folder / name).write_bytes(JPEG + end.encode())
    assert run(wanted(folder)) == status


def test_folders_in_folders_are_mirrored_and_the_output_among_them_is_left_alone(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "a.jpg").write_bytes(JPEG)
    (folder / "loop").symlink_to(folder)
    out = folder / "out"
    assert run(wanted(folder, output=out), Manner(recursive=True)) == 0
    assert names(out) == ["a.jpg", "b.jpg", "c.jpg", "deep/er/a.jpg"]
    assert run(wanted(folder, output=out), Manner(recursive=True)) == 0
    assert names(out) == ["a.jpg", "b.jpg", "c.jpg", "deep/er/a.jpg"]


def test_json_tells_of_each_and_quiet_of_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.jpg").write_bytes(JPEG + b"!")
    assert run(wanted(folder), Manner(as_json=True)) == 1
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states == ["done", "failed", "done"]
    assert run(wanted(folder), Manner(quiet=True)) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1


def test_a_format_is_asked_for_by_a_name_or_left_as_it_came_in(folder: Path) -> None:
    for output, asked in (("x.png", ("png", False)), ("x.jpg", ("jpeg", True)), (None, ("jpeg", True))):
        computing = Computing()
        place = None if output is None else folder.parent / output
        assert run(wanted(folder / "a.jpg", output=place), compute=computing) == 0
        assert [(one.format, one.is_auto) for one in computing.asked] == [asked]


class Pipe(io.TextIOWrapper):
    def __init__(self, data: bytes = b"", *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(data))
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_pipe_goes_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for output in (None, "-"):
        monkeypatch.setattr(sys, "stdin", Pipe(JPEG))
        monkeypatch.setattr(sys, "stdout", out := Pipe())
        assert run(wanted("-", output=output)) == 0
        assert out.written() == JPEG
    monkeypatch.setattr(sys, "stdin", Pipe(JPEG))
    monkeypatch.setattr(sys, "stdout", out := Pipe())
    assert run(wanted("-", output=tmp_path / "a.jpg")) == 0
    assert (tmp_path / "a.jpg").read_bytes() == JPEG and out.written().decode() == f"{tmp_path / 'a.jpg'}\n"


def test_a_picture_goes_to_no_terminal_and_beside_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Pipe(terminal=True))
    with pytest.raises(ParameterError, match="does not go to a terminal"):
        run(wanted("-"))
    monkeypatch.setattr(sys, "stdout", Pipe())
    with pytest.raises(ParameterError, match="--json goes with files"):
        run(wanted("-"), Manner(as_json=True))


def test_who_interrupts_is_told_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.jpg").write_bytes(JPEG + b"?")
    with pytest.raises(KeyboardInterrupt):
        run(wanted(folder))
    assert names(folder) == ["a-x2.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert "1 done, interrupted: the same command with --skip-existing goes on" in capsys.readouterr().err
