"""Standard streams that are closed or full: a sentence and an exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.living import as_file, photo

CLI = f"{sys.executable} -m service.cli"
UPSCALE = f"{CLI} upscale --scale 2 --model nearest"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(as_file(photo(), "PNG"))
    return tmp_path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=folder)


@pytest.mark.parametrize("command", ["models", "help", "key new phone"])
@pytest.mark.parametrize(
    ("where", "told"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor"), ("| (exec <&-)", None)],
)
def test_what_cannot_be_told_is_one_sentence_and_the_status_one(
    folder: Path, command: str, where: str, told: str | None
) -> None:
    """Whoever ends a pipe knows why."""
    done = shell(f"{CLI} {command} {where}", folder)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "not shown again" not in line]
    assert said == ([] if told is None else [f"lutra: {told}"])


@pytest.mark.parametrize(
    ("names", "where", "status", "told"),
    [
        ("a.png -o -", ">&-", 1, "lutra: a.png: Bad file descriptor\n"),
        ("a.png -o -", "> /dev/full", 1, "lutra: a.png: No space left on device\n"),
        ("- -o b.png", "<&-", 1, "lutra: standard input: Bad file descriptor\n"),
        ("missing.png -o b.png", "2>&-", 1, ""),
    ],
)
def test_a_picture_that_cannot_be_read_or_written_there_is_named(
    folder: Path, names: str, where: str, status: int, told: str
) -> None:
    done = shell(f"{UPSCALE} {names} {where}", folder)
    assert (done.returncode, done.stderr) == (status, told)


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Into a picture of number 2 a library would write its complaints."""
    opens = "import os; from service import streams; streams.prepare(); raise SystemExit(os.open('.', os.O_RDONLY))"
    assert shell(f'{sys.executable} -c "{opens}" <&- >&- 2>&-', tmp_path).returncode > 2
