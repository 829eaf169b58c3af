"""How long a job from the express lane may compute there: an estimate that is wrong must not keep short jobs waiting.

Multilevel feedback (Corbato, Merwin-Daggett and Daley 1962): whoever has used up its allotment of the upper level goes
on in the lower one. What waits by the same model goes there too where at the same pace it would not be express, so that
one job finds out for all; the job itself goes back into the queue at its next tile, if another one waits for its child.
A tile that takes as long again ends with its process: nothing else reaches into it, and another child is there at once.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from workers import metrics
from workers.errors import Preempted, Unavailable
from workers.jobs import celery_app
from workers.jobs.job import Lane
from workers.jobs.records import Claim, Hold
from workers.jobs.store import Store
from workers.log import Log

ALLOTMENT = 2.0  # times the border of the lanes: what is twice as slow as estimated is still short
LAST = 2.0  # allotments, then not even the tile in hand is waited for
LOOK_EVERY_S = 1.0

log = Log(__name__)


def end_process() -> None:
    """As if it had been killed."""
    os._exit(1)


class Allotment:
    """Of one claim, with the border of the lanes in seconds (0: there is none). Without end outside the express lane.

    It runs while the model computes, from the first tile that is told to the last, and begins anew after whatever says
    nothing of the model: the process was stopped, or the store away. `teach` is told by one that gives way how many
    seconds it would have computed at least, so that the next is not estimated so again.
    """

    def __init__(self, store: Store, claim: Claim, express_s: float) -> None:
        self._store = store
        self._claim = claim
        self._express_s = express_s
        self._limit_s = ALLOTMENT * express_s if express_s and claim.lane is Lane.EXPRESS else math.inf
        self._began_at = math.inf
        self._first = self._done = self._total = 0
        self._looked_at = -math.inf
        self._is_wanted = False
        self.teach: Callable[[float], None] = lambda seconds: None

    @property
    def expected_s(self) -> float:
        """Seconds that all tiles take at the pace of those that were computed; as long as none is, those so far."""
        seconds, computed = max(0.0, time.monotonic() - self._began_at), self._done - self._first
        return seconds * self._total / computed if computed else seconds

    def begin_anew(self) -> None:
        """What was computed so far says nothing."""
        if self._began_at < math.inf:
            self._began_at, self._first = time.monotonic(), self._done

    def tick(self, done: int, total: int) -> None:
        """So many tiles of so many are done. Raises Preempted where the rest is to be computed in the bulk lane."""
        self._done, self._total = done, total
        if done == total:
            self._began_at = math.inf
        elif self._began_at == math.inf:
            self._began_at, self._first = time.monotonic(), done
        elif self._is_wanted and self.expected_s * (total - done) / total > self._express_s:
            raise Preempted

    def look(self) -> None:
        """In the lease's thread, so that a tile that takes long hides nothing: once it is used up, who waits?"""
        now = time.monotonic()
        seconds = now - self._began_at
        if seconds < self._limit_s or now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        try:
            self._tell()
            if self._is_wanted and seconds >= LAST * self._limit_s and self.give_back() is not Hold.LOST:
                end_process()  # cancelled, too: it is found to be without a process, and ends
        except Unavailable:
            self.begin_anew()
            log.warning("it could not be told that a job takes longer than estimated")

    def _tell(self) -> None:
        moved, waiting = self._store.overrun(self._claim, self.expected_s, self._express_s)
        self._is_wanted = waiting > 0
        if moved:
            log.info("jobs leave the express lane", model=self._claim.model, jobs=moved)
            self._store.send(Lane.BULK, *(celery_app.message(Lane.BULK) for _ in range(moved)))

    def give_back(self) -> Hold:
        """Back into the queue, as bulk, with a message; not where it is cancelled or lost. Raises Unavailable."""
        claim, expected_s = self._claim, self.expected_s
        self.teach(expected_s)
        hold = self._store.preempt(claim, expected_s, celery_app.message(Lane.BULK))
        if hold is Hold.HELD:
            metrics.JOBS_REQUEUED.labels("overrun").inc()
            facts = {"operation": claim.operation, "model": claim.model, "expected_s": round(expected_s, 1)}
            log.info("job gives way", **facts, done=self._done, total=self._total)
        return hold
