"""Files by Landlock alone: below the paths that are named they can be read, and nothing else can be done."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from workers.pictures import landlock

PROGRAM = """
import ctypes, os, sys
from pathlib import Path
from workers.pictures import landlock
libc = ctypes.CDLL(None, use_errno=True)
kept = os.open(sys.argv[1] + "/kept", os.O_RDWR | os.O_CREAT, 0o600)
libc.prctl(38, 1, 0, 0, 0)
landlock.read_only(libc, [Path(sys.argv[1]), Path(sys.argv[2]) / "one", Path("/nowhere")])
os.write(kept, b"an open descriptor stays")
folder, beside = sys.argv[1:]
for name, act in {
    "below": lambda: open(folder + "/kept").read(),
    "list": lambda: os.listdir(folder),
    "one": lambda: open(beside + "/one").read(),
    "other": lambda: open(beside + "/other").read(),
    "list beside": lambda: os.listdir(beside),
    "write": lambda: open(folder + "/kept", "r+"),
    "make": lambda: open(folder + "/new", "x"),
    "remove": lambda: os.unlink(folder + "/kept"),
    "exec": lambda: os.execv("/bin/true", ["true"]),
}.items():
    try:
        act()
        print(name)
    except PermissionError:
        pass
"""


def _version() -> int:
    try:
        return landlock.version(ctypes.CDLL(None, use_errno=True))
    except (OSError, AttributeError):
        return 0


@pytest.mark.skipif(not sys.platform.startswith("linux") or not _version(), reason="this kernel has no Landlock")
def test_only_what_is_named_can_be_opened_and_only_for_reading(tmp_path: Path) -> None:
    folder, beside = tmp_path / "folder", tmp_path / "beside"
    for one in (folder, beside):
        one.mkdir()
    (beside / "one").write_text("1")
    (beside / "other").write_text("2")
    command = [sys.executable, "-c", PROGRAM, str(folder), str(beside)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.split("\n") == ["below", "list", "one", ""]
    assert (folder / "kept").read_text() == "an open descriptor stays"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="system calls are Linux's")
def test_a_kernel_that_refuses_is_an_os_error_in_its_words() -> None:
    with pytest.raises(OSError, match=r"Bad file descriptor|not implemented|not permitted"):
        landlock._call(ctypes.CDLL(None, use_errno=True), landlock._RESTRICT_SELF, -1, 0)
