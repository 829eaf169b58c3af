"""Files are there whole or not at all, and what a killed run has left is swept away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.atomic import is_unfinished, sweep, write_whole
from tests.living import wait_until

# Begins a result as `write_whole` does and then waits to be killed.
STOPS = """
import os, signal, sys
from pathlib import Path
import service.atomic as atomic
Path.chmod = lambda self, mode: signal.pause()
atomic.write_whole(Path(sys.argv[1]), b"half")
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole_with_the_rights_that_the_user_gives(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.png"
    for data in (b"one", b"two"):
        write_whole(target, data)
        assert target.read_bytes() == data and names(target.parent) == ["a.png"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "a.png", b"data")
    assert names(tmp_path) == ["a.png"]


def test_what_a_living_run_writes_stays_and_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    run = subprocess.Popen([sys.executable, "-c", STOPS, str(target)])
    try:
        wait_until(lambda: any(is_unfinished(path) for path in tmp_path.iterdir()), 60, "a result is begun")
        (left,) = [path for path in tmp_path.iterdir() if is_unfinished(path)]
        wait_until(lambda: is_held(left), 60, "it is held")
        sweep(tmp_path)
        assert left.exists()
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait(60)
    assert left.exists() and target.read_bytes() == b"old"
    sweep(tmp_path)
    assert names(tmp_path) == ["a.png"]
    sweep(tmp_path / "nowhere")


def is_held(path: Path) -> bool:
    locks = Path("/proc/locks").read_text()
    return f":{path.stat().st_ino} " in locks
