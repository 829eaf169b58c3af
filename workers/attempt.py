"""One attempt at a computation: its claim, its lease, its clocks, and the ways in which it ends.

A store that stops answering does not stop the work: what must get through is tried again for PATIENCE_S. Each end is
counted, then written: whoever is woken by it finds it counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from workers import metrics
from workers.errors import JobTimeout, LutraError, StoreFull, StoreUnavailable
from workers.jobs.job import JobState
from workers.jobs.lease import Lease, LeaseLost
from workers.jobs.records import LEASE_S, Claim, Hold
from workers.jobs.store import Store
from workers.jobs.store_base import CARRIED_BYTES
from workers.jobs.store_execution import Ended, Success, Wish
from workers.log import Log
from workers.metrics import labelled
from workers.operations.operation import Encoded, Work

PATIENCE_S = 120.0
RETRY_PAUSE_S = 0.5
FULL_PAUSE_S = 1.0

T = TypeVar("T")

log = Log(__name__)


def with_retry(ask: Callable[[], T]) -> T | None:
    """What `ask` answers, tried again while the store does not; None where it did not for PATIENCE_S."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except StoreUnavailable:
            if time.monotonic() >= give_up:
                log.error("the store has not answered for this job", seconds=PATIENCE_S)
                return None
            time.sleep(RETRY_PAUSE_S)


