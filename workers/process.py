"""This very process anew: for a worker that can no longer be mended from within."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

AGAIN = 75  # EX_TEMPFAIL: a worker that ends so asks its entrance to start it again


def start_again() -> NoReturn:
    """The same command under the same pid: whoever looks after this process need not know, and need not be there."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
