"""This very process anew, and the end of others: for a worker that can no longer be mended from within."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

AGAIN = 75  # EX_TEMPFAIL: a worker that ends so asks its entrance to start it again


def start_again() -> NoReturn:
    """The same command under the same pid: whoever looks after this process need not know, and need not be there."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def kill(pid: int) -> None:
    """At once, also where it is stopped; one that has ended meanwhile is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
