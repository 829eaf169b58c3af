"""Whether a worker lives: its children's pulse, and whether its parent takes messages that wait.

A process that is stopped, or hangs with the interpreter held, looks alive to the system; so each child counts up in
memory it shares with its parent, and the parent sees which count has stopped. A consumer may be stalled although its
loop runs: messages wait, a child is idle, and none is taken. Both clocks count looks and pause while this process is
stopped itself: after a gap between two looks the whole time begins again.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto

PULSE_S = 1.0
STOPPED_S = 10.0
STALLED_S = 15.0  # then the worker reconnects; after as much again it restarts
STUCK_S = 40.0
GAP_S = 6.0  # a longer time between two looks means that this process itself was stopped


class Pulses:
    """A counter and a mark "at work" for each child of a pool, and one mark of their parent's, that it stops; in memory
    that outlives a fork; no file, no lock.
    """

    def __init__(self, children: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, 16 * children + 8)).cast("Q")

    def start(self, index: int) -> None:
        """In the child: count from now on, in a thread."""
        self._cells[2 * index + 1] = 0
        threading.Thread(target=self._count, args=(index, threading.Event()), name="pulse", daemon=True).start()

    def _count(self, index: int, never: threading.Event) -> None:
        while not never.wait(PULSE_S):
            self._cells[2 * index] += 1

    @contextmanager
    def at_work(self, index: int) -> Iterator[None]:
        """In the child: it is not idle while this lasts."""
        self._cells[2 * index + 1] = 1
        try:
            yield
        finally:
            self._cells[2 * index + 1] = 0

    def stop(self) -> None:
        """In the parent: no child is to begin another job by itself."""
        self._cells[-1] = 1

    @property
    def is_stopping(self) -> bool:
        return bool(self._cells[-1])

    def count(self, index: int) -> int:
        return self._cells[2 * index]

    def is_at_work(self, index: int) -> bool:
        return bool(self._cells[2 * index + 1])


class Clock:
    """Seconds of looking: it runs from look to look, and not while nobody looked."""

    def __init__(self) -> None:
        self._looked_at: float | None = None

    def look(self, now: float) -> float | None:
        """Seconds since the last look; None after a gap, or at the first."""
        since = None if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        return since if since is not None and since <= GAP_S else None


class LoopMonitor:
    """Whether a loop hangs: its count was the same at so many looks in a row. By looks, not by the clock."""

    def __init__(self, looks: float) -> None:
        self._limit = looks
        self._unchanged = 0
        self._count = -1

    def reset(self) -> None:
        """There is a reason for it, so the looks are counted from here."""
        self._unchanged = 0

    def look(self, count: int) -> bool:
        self._unchanged = self._unchanged + 1 if count == self._count else 0
        self._count = count
        return self._unchanged >= self._limit


class PulseMonitor:
    """The parent's view of its children's pulse."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._silent_s: dict[int, float] = {}
        self._counts: dict[int, int] = {}

    def stopped(self, counts: Mapping[int, int], now: float) -> set[int]:
        """Of these pids (of children that are loaded) those whose count has not changed for STOPPED_S of looking."""
        since = self._clock.look(now)
        for pid, count in counts.items():
            is_unchanged = since is not None and self._counts.get(pid) == count
            self._silent_s[pid] = self._silent_s.get(pid, 0.0) + (since or 0.0) if is_unchanged else 0.0
        self._silent_s = {pid: silent for pid, silent in self._silent_s.items() if pid in counts}
        self._counts = dict(counts)
        return {pid for pid, silent in self._silent_s.items() if silent >= STOPPED_S}


class Remedy(Enum):
    """What to do about a worker that takes no message."""

    NONE = auto()
    RECONNECT = auto()
    RESTART = auto()


class StallMonitor:
    """For how long messages have waited and none was taken although a child is idle, and what to do about it.

    `is_stalled` until one is taken.
    """

    def __init__(self) -> None:
        self._clock = Clock()
        self._taken = -1
        self._seconds = 0.0
        self._has_reconnected = False
        self.is_stalled = False

    def look(self, *, waiting: int, taken: int, is_idle: bool, now: float) -> Remedy:
        """`taken`: how many messages this process has ever taken. First a fresh connection, then a fresh process."""
        since = self._clock.look(now)
        if waiting == 0 or taken != self._taken:
            self._has_reconnected = self.is_stalled = False
        is_stalling = since is not None and waiting > 0 and is_idle and taken == self._taken
        self._seconds = self._seconds + (since or 0.0) if is_stalling else 0.0
        self._taken = taken
        if self._seconds < STALLED_S:
            return Remedy.NONE
        self._seconds, self.is_stalled = 0.0, True
        remedy = Remedy.RESTART if self._has_reconnected else Remedy.RECONNECT
        self._has_reconnected = True
        return remedy
