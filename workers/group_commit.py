"""Short jobs that a child was given at once: computed one after the other, their ends written together.

To a job of milliseconds calls and wake-ups of store, gateway, child and decoder are a good part of its cost; what ends
together has them once. Each job has a lease and an attempt of its own all the same, and whatever is no success with a
small result ends by itself.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from workers.attempt import Attempt, with_retry
from workers.jobs.job import JobState
from workers.jobs.lease import KEEPER
from workers.jobs.records import Claim
from workers.jobs.store import Store
from workers.jobs.store_execution import Wish
from workers.log import about
from workers.operations.operation import Encoded

LATE_S = 0.1  # how long a result waits for the others; what is short by its estimate takes less


class GroupCommit:
    """Successes that wait for the end of the last of their group. Entered, the keeper sees to it that none waits long
    for one that takes longer than estimated; left, all are written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: list[tuple[Attempt, Encoded]] = []
        self._since = 0.0
        self._writer: threading.Thread | None = None

    def __enter__(self) -> GroupCommit:
        KEEPER.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        KEEPER.remove(self)
        self.write()

    def add(self, attempt: Attempt, result: Encoded) -> None:
        """A success, in place of `Attempt.succeed`."""
        attempt.keep_success()
        with self._lock:
            self._since = self._since if self._kept else time.monotonic()
            self._kept.append((attempt, result))

    def keep(self) -> None:
        """In the keeper's thread, which must not wait for the store: what is late is written in another one."""
        is_late = self._kept and time.monotonic() - self._since > LATE_S
        if is_late and (self._writer is None or not self._writer.is_alive()):
            self._writer = threading.Thread(target=self.write, name="late ends", daemon=True)
            self._writer.start()

    def write(self, wish: Wish | None = None) -> Claim | None:
        """All that wait, in one call; what is claimed along with them, where there are any."""
        with self._lock:
            kept, self._kept = self._kept, []
            ends = [(one, result, end) for one, result in kept if (end := one.success(result))]
            if not ends:
                return None
            told = with_retry(lambda: self._store.succeed_all([end for _, _, end in ends], wish))
            if told is None:
                return None
            written, following = told
            for (attempt, result, _), is_written in zip(ends, written, strict=True):
                with about(job_id=attempt.claim.job_id, request_id=attempt.claim.request_id):
                    if is_written:
                        attempt.told(JobState.SUCCEEDED)
                    else:  # no room in the store, which is waited for; or it is another one's by now
                        attempt.succeed(result)
            return following