class Attempt:
    """A claimed computation on its way to `succeed`, `fail`, `cancel` or `give_way`; one of them is called, once.

    It observes what is computed (`operations.way.Observer`). `timings_s`: seconds spent in each stage; `is_deep`: the
    picture has more than 8 bits, which some models compute another way; `work`: once the record has been read.

    With its end goes the `wish` of its child at that moment, and what that brings is `next`.
    """

    def __init__(
        self, store: Store, claim: Claim, wish: Callable[[], Wish | None] = lambda: None, express_s: float = 0.0
    ) -> None:
        self._store = store
        self._wish = wish
        self.claim = claim
        self.next: Claim | None = None
        self.lease = Lease(store, claim, express_s)
        self.timings_s = {"queue": round(claim.queue_s, 6)}
        self.is_deep = False
        self.work: Work[Any] | None = None
        self._started = self._ended_at = time.perf_counter()
        self._result_chunks = 0
        self._counted: JobState | None = None
        self._ran_its_course = False

    def begin(self) -> None:
        """Its computation begins only now: the child had another one before."""
        now = time.perf_counter()
        self.timings_s["queue"] = round(self.claim.queue_s + now - self._started, 6)
        self._started = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what is inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings_s[name] = round(time.perf_counter() - start, 6)

    def check(self) -> None:
        """Raises JobCancelled, JobTimeout or LeaseLost where the work must stop."""
        self.lease.check()

    def tick(self, done: int, total: int) -> None:
        """Reports progress; raises as `check`, and Preempted."""
        self.lease.tick(done, total)

    @property
    def is_speed_sample(self) -> bool:
        """Whether its time says what its model costs here: of one that succeeded or ran out of time, undisturbed.

        One that always takes too long is learnt from as well, so that it is not tried for ever.
        """
        return self._ran_its_course and not self.is_disturbed

    @property
    def is_disturbed(self) -> bool:
        """Whether its time says nothing: it was stopped meanwhile, or computes another way than most."""
        return self.is_deep or self.lease.was_stopped

    def write_result(self, result: Encoded) -> None:
        """Write the result's pieces, unless it is small and goes along with the end."""
        if len(result.data) > CARRIED_BYTES:
            self._put(result)

    def _put(self, result: Encoded) -> None:
        """A store without memory is waited for, until the job's deadline.

        Raises StoreFull then; JobCancelled; LeaseLost, also where the store never answers.
        """
        while True:
            try:
                chunks = with_retry(lambda: self._store.put_result(self.claim, result.data))
            except StoreFull as full:
                log.warning("the store is full, the result waits")
                time.sleep(FULL_PAUSE_S)
                try:
                    self.lease.check()
                except JobTimeout:
                    raise full from None
                continue
            if chunks is None:
                raise LeaseLost
            self._result_chunks = chunks
            return

    def succeed(self, result: Encoded) -> None:
        """End with a result that `write_result` was given. Raises as `_put`."""
        self._ran_its_course = True

        def write() -> Ended:
            options: dict[str, Any] = {"chunks": self._result_chunks, "tiles": self.lease.total, "then": self._wish()}
            return self._store.succeed(self.claim, result.data, result.facts(), self.timings_s, **options)

        try:
            self._end(JobState.SUCCEEDED, write, pixels=result.pixels)
        except StoreFull:
            self._put(result)
            self._end(JobState.SUCCEEDED, write, pixels=result.pixels)

    def keep_success(self) -> None:
        """It has a small result, whose end is written with others (`workers.group_commit`)."""
        self._ran_its_course = True
        self._ended_at = time.perf_counter()

    def success(self, result: Encoded) -> Success | None:
        """That end, counted, to be told to `told`; None where the lease is lost."""
        if not self._is_held(JobState.SUCCEEDED):
            return None
        self._count_once(JobState.SUCCEEDED, pixels=result.pixels)
        return Success(self.claim, result.data, result.facts(), self.timings_s, tiles=self.lease.total)

    def fail(self, error: LutraError) -> None:
        """End with a problem that users may read."""
        self._ran_its_course = isinstance(error, JobTimeout)

        def write() -> Ended:
            return self._store.fail(self.claim, error, self.timings_s, self._wish())

        self._end(JobState.FAILED, write, error_code=error.code)

    def cancel(self) -> None:
        """End because nobody wants it any more."""
        self._end(JobState.CANCELLED, lambda: self._store.end_cancelled(self.claim, self._wish()))

    def give_way(self) -> None:
        """Go back into the queue, as bulk: it has computed for longer than a job may that others wait for."""
        hold = with_retry(self.lease.allotment.give_back)
        if hold is Hold.CANCELLED:
            self.cancel()
        elif hold is not Hold.HELD:
            log.warning("lease lost, not given back", attempt=self.claim.attempt)

    def _end(self, outcome: JobState, write: Callable[[], Ended], *, pixels: int = 0, error_code: str = "") -> None:
        if not self._is_held(outcome):
            return
        self._ended_at = time.perf_counter()
        self._count_once(outcome, pixels, error_code)
        ended = with_retry(write)
        if not ended:
            attempt = self.claim.attempt
            log.warning("lease lost at the last moment, end not written", attempt=attempt, outcome=outcome)
            return
        self.next = ended.next
        self.told(outcome, error_code)

    def _is_held(self, outcome: JobState) -> bool:
        hold = Hold.HELD if self.lease.is_fresh else with_retry(lambda: self._store.renew(self.claim, lease_s=LEASE_S))
        if hold:
            return True
        log.warning("lease lost, end not written", attempt=self.claim.attempt, outcome=outcome)
        return False

    def told(self, outcome: JobState, error_code: str = "") -> None:
        """Its end is written: a line in the log."""
        log.info(
            "job ended",
            operation=self.claim.operation,
            model=self.claim.model,
            outcome=outcome,
            seconds=round(self._ended_at - self._started, 4),
            attempt=self.claim.attempt,
            **({"code": error_code} if error_code else {}),
        )

    def _count_once(self, outcome: JobState, pixels: int = 0, error_code: str = "") -> None:
        if self._counted is not outcome:
            self._counted = outcome
            self._count(outcome, self._ended_at - self._started, pixels, error_code)

    def _count(self, outcome: JobState, seconds: float, pixels: int, error_code: str) -> None:
        operation, model = self.claim.operation, self.claim.model
        metrics.count_end(operation, model, outcome, error_code)
        labelled(metrics.QUEUE_WAIT, operation).observe(self.timings_s["queue"])
        labelled(metrics.JOB_DURATION, operation, model).observe(seconds)
        for stage, stage_s in self.timings_s.items():
            labelled(metrics.STAGE_DURATION, operation, stage).observe(stage_s)
        if outcome is not JobState.SUCCEEDED:
            return
        pixels_in = self.claim.input["width"] * self.claim.input["height"]
        labelled(metrics.INPUT_PIXELS, operation, model).inc(pixels_in)
        labelled(metrics.OUTPUT_PIXELS, operation, model).inc(pixels)
