"""The lease of one claim, renewed from a thread of the process, and the tick that can end a computation.

Progress, cancel, deadline and allotment meet in `Lease.tick`, which the engine calls between tiles. A store that does
not answer stops nothing: the lease may still be held, and what is written at the end is refused where it is not.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from workers.errors import JobCancelled, JobTimeout, Unavailable
from workers.jobs.allotment import Allotment
from workers.jobs.records import LEASE_S, Claim, Hold
from workers.jobs.store import Store
from workers.log import Log

RENEW_S = 3.0
REPORT_EVERY_S = 0.1
LOOK_EVERY_S = 0.5
FRESH_S = 1.0  # far below LEASE_S: what was held so long ago is held still
PULSE_S = 0.25  # how often the thread looks at the clock
STOPPED_S = 1.0  # a pulse that comes so late says that the process was stopped

log = Log(__name__)


class LeaseLost(Exception):
    """Another attempt holds the computation; what this one has is worthless."""


class Kept(Protocol):
    """What the keeper looks after."""

    def keep(self) -> None:
        """In the keeper's thread, every PULSE_S; it must not wait for long."""


class Keeper:
    """The thread that looks after the leases of this process. It stays: to start one costs a job of milliseconds more
    than its lease does.
    """

    def __init__(self) -> None:
        self._kept: set[Kept] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, lease: Kept) -> None:
        with self._lock:
            self._kept.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_after, name="leases", daemon=True)
                self._thread.start()

    def remove(self, lease: Kept) -> None:
        with self._lock:
            self._kept.discard(lease)

    def _look_after(self) -> None:
        while True:
            time.sleep(PULSE_S)
            with self._lock:
                kept = tuple(self._kept)
            for lease in kept:
                lease.keep()


KEEPER = Keeper()


class Lease:
    """Entered, it is renewed until left. `was_stopped`: this process was stopped meanwhile.

    `express_s`: the border of the lanes, 0 where there is none.
    """

    def __init__(self, store: Store, claim: Claim, express_s: float = 0.0) -> None:
        now = time.monotonic()
        self._store = store
        self._claim = claim
        self._deadline = now + claim.timeout_s
        self._hold = Hold.HELD
        self._asked_at = self._reported_at = self._looked_at = self._renewed_at = self._pulse_at = now
        self.done, self.total = 0, 0
        self.allotment = Allotment(store, claim, express_s)
        self.was_stopped = False

    def __enter__(self) -> Lease:
        self._renewed_at = self._pulse_at = time.monotonic()
        KEEPER.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        KEEPER.remove(self)  # a renewal that is still under way is refused by the store
        self._pulse()

    @property
    def share_done(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def is_fresh(self) -> bool:
        """True where the store was asked a moment ago and the lease was held."""
        return self._hold is Hold.HELD and time.monotonic() - self._asked_at < FRESH_S

    def tick(self, done: int, total: int) -> None:
        """Report progress (at most every REPORT_EVERY_S; the last tile is reported with the end), then `check`.

        Raises Preempted where the rest is to be computed later.
        """
        now = time.monotonic()
        self.done, self.total = done, total
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            try:
                self._hold = self._store.progress(self._claim, done, total)
                self._asked_at = now
            except Unavailable:
                self.allotment.begin_anew()
                log.warning("progress could not be told")
        self.check()
        self.allotment.tick(done, total)

    def look(self) -> None:
        """For work that has no tiles to tick: ask at most every LOOK_EVERY_S whether to go on, then `check`."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._renew()
        self.check()

    def check(self) -> None:
        """Raises JobCancelled, JobTimeout or LeaseLost where the work must stop."""
        if self._hold is Hold.LOST:
            raise LeaseLost
        if self._hold is Hold.CANCELLED:
            raise JobCancelled("the job was cancelled")
        if time.monotonic() >= self._deadline:
            raise JobTimeout(f"the job ran longer than {self._claim.timeout_s:g} s", limit=self._claim.timeout_s)

    def _renew(self) -> None:
        try:
            self._hold = self._store.renew(self._claim, lease_s=LEASE_S)
            self._asked_at = time.monotonic()
        except Unavailable:
            self.allotment.begin_anew()
            log.warning("the lease could not be renewed")

    def keep(self) -> None:
        """In the keeper's thread, every PULSE_S: renew it every RENEW_S, until it is lost or over."""
        self._pulse()
        self.allotment.look()
        now = time.monotonic()
        if now - self._renewed_at < RENEW_S or now >= self._deadline or self._hold is Hold.LOST:
            return
        self._renew()
        self._renewed_at = self._pulse_at = time.monotonic()

    def _pulse(self) -> None:
        """SIGSTOP, or a suspended machine, stops all threads: the clock has gone on and this one has not."""
        now = time.monotonic()
        if now - self._pulse_at > PULSE_S + STOPPED_S:
            self.was_stopped = True
            self.allotment.begin_anew()
        self._pulse_at = now
