"""The standard streams of the command line: open, with letters for every name, given up where they cannot be had."""

from __future__ import annotations

import io
import os
import sys

# Opened the wrong way round, a stream that its user has closed fails when it is read or written, as it should.
INPUT, OUTPUT, ERROR = ("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)


def prepare() -> None:
    """Open what is closed, or the next file would take its number, and with it what libraries say there; what is said
    on a closed standard error is lost. A word that standard output has no letters for is escaped; standard error does
    so by itself.
    """
    for name, mode, flags in (INPUT, OUTPUT, ERROR):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def abandon_output() -> None:
    """What standard output still holds goes nowhere: the interpreter would try again at its end, and exit with 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
