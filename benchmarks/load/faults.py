"""What is done to the service while users are at work: a worker's child is killed, Redis is restarted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.load.processes import processes_below, roles
from benchmarks.load.samples import Outcome, Sample

LOOKS, LOOK_S = 200, 0.02  # for a child at work


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


def kill_working_child(pid: int) -> None:
    """SIGKILL to a child of the service below `pid` that is computing just now; where none is for seconds, to any."""
    for _ in range(LOOKS):
        before = children_of(pid)
        time.sleep(LOOK_S)
        at_work = [child for child, used_s in children_of(pid).items() if used_s > before.get(child, used_s)]
        if at_work:
            break
    os.kill((at_work or list(before))[0], signal.SIGKILL)


def children_of(pid: int) -> dict[int, float]:
    """The pids of the worker's children, and the processor seconds of each."""
    below = roles(processes_below([pid]))
    return {process.pid: process.cpu_s for role, process in below if role == "worker child"}


def recovery_s(samples: Sequence[Sample], at_s: float) -> float | None:
    """How long after `at_s` the first picture was there of those that were asked for after it; None where none was."""
    ends = [one.end_s for one in samples if one.start_s >= at_s and one.outcome is Outcome.SUCCEEDED]
    return min(ends) - at_s if ends else None
