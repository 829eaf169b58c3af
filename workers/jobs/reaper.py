"""Queues work again whose worker is gone: ended leases, dead children, messages that were lost.

Runs in each worker parent, on the consumer's own loop; a lock in Redis lets one at a time look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from workers import metrics
from workers.errors import JobTimeout, Unavailable, WorkerLost
from workers.jobs.job import JobState, Lane
from workers.jobs.lanes import queues_of
from workers.jobs.store import Store
from workers.log import Log

PERIOD_S = 2.0
MESSAGE_GRACE_S = 8.0

log = Log(__name__)


class Reaper:
    """`look` is called every PERIOD_S; `send` puts a message into a lane."""

    def __init__(self, store: Store, send: Callable[[Lane], None], *, name: str, lease_s: float) -> None:
        self._store = store
        self._send = send
        self._name = name
        self._lease_s = lease_s
        self._last_look = time.monotonic()
        self._grace_until = 0.0
        self._lacking: set[str] = set()

    def look(self) -> None:
        """One round. After a gap (Redis or this process was stopped) leases get one lease time to be renewed first."""
        now = time.monotonic()
        if now - self._last_look > self._lease_s / 2:
            self._grace_until = now + self._lease_s
        try:
            if self._store.try_lock("reaper", self._name, 3 * PERIOD_S):
                if now >= self._grace_until:
                    self.expire()
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

    def expire(self) -> None:
        """Whatever is not held any more: its lease, which ends with its deadline at the latest, is over."""
        self._take_back(dict.fromkeys(self._store.running(), ""), "lease_expired")

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
                self._send(taken.lane)
            else:
                metrics.count_end(taken.operation, taken.model, taken.state, taken.error_code)

    def _resend(self) -> None:
        """Send as many messages as a lane lacks for what waits in it, where it lacked them at the last look too.

        Between queue and claim a message is in hand. One too many does no harm: whoever takes it finds nothing.
        """
        late = self._store.unsent(MESSAGE_GRACE_S)
        before, self._lacking = self._lacking, {name for lane in Lane for name in self._without_message(late, lane)}
        for computation in before & self._lacking:
            if self._store.touch(computation):
                log.warning("message was lost, sent again", computation_id=computation, lane=late[computation])
                metrics.JOBS_REQUEUED.labels("message_lost").inc()
                self._send(late[computation])

    def _without_message(self, late: Mapping[str, Lane], lane: Lane) -> list[str]:
        """Of what waits in the lane, the latest beyond the number of its messages."""
        waiting = [name for name, its_lane in late.items() if its_lane is lane]
        return waiting[self._store.messages(*queues_of(lane)) :] if waiting else []
