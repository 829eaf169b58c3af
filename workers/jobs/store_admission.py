"""How a job enters the store: a place and bytes are reserved, then its input and its records are written."""

from __future__ import annotations

from workers.errors import LutraError, NoWorker, QueueFull, ShareReached, StoreFull, StoreUnavailable, TooManyPixels
from workers.jobs.job import Job
from workers.jobs.lanes import part_of
from workers.jobs.records import (
    ADMISSION_HOLD_S,
    HEARTBEAT_TTL_S,
    PENDING_TTL_S,
    RECORD_BYTES,
    TOMBSTONE_S,
    computation_fields,
    text,
)
from workers.jobs.script import Script
from workers.jobs.store_base import StoreBase, flat_pairs


class Admission(StoreBase):
    """The gateway's side until a job is queued."""

    def put(self, job: Job, data: bytes, *, result_bytes: int, table: bytes = b"") -> None:
        """Admit a job and store its input and record; `result_bytes` is what its result will hold, by estimate.

        `table`: the numbers of the user's own, whose facts are the parameter `lut`; they lie behind the picture, in
        pieces of their own, and share its life. Raises NoWorker, QueueFull, ShareReached or StoreFull, and then stores
        nothing.
        """
        computation = job.computation
        size_bytes = len(data) + len(table) + result_bytes + RECORD_BYTES
        self._refuse_what_never_fits(size_bytes)
        self._admit(job, size_bytes)
        prefix = f"lutra:in:{computation.id}"
        try:
            chunks = self._write_chunks(prefix, data, ADMISSION_HOLD_S)
            if table:
                chunks += self._write_chunks(prefix, table, ADMISSION_HOLD_S, first=chunks)
            self._submit(job, chunks)
        except LutraError:
            self.withdraw(job)
            raise

    def _refuse_what_never_fits(self, size_bytes: int) -> None:
        limit = self.limits.store_bytes
        if size_bytes > limit:
            seen = f"picture and result need about {size_bytes} bytes of the store, which holds {limit}"
            raise TooManyPixels(f"{seen}: ask for a smaller picture or a lossy format", limit=limit)

    def _admit(self, job: Job, size_bytes: int) -> None:
        limits, id_ = self.limits, job.computation.id
        args = [id_, size_bytes, limits.queue_size, limits.store_bytes, ADMISSION_HOLD_S, HEARTBEAT_TTL_S]
        parts = part_of(limits.queue_size, job.queue_share), part_of(limits.store_bytes, job.share)
        lane = [job.computation.lane, limits.lane_places, job.client, *parts]
        answer = "again"
        while answer == "again":  # so many small results make room that they go some at a time
            answer = text(self._run(Script.ADMIT, *args, int(limits.evict_delivered), *lane))
        if answer != "ok":
            raise self._refusal(answer, job)

    def _refusal(self, answer: str, job: Job) -> LutraError:
        limits, lane = self.limits, job.computation.lane
        if answer == "no_worker":
            return NoWorker("no worker is alive to take the job")
        if answer == "queue_full":
            full = f"the queue is full: {limits.queue_size} jobs are waiting or running"
            return QueueFull(full, limit=limits.queue_size, lane=lane)
        if answer == "lane_full":
            full = f"the {lane} lane is full: {limits.lane_places} jobs are waiting or running in it"
            return QueueFull(full, limit=limits.lane_places, lane=lane)
        if answer == "share_of_queue":
            part = part_of(limits.queue_size, job.queue_share)
            return ShareReached(
                f"{part} of your jobs are waiting or running, your share", limit=part, unit="jobs", lane=lane
            )
        if answer == "share_of_store":
            part = part_of(limits.store_bytes, job.share)
            seen = f"your pictures and results, with this one, take more than {part} bytes of the store, your share"
            return ShareReached(f"{seen}: fetch or delete results", limit=part, unit="content-bytes", lane=lane)
        return StoreFull("no room for another picture until results expire", limit=limits.store_bytes)

    def _submit(self, job: Job, chunks: int) -> None:
        record = {**computation_fields(job.computation, chunks, job.request_id), "share": job.share}
        request = {"detached": int(job.detached), "request_id": job.request_id, "client": job.client}
        args = [job.computation.id, job.id, PENDING_TTL_S, TOMBSTONE_S, len(record)]
        self._run(Script.SUBMIT, *args, *flat_pairs(record), *flat_pairs(request))

    def withdraw(self, job: Job) -> None:
        """Undo `put` for a job that could not be sent; a store that does not answer is left to its sweep."""
        try:
            self._run(Script.WITHDRAW, job.computation.id, job.id)
        except StoreUnavailable:
            return
