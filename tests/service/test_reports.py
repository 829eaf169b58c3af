"""What is told of a run: in words, as JSON, or only what went wrong; on a terminal where it stands."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.file_tasks import FileTask
from service.folders import FolderEntry
from service.reports import Better, Report

BETTER = Better(b"data", "png", 3, 2, "liif")


def task(name: str) -> FileTask:
    return FileTask(Path(f"{name}.jpg"), Path(f"{name}-x2.png"), "auto")


def three(report: Report) -> Report:
    """One that is made, one that is there, one that fails."""
    report.begin(3)
    report.start(task("a"))
    report.tick(1, 4)
    report.done(task("a"), task("a").target, BETTER)
    report.start(task("b"))
    report.skipped(task("b"))
    report.start(task("c"))
    report.failure(task("c"), "cut off")
    report.end()
    return report


Captured = pytest.CaptureFixture[str]


def test_words_name_what_was_made_what_failed_and_what_it_came_to(capsys: Captured) -> None:
    assert three(Report()).failed == 1
    told = capsys.readouterr()
    assert told.out == "a-x2.png\n"
    failed, came_to = told.err.splitlines()
    assert failed == "lutra: c.jpg: cut off"
    assert came_to.startswith("lutra: 3 pictures in 0.0 s: 1 done, 1 skipped, 1 failed")


def test_quiet_tells_what_went_wrong_alone(capsys: Captured) -> None:
    report = three(Report(quiet=True))
    report.left_out(FolderEntry(Path("notes.txt"), left_out="no picture"))
    report.left_out(FolderEntry(Path("page.jpg"), left_out="no picture", is_fault=True))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "lutra: c.jpg: cut off\nlutra: page.jpg: left out: no picture\n")
    assert report.failed == 2


def test_json_is_a_line_for_each(capsys: Captured) -> None:
    three(Report(as_json=True)).left_out(FolderEntry(Path("n.txt"), left_out="no picture"))
    made, there, failed, left_out = map(json.loads, capsys.readouterr().out.splitlines())
    assert made.pop("seconds") >= 0
    assert made == {
        **{"source": "a.jpg", "target": "a-x2.png", "state": "done", "model": "liif"},
        **{"format": "png", "width": 3, "height": 2, "bytes": 4},
    }
    assert there == {"source": "b.jpg", "target": "b-x2.png", "state": "skipped"}
    assert (failed["state"], failed["error"]) == ("failed", "cut off")
    assert (left_out["state"], left_out["source"]) == ("left out", "n.txt")


def test_a_path_in_json_is_the_name_itself(capsys: Captured) -> None:
    """Which a program opens; words show it escaped."""
    odd = [b"two\nlines.jpg", b"\x1b[2J.jpg", b"caf\xe9.jpg", "日本.jpg".encode()]
    report = Report(as_json=True)
    for name in odd:
        report.failure(FileTask(Path(os.fsdecode(name)), None, "auto"), "cut off")
    told = capsys.readouterr()
    assert [os.fsencode(json.loads(line)["source"]) for line in told.out.splitlines()] == odd
    assert r"lutra: two\nlines.jpg: cut off" in told.err and r"lutra: caf\xe9.jpg: cut off" in told.err


def test_a_terminal_shows_which_of_how_many_and_the_rest_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    three(Report())
    shown = terminal.getvalue()
    assert "1 of 3: a.jpg 25 %, 0.0 s left" in shown and "2 of 3: b.jpg, 0.0 s left" in shown
    assert "b-x2.png is there already" in shown


def test_an_interruption_says_how_to_go_on(capsys: Captured) -> None:
    report = Report()
    report.begin(1)
    report.end(interrupted=True)
    assert capsys.readouterr().err == (
        "lutra: 1 picture in 0.0 s: interrupted: the same command with --skip-existing goes on\n"
    )


def test_where_standard_output_is_the_picture_nothing_else_is_there(capsys: Captured) -> None:
    report = Report(to_stdout=True)
    report.begin(1)
    report.start(task("a"))
    report.done(FileTask(None, None, "auto"), None, BETTER)
    report.end()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "clock"), [(3.21, "3.2 s"), (67, "1:07"), (7200, "2:00:00")])
def test_times_are_short(seconds: float, clock: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    now: Callable[[], float] = iter([0.0, 0.0, seconds]).__next__
    monkeypatch.setattr("service.reports.time.monotonic", now)
    report = Report()
    report.begin(2)
    report.end()
    assert f"2 pictures in {clock}" in capsys.readouterr().err
