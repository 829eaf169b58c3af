"""Queues work again whose worker is gone: ended leases, dead children, messages that no queue holds.

Runs in each worker parent, on the consumer's own loop; a lock in Redis lets one at a time look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from workers import metrics
from workers.errors import JobTimeout, Unavailable, WorkerLost
from workers.jobs import celery_app
from workers.jobs.job import JobState
from workers.jobs.store import Store
from workers.log import Log

PERIOD_S = 2.0
MESSAGE_GRACE_S = 8.0

log = Log(__name__)


class Reaper:
    """`look` is called every PERIOD_S; `send` puts a computation's id into the queue."""

    def __init__(self, store: Store, send: Callable[[str], None], *, name: str, lease_s: float) -> None:
        self._store = store
        self._send = send
        self._name = name
        self._lease_s = lease_s
        self._last_look = time.monotonic()
        self._grace_until = 0.0
        self._unqueued: set[str] = set()

    def look(self) -> None:
        """One round. After a gap (Redis or this process was stopped) leases get one lease time to be renewed first."""
        now = time.monotonic()
        if now - self._last_look > self._lease_s / 2:
            self._grace_until = now + self._lease_s
        try:
            if self._store.try_lock("reaper", self._name, 3 * PERIOD_S):
                if now >= self._grace_until:
                    self._take_back(dict.fromkeys(self._store.running(), ""), "lease_expired")
                self._resend()
            self._last_look = now
        except Unavailable:
            log.warning("the reaper cannot reach the store")

    def reclaim(self, owners: Iterable[str], *, blame: bool = True) -> None:
        """These children are gone: what they held is queued again at once, without waiting for the lease to end.

        `blame`: the computation may have killed its worker, so it is not tried for ever.
        """
        owners = set(owners)
        if not owners:
            return
        held = {computation: owner for computation, owner in self._store.running().items() if owner in owners}
        self._take_back(held, "worker_lost", blame=blame)
        self._store.forget_children(owners)

    def expire(self, computation_id: str) -> None:
        """End one computation whose deadline has passed and whose child was killed for it."""
        self._take_back({computation_id: ""}, "lease_expired")

    def _take_back(self, held: dict[str, str], reason: str, *, blame: bool = True) -> None:
        lost = WorkerLost("the worker was lost while computing this job, more than once")
        timeout = JobTimeout("the job ran longer than this service allows")
        for computation, owner in held.items():
            taken = self._store.reclaim(computation, owner, lost, timeout, blame=blame)
            if taken is None:
                continue
            log.warning("computation taken back", computation_id=computation, reason=reason, now=taken.state)
            if taken.state is JobState.QUEUED:
                metrics.JOBS_REQUEUED.labels(reason).inc()
                self._send(computation)
            else:
                metrics.count_end(taken.operation, taken.model, taken.state, taken.error_code)

    def _resend(self) -> None:
        """Send what no queue holds, if it was so at the last look too: between queue and claim a message is in hand."""
        late = self._store.unsent(MESSAGE_GRACE_S)
        queued = celery_app.queued_ids(self._store.client) if late else set()
        before, self._unqueued = self._unqueued, set(late) - queued
        for computation in before & self._unqueued:
            if self._store.touch(computation):
                log.warning("message was lost, sent again", computation_id=computation)
                metrics.JOBS_REQUEUED.labels("message_lost").inc()
                self._send(computation)
