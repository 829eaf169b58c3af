"""How the command line tells what it does with each picture: in words, as JSON, or only what went wrong.

Standard output has what was made: paths as people can read them, or with `as_json` an object a line, its paths as they
are. Standard error has errors, on a terminal where it stands ("2 of 3"), and in the end what it came to.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.file_tasks import STANDARD, FileTask
from service.folders import FolderEntry, shown

CLEAR = "\r\x1b[K"


@dataclass(frozen=True)
class Better:
    """A result as it leaves: a picture's file, or a table's (then `width` and `height` are its nodes)."""

    data: bytes = field(repr=False)
    format: str
    width: int
    height: int
    model: str


class Report:
    """Of one run over `total` pictures."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, to_stdout: bool = False) -> None:
        """`to_stdout`: standard output is the picture itself."""
        self._as_json, self._quiet, self._to_stdout = as_json, quiet, to_stdout
        self._moves = sys.stderr.isatty() and not quiet
        self._total, self._number, self._name = 0, 0, ""
        self._begun = self._task_begun = time.monotonic()
        self._counts: Counter[str] = Counter()

    @property
    def failed(self) -> int:
        return self._counts["failed"]

    @property
    def status(self) -> int:
        """The run's exit status: 0 done, 1 some file failed, 2 nothing was made, by the fault of parameters alone."""
        if not self.failed:
            return 0
        return 1 if self._counts["done"] or self.failed > self._counts["misused"] else 2

    def left_out(self, entry: FolderEntry) -> None:
        """A thing in a folder that is none of the pictures."""
        if entry.is_fault:
            self._counts["failed"] += 1
        self._line(entry.path, None, "left out", error=entry.left_out)
        if entry.is_fault or not self._quiet:
            self._err(f"lutra: {shown(entry.path)}: left out: {entry.left_out}")

    def begin(self, total: int) -> None:
        self._total, self._begun = total, time.monotonic()

    def start(self, task: FileTask) -> None:
        self._number += 1
        self._name, self._task_begun = task.name, time.monotonic()
        self.tick(0, 0)

    def tick(self, done: int, total: int) -> None:
        """Where it stands, on a terminal."""
        if not self._moves:
            return
        fraction = done / total if total else 0.0
        finished = self._number - 1 + fraction
        spent_s = time.monotonic() - self._begun
        left = f", {_clock(spent_s / finished * (self._total - finished))} left" if finished > 0.05 else ""
        percent = f" {100 * fraction:.0f} %" if total else ""
        sys.stderr.write(f"{CLEAR}{self._number} of {self._total}: {self._name}{percent}{left}")
        sys.stderr.flush()

    def done(self, task: FileTask, target: Path | None, better: Better) -> None:
        self._counts["done"] += 1
        facts = {"format": better.format, "width": better.width, "height": better.height, "bytes": len(better.data)}
        seconds = round(time.monotonic() - self._task_begun, 3)
        self._line(task.source, target, "done", **facts, model=better.model, seconds=seconds)
        if target is not None and not self._as_json and not self._quiet:
            self._clear()
            print(shown(target), flush=True)

    def skipped(self, task: FileTask) -> None:
        self._counts["skipped"] += 1
        self._line(task.source, task.target, "skipped")
        if self._moves and task.target is not None:
            self._err(f"{shown(task.target)} is there already")

    def failure(self, task: FileTask, message: str, path: str | None = None, *, is_misuse: bool = False) -> None:
        """`path`: what is to blame, where it is not the picture; `is_misuse`: a parameter is."""
        self._counts["failed"] += 1
        self._counts["misused"] += is_misuse
        self._line(task.source, task.target, "failed", error=message)
        self._err(f"lutra: {path or task.name}: {message}")

    def end(self, *, interrupted: bool = False) -> None:
        """What it came to, where that is more than one line has said."""
        self._clear()
        if self._quiet or (self._total < 2 and not interrupted):
            return
        told = [f"{count} {what}" for what in ("done", "skipped", "failed") if (count := self._counts[what])]
        seconds = time.monotonic() - self._begun
        if interrupted:
            told.append("interrupted: the same command with --skip-existing goes on")
        pictures = "1 picture" if self._total == 1 else f"{self._total} pictures"
        self._err(f"lutra: {pictures} in {_clock(seconds)}: {', '.join(told)}")

    def _line(self, source: Path | None, target: Path | None, state: str, **facts: Any) -> None:
        if self._as_json and not self._to_stdout:
            paths = {"source": str(source or STANDARD), "target": str(target or STANDARD)}
            print(json.dumps({**paths, "state": state, **facts}), flush=True)

    def _err(self, text: str) -> None:
        self._clear()
        print(text, file=sys.stderr)

    def _clear(self) -> None:
        if self._moves:
            sys.stderr.write(CLEAR)


def _clock(seconds: float) -> str:
    """3.2 s, 1:07, 2:00:00."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
