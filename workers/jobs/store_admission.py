"""How a job enters the store: it joins an equal computation; or a place and bytes are reserved, then its input and its
records are written.
"""

from __future__ import annotations

from typing import Any

from workers.errors import (
    IdempotencyKeyInUse,
    LutraError,
    NoWorker,
    QueueFull,
    ShareReached,
    StoreFull,
    StoreUnavailable,
    TooManyPixels,
)
from workers.jobs.job import Job
from workers.jobs.lanes import part_of
from workers.jobs.records import (
    ADMISSION_HOLD_S,
    HEARTBEAT_TTL_S,
    PENDING_TTL_S,
    RECORD_BYTES,
    TOMBSTONE_S,
    CacheResult,
    computation_fields,
    text,
)
from workers.jobs.script import Script
from workers.jobs.store_base import StoreBase, flat_pairs


class Admission(StoreBase):
    """The gateway's side until a job is queued."""

    def put(
        self, job: Job, data: bytes, *, result_bytes: int, table: bytes = b"", is_fresh: bool = False
    ) -> CacheResult | None:
        """Join an equal computation, or admit the job's own and store its input and record; how it went.

        None, and nothing is stored, while the input of an equal one is on its way: to be asked again in a moment.
        `result_bytes`: what the result will hold, by estimate. `table`: the numbers of the user's own, whose facts are
        the parameter `lut`; they lie behind the picture, in pieces of their own, and share its life. `is_fresh`: it
        joins no other. Raises NoWorker, QueueFull, ShareReached, StoreFull or IdempotencyKeyInUse, and then stores
        nothing.
        """
        size_bytes = len(data) + len(table) + result_bytes + RECORD_BYTES
        self._refuse_what_never_fits(size_bytes)
        while True:
            joined = self._join(job, is_fresh=is_fresh)
            if joined is not CacheResult.MISS:
                return joined
            if self._admit(job, size_bytes, is_fresh=is_fresh):
                self._store(job, data, table)
                return joined

    def _store(self, job: Job, data: bytes, table: bytes) -> None:
        prefix = f"lutra:in:{job.computation.id}"
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

    def _join(self, job: Job, *, is_fresh: bool = False) -> CacheResult | None:
        """None while the input of an equal computation is on its way."""
        limits = self.limits
        answer = self._repeated(
            Script.JOIN,
            *(job.id, job.equal, int(is_fresh), job.idempotency_key),
            *(PENDING_TTL_S, limits.result_ttl_s, TOMBSTONE_S),
            *(RECORD_BYTES, limits.store_bytes, int(limits.evict_delivered)),
            *(job.client, part_of(limits.store_bytes, job.share)),
            *flat_pairs(_job_fields(job)),
        )
        if answer == "admitted":
            return None
        if answer not in tuple(CacheResult):
            raise self._refusal(answer, job)
        return CacheResult(answer)

    def _admit(self, job: Job, size_bytes: int, *, is_fresh: bool = False) -> bool:
        """False where an equal computation came first."""
        limits = self.limits
        parts = part_of(limits.queue_size, job.queue_share), part_of(limits.store_bytes, job.share)
        answer = self._repeated(
            Script.ADMIT,
            *(job.computation.id, size_bytes, limits.queue_size, limits.store_bytes, ADMISSION_HOLD_S),
            *(HEARTBEAT_TTL_S, int(limits.evict_delivered)),
            *(job.computation.lane, limits.lane_places, job.client, *parts),
            *(job.equal, int(is_fresh)),
        )
        if answer not in ("ok", "equal"):
            raise self._refusal(answer, job)
        return answer == "ok"

    def _repeated(self, script: Script, *args: Any) -> str:
        """The answer of a script that makes room; so many small results may go that they do some at a time."""
        answer = "again"
        while answer == "again":
            answer = text(self._run(script, *args))
        return answer

    def _refusal(self, answer: str, job: Job) -> LutraError:
        limits, lane = self.limits, job.computation.lane
        if answer == "key_lost":
            return IdempotencyKeyInUse("another request with this Idempotency-Key has overtaken this one")
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
        facts = computation_fields(job.computation, chunks, job.request_id)
        record = {**facts, "equal": job.equal, "share": job.share}
        args = [job.computation.id, job.id, PENDING_TTL_S, TOMBSTONE_S, len(record)]
        self._run(Script.SUBMIT, *args, *flat_pairs(record), *flat_pairs(_job_fields(job)))

    def withdraw(self, job: Job) -> None:
        """Undo `put` for a job that could not be sent; a store that does not answer is left to its sweep.

        A computation that others have joined stays, and is sent when it is found to be missing from the queue.
        """
        try:
            self._run(Script.WITHDRAW, job.computation.id, job.id)
        except StoreUnavailable:
            return


def _job_fields(job: Job) -> dict[str, Any]:
    fields = {"detached": int(job.detached), "request_id": job.request_id, "client": job.client}
    if job.idempotency_key:
        fields |= {"idempotency_key": job.idempotency_key, "fingerprint": job.fingerprint}
    return fields
