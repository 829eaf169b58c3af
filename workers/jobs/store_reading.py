"""What clients learn of their jobs and of the queue, and what they do to a job: cancel it, take its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, cast

from workers.errors import JobGone, JobUnknown, LutraError
from workers.jobs.job import JobStatus, Lane, ResultKey
from workers.jobs.records import (
    HEARTBEAT_TTL_S,
    TOMBSTONE_S,
    CancelOutcome,
    Event,
    LaneFacts,
    QueueFacts,
    Standing,
    number,
    status_of,
    text,
)
from workers.jobs.script import Call, Lookup, Script
from workers.jobs.store_base import StoreBase, named, result_prefix

# What `status_of` reads.
JOB_FIELDS = ("computation", "created_at", "cache", "left", "left_at", "expires_at")
COMPUTATION_FIELDS = (
    *("version", "operation", "model", "parameters", "input", "estimate_s", "lane", "state", "attempt"),
    *("done", "total", "started_at", "finished_at", "output", "timings_s", "error", "result_attempt"),
)
LATER = 1e12  # a time that means: no end is known yet
WHY_GONE = {
    b"deleted": "this job was deleted, and its result with it",
    b"delivered": "the result of this job was delivered and has made room for new jobs since",
    b"told": "this job ended without a result, which was told, and has made room for new jobs since",
}


class Watch(NamedTuple):
    """What somebody waits for: events of a job after the id `seen` ("0": any); empty: its end."""

    job_id: str
    seen: str


class Reading(StoreBase):
    """The gateway's side from then on."""

    def status(self, job_id: str, *, owner: str = "", detach: bool = False) -> JobStatus:
        """The job as it stands; `detach`: it was read by id and so outlives the connection that made it.

        `owner`: the client whose it has to be, if it has to be somebody's.
        Raises JobUnknown, JobGone after its time to live, or RecordUnreadable.
        """
        return self.ask(self.status_call(job_id, owner=owner, detach=detach))

    def status_call(self, job_id: str, *, owner: str = "", detach: bool = False) -> Call[JobStatus]:
        def read(answer: Any) -> JobStatus:
            job, computation, gone = answer
            if not job or not computation:
                raise self._missing(gone)
            return status_of(job_id, named(JOB_FIELDS, job), named(COMPUTATION_FIELDS, computation))

        fields = (len(JOB_FIELDS), *JOB_FIELDS, *COMPUTATION_FIELDS)
        return Call(Script.STATUS, (job_id, int(detach), owner, *fields), read)

    def result_lookup(self, job_id: str, key: ResultKey) -> Lookup[JobStatus | None]:
        """The job with its small result, which lies there; None where that is not so (any more): see `status`.

        No script, and no copy for it to lay ready: what a result's key holds is written once.
        """

        def read(job: Sequence[bytes | None], computation: Sequence[bytes | None], result: bytes | None) -> Any:
            if job[0] is None or text(job[0]) != key.computation_id or computation[0] is None:
                return None
            facts = named(JOB_FIELDS, job), named(COMPUTATION_FIELDS, computation)
            status = status_of(job_id, *facts, result or b"")
            return status if result and status.result_key == key else None

        record = f"lutra:comp:{key.computation_id}"
        piece = f"{result_prefix(key.computation_id, key.attempt)}:0"
        commands = ("HMGET", f"lutra:job:{job_id}", *JOB_FIELDS), ("HMGET", record, *COMPUTATION_FIELDS)
        return Lookup((*commands, ("GET", piece)), read)

    @staticmethod
    def _missing(gone: bytes | None) -> LutraError:
        """The error of a job without a record; `gone` is its tombstone: why, and after a space whose it was."""
        if gone is None:
            return JobUnknown("no job has this id")
        return JobGone(WHY_GONE.get(gone.partition(b" ")[0], "this job and its result have expired"))

    def cancel(self, job_id: str, *, only_if_attached: bool = False) -> CancelOutcome:
        """Cancel a job. Raises JobUnknown, JobGone.

        One that succeeded or failed is removed at once with its bytes, unless `only_if_attached`. A result that other
        jobs share stays for them. To cancel what was cancelled changes nothing.
        """
        answer = self._run(Script.CANCEL, job_id, int(only_if_attached), self.limits.result_ttl_s, TOMBSTONE_S)
        if answer:
            return CancelOutcome(text(answer[0]))
        with self._reaching():
            raise self._missing(cast("bytes | None", self.client.get(f"lutra:gone:{job_id}")))

    def note_delivery_call(self, *job_ids: str) -> Call[None]:
        """The whole result, or the problem, has reached each job's client, in this order: it may go to make room."""
        return Call(Script.NOTE_DELIVERY, job_ids, _nothing)

    def events(self, job_id: str, after: str = "0") -> list[Event]:
        """The job's events later than the id `after`, oldest first."""
        with self._reaching():
            entries = cast("list[Any]", self.client.xrange(f"lutra:events:{job_id}", min=f"({after}", max="+"))
        return [Event(text(id_), text(fields[b"kind"]), text(fields[b"data"])) for id_, fields in entries]

    def follow(self, job_id: str, after: str, *, owner: str = "") -> tuple[JobStatus, list[Event]]:
        """The job, which is read by id, and its events later than the id `after`. Raises as `status` does."""
        return self.status(job_id, owner=owner, detach=True), self.events(job_id, after)

    def news_call(self, watches: Sequence[Watch]) -> Call[list[int]]:
        """The places, from 0, of those watches for which there is something new, in one call for all of them.

        It is news, too, that a job is gone.
        """
        return Call(Script.NEWS, tuple(chain.from_iterable(watches)), _places)

    def read_result(self, status: JobStatus, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) of a succeeded job's result, in pieces of at most PIECE_BYTES."""
        size = int((status.output or {})["bytes"])
        stop = size if stop is None else min(stop, size)
        if status.result:
            yield status.result[start:stop]
            return
        yield from self._read_range(result_prefix(status.computation_id, status.result_attempt), start, stop)

    def queue(self, asked: str = "") -> QueueFacts:
        """The queue, the workers and the bytes held at this moment; `asked`: the computation that is asked about."""
        return self.ask(self.queue_call(asked))

    def queue_call(self, asked: str = "") -> Call[QueueFacts]:
        return Call(Script.QUEUE, (HEARTBEAT_TTL_S, asked), _queue_facts)


def _nothing(answer: Any) -> None:
    """It was done; what it answered says no more."""


def _places(answer: Any) -> list[int]:
    """As `news.lua` answers, which counts from 1."""
    return [int(place) - 1 for place in answer]


def _queue_facts(answer: Any) -> QueueFacts:
    """As `queue.lua` answers."""
    active, alive, stored, room, now, *lanes, standing = answer
    room_at = number(room)
    room_s = room_at - float(now) if room_at is not None and room_at < LATER else None
    by_name = {Lane(text(name)): _lane_facts(facts, float(now)) for name, *facts in lanes}
    lane, position, work = standing
    place = Standing(Lane(text(lane)), int(position) or None, float(work))
    return QueueFacts(by_name, active, alive, int(stored), room_s, place)


def _lane_facts(facts: list[Any], now: float) -> LaneFacts:
    """As `queue.lua` answers them."""
    queued, running, oldest, work, running_work, children, clients = facts
    since = number(oldest)
    age_s = max(0.0, now - since) if since is not None else 0.0
    return LaneFacts(queued, running, age_s, float(work), float(running_work), children, clients)
