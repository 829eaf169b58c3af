"""What is done to the service while users are at work: a worker's child is killed, Redis is restarted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.load.processes import processes_below, roles
from benchmarks.load.samples import Outcome, Sample


@dataclass(frozen=True)
class Fault:
    """`after_s`: how long after the beginning."""

    name: str
    after_s: float
    strike: Callable[[], None]


@dataclass(frozen=True)
class Struck:
    """A fault that was, and when (Unix seconds)."""

    name: str
    at_s: float


class Striker:
    """Strikes each fault when its time has come; `watch` is to be called again and again."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._due = sorted(faults, key=lambda fault: fault.after_s)
        self._began_s = time.time()
        self.struck: list[Struck] = []

    def watch(self) -> None:
        while self._due and time.time() >= self._began_s + self._due[0].after_s:
            fault = self._due.pop(0)
            self.struck.append(Struck(fault.name, time.time()))
            fault.strike()


def kill_busiest_child(pid: int) -> None:
    """SIGKILL to that child of the service below `pid` which has computed the most."""
    children = [process for role, process in roles(processes_below([pid])) if role == "worker child"]
    os.kill(max(children, key=lambda child: child.cpu_s).pid, signal.SIGKILL)


def recovery_s(samples: Sequence[Sample], at_s: float) -> float | None:
    """How long after `at_s` the first picture was there of those that were asked for after it; None where none was."""
    ends = [one.end_s for one in samples if one.start_s >= at_s and one.outcome is Outcome.SUCCEEDED]
    return min(ends) - at_s if ends else None
