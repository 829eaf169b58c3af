"""Files that are there whole or not at all, also where a run is killed.

A result is written beside its place under a name of ours and then renamed: a reader sees the old file or the new one.
What a killed run has left under such a name is told by its lock, which ends with the process, and swept away by the
next run into that folder; nobody takes it for a picture.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = ".lutra-"


def write_whole(target: Path, data: bytes) -> None:
    """Raises OSError, and leaves what was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: the target's may be as long as names can be.
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=PREFIX)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            with suppress(OSError):  # a file system without locks: nothing there is swept
                _lock(file.fileno())
            file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            beside.chmod(0o666 & ~mask)
            beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def is_unfinished(path: Path) -> bool:
    """Whether it has the name of a result that is being written, or was when its run ended."""
    return path.name.startswith(PREFIX)


def sweep(folder: Path) -> None:
    """Remove what killed runs have left; what a living one writes stays."""
    with suppress(OSError):
        for path in folder.iterdir():
            if is_unfinished(path):
                _remove_unless_held(path)


def _remove_unless_held(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:
        _lock(file.fileno())
        path.unlink()


def _lock(handle: int) -> None:
    """Raises OSError where another process holds it, or the file system has no locks."""
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
