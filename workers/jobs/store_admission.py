"""How a job enters the store: it joins an equal computation; or a place and bytes are reserved, then its input and its
records are written.
"""

from __future__ import annotations

from functools import partial
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
from workers.jobs.lanes import QUEUES, part_of
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
from workers.jobs.script import Call, Script
from workers.jobs.store_base import CARRIED_BYTES, StoreBase, flat_pairs

RESERVED = "reserved"  # as the script answers where the input is still to be written


class Admission(StoreBase):
    """The gateway's side until a job is queued."""

    def put(
        self,
        job: Job,
        data: bytes,
        *,
        result_bytes: int,
        table: bytes = b"",
        is_fresh: bool = False,
        message: bytes = b"",
    ) -> CacheResult | None:
        """Join an equal computation, or admit the job's own and store its input and record; how it went.

        None, and nothing is stored, while the input of an equal one is on its way: to be asked again in a moment.
        `result_bytes`: what the result will hold, by estimate. `table`: the numbers of the user's own, whose facts are
        the parameter `lut`; they lie behind the picture, in pieces of their own, and share its life. `is_fresh`: it
        joins no other. `message`: for the queue of its lane. Raises NoWorker, QueueFull, ShareReached, StoreFull or
        IdempotencyKeyInUse, and then stores nothing.
        """
        options: dict[str, Any] = {"result_bytes": result_bytes, "table": table, "is_fresh": is_fresh}
        answer = self.ask(self.admit_call(job, data, message=message, **options))
        if answer == RESERVED:
            return self.write_input(job, data, table, message)
        return cache_of(answer)

    def admit_call(
        self, job: Job, data: bytes, *, result_bytes: int, table: bytes, is_fresh: bool, message: bytes
    ) -> Call[str]:
        """The first part of `put`, and all of it for a small picture without a table: answers RESERVED, or what
        `cache_of` reads.
        """
        size_bytes = len(data) + len(table) + result_bytes + RECORD_BYTES
        self._refuse_what_never_fits(size_bytes)
        picture = data if len(data) <= CARRIED_BYTES and not table else b""
        return self._admission(job, size_bytes, is_fresh, picture, message)

    def write_input(self, job: Job, data: bytes, table: bytes, message: bytes) -> CacheResult:
        """The other part, for which a place is reserved: write the input in pieces, then queue the job."""
        prefix = f"lutra:in:{job.computation.id}"
        try:
            chunks = self._write_chunks(prefix, data, ADMISSION_HOLD_S)
            if table:
                chunks += self._write_chunks(prefix, table, ADMISSION_HOLD_S, first=chunks)
            self._submit(job, chunks, message)
        except LutraError:
            self.withdraw(job)
            raise
        return CacheResult.MISS

    def _refuse_what_never_fits(self, size_bytes: int) -> None:
        limit = self.limits.store_bytes
        if size_bytes > limit:
            seen = f"picture and result need about {size_bytes} bytes of the store, which holds {limit}"
            raise TooManyPixels(f"{seen}: ask for a smaller picture or a lossy format", limit=limit)

    def _admit(self, job: Job, size_bytes: int, *, is_fresh: bool = False) -> str:
        return self.ask(self._admission(job, size_bytes, is_fresh, b"", b""))

    def _admitted(self, job: Job, answer: bytes) -> str:
        """As `admit.lua` answers, whose refusals are raised."""
        told = text(answer)
        if told not in (*CacheResult, "admitted", RESERVED):
            raise self._refusal(told, job)
        return told

    def _admission(self, job: Job, size_bytes: int, is_fresh: bool, picture: bytes, message: bytes) -> Call[str]:
        """So many small results may go to make room that they do some at a time: it is asked again then."""
        limits, computation = self.limits, job.computation
        record = self._record(job, 1)  # written where the picture came along, in one piece
        written = ("SET", f"lutra:in:{computation.id}:0", picture, "EX", ADMISSION_HOLD_S, "NX")
        args = [
            *(job.id, computation.id, job.equal, int(is_fresh), job.idempotency_key),
            *(job.client, part_of(limits.queue_size, job.queue_share), part_of(limits.store_bytes, job.share)),
            *(computation.lane, limits.lane_places, limits.queue_size),
            *(size_bytes, RECORD_BYTES, limits.store_bytes),
            *(int(limits.evict_delivered), HEARTBEAT_TTL_S, ADMISSION_HOLD_S),
            *(PENDING_TTL_S, limits.result_ttl_s, TOMBSTONE_S),
            *(int(bool(picture)), QUEUES[computation.lane], message),
            *(len(record), *flat_pairs(record), *flat_pairs(_job_fields(job))),
        ]
        return Call(Script.ADMIT, args, partial(self._admitted, job), before=[written] if picture else [])

    @staticmethod
    def _record(job: Job, chunks: int) -> dict[str, Any]:
        return {**computation_fields(job.computation, chunks, job.request_id), "equal": job.equal, "share": job.share}

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

    def _submit(self, job: Job, chunks: int, message: bytes) -> None:
        record = self._record(job, chunks)
        queue = QUEUES[job.computation.lane]
        args = [job.computation.id, job.id, PENDING_TTL_S, TOMBSTONE_S, queue, message, len(record)]
        self._run(Script.SUBMIT, *args, *flat_pairs(record), *flat_pairs(_job_fields(job)))

    def withdraw(self, job: Job) -> None:
        """Undo `put` for a job that could not be sent; a store that does not answer is left to its sweep.

        A computation that others have joined stays, and is sent when it is found to be missing from the queue.
        """
        try:
            self._run(Script.WITHDRAW, job.computation.id, job.id)
        except StoreUnavailable:
            return


def cache_of(answer: str) -> CacheResult | None:
    """What `Admission.admit_call` came to; None while the input of an equal computation is on its way."""
    return None if answer == "admitted" else CacheResult(answer)


def _job_fields(job: Job) -> dict[str, Any]:
    fields = {"detached": int(job.detached), "request_id": job.request_id, "client": job.client}
    if job.idempotency_key:
        fields |= {"idempotency_key": job.idempotency_key, "fingerprint": job.fingerprint}
    return fields
