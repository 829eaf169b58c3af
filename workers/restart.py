"""Restarts this process in place, and kills others: for a worker that cannot recover from within."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

EXIT_RESTART = 75  # EX_TEMPFAIL: a worker that ends so asks its command to restart it


def restart_in_place() -> NoReturn:
    """The same command under the same pid: whoever looks after this process need not know, and need not be there."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def kill(pid: int) -> None:
    """At once, also where it is stopped; one that has ended meanwhile is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
