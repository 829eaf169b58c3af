"""Celery's pool of processes, which tells of a child's death at once, and forgets the pipes of one that died with a job
in hand.

Celery closes these pipes and still has the number of the one that the child answered by. Its successor may be given
that number for the pipe by which it is told its jobs. When the consumer's connection is lost the next time, and all
numbers are looked at anew, the parent would read there itself, and take the child's messages away from it: the lane's
place would be taken for ever by a job that nobody has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool


class Processes(AsynPool):  # type: ignore[misc]
    """See the module. `on_death` is told the pid of each child that ended, when another one has taken its place."""

    on_death: Callable[[int], None] | None = None

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        super()._event_process_exit(hub, proc)
        if self.on_death is not None:
            self.on_death(proc.pid)

    def destroy_queues(self, queues: Any, proc: Any) -> int:
        for number in [number for number, owner in self._fileno_to_outq.items() if owner is proc]:
            del self._fileno_to_outq[number]
        return int(super().destroy_queues(queues, proc))


class Pool(TaskPool):  # type: ignore[misc]
    """Celery's `prefork` on these processes."""

    Pool = Processes
