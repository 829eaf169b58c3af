"""The lease of one claim, renewed from a thread, and the tick that can end a computation.

Progress, cancel and deadline meet in `Lease.tick`, which the engine calls between tiles. A store that does not answer
stops nothing: the lease may still be held, and what is written at the end is refused where it is not.
"""

from __future__ import annotations

import threading
import time

from workers.errors import JobCancelled, JobTimeout, Unavailable
from workers.jobs.records import LEASE_S, Claim, Hold
from workers.jobs.store import Store
from workers.log import Log

RENEW_S = 3.0
REPORT_EVERY_S = 0.1
LOOK_EVERY_S = 0.5
FRESH_S = 1.0  # far below LEASE_S: what was held so long ago is held still
PULSE_S = 0.25  # how often the lease's thread looks at the clock
STOPPED_S = 1.0  # a pulse that comes so late says that the process was stopped

log = Log(__name__)


class LeaseLost(Exception):
    """Another attempt holds the computation; what this one has is worthless."""


class Lease:
    """Entered, it is renewed until left. `was_stopped`: this process was stopped meanwhile."""

    def __init__(self, store: Store, claim: Claim) -> None:
        now = time.monotonic()
        self._store = store
        self._claim = claim
        self._deadline = now + claim.timeout_s
        self._hold = Hold.HELD
        self._asked_at = self._reported_at = self._looked_at = self._pulse_at = now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)
        self.done, self.total = 0, 0
        self.was_stopped = False

    def __enter__(self) -> Lease:
        self._pulse_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pulse()
        self._stop.set()  # it ends by itself; a renewal that is still under way is refused by the store

    @property
    def share_done(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def is_fresh(self) -> bool:
        """True where the store was asked a moment ago and the lease was held."""
        return self._hold is Hold.HELD and time.monotonic() - self._asked_at < FRESH_S

    def tick(self, done: int, total: int) -> None:
        """Report progress (at most every REPORT_EVERY_S; the last tile is reported with the end), then `check`."""
        now = time.monotonic()
        self.done, self.total = done, total
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            try:
                self._hold = self._store.progress(self._claim, done, total)
                self._asked_at = now
            except Unavailable:
                log.warning("progress could not be told")
        self.check()

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
            log.warning("the lease could not be renewed")

    def _keep_renewing(self) -> None:
        while self._pause(RENEW_S) and time.monotonic() < self._deadline:
            self._renew()
            self._pulse_at = time.monotonic()
            if self._hold is Hold.LOST:
                return

    def _pause(self, seconds: float) -> bool:
        """False where the work ended meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._stop.wait(min(PULSE_S, left)):
                return False
            self._pulse()
        return True

    def _pulse(self) -> None:
        """SIGSTOP, or a suspended machine, stops all threads: the clock has gone on and this one has not."""
        now = time.monotonic()
        self.was_stopped |= now - self._pulse_at > PULSE_S + STOPPED_S
        self._pulse_at = now
