"""What the store keeps, as dataclasses, and how a job's two hashes in Redis become one `JobStatus` and back.

Pure words and numbers: nothing here talks to Redis.

A computation's record names its version, for the time of an upgrade or its undoing, when workers and gateways of two
versions share one Redis:

    1   has no field `version`; its parameters are what the endpoint put together
    2   its parameters are those of the operation, as typed JSON; one that is left out has its default

Both have the same fields and names of parameters and are read alike, also by what was written before versions were
named. The next version is for a record that readers of these would misread: they answer with RecordUnreadable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

from workers.errors import LutraError, RecordUnreadable
from workers.jobs.job import Computation, JobState, JobStatus, Lane

RECORD_VERSION = 2
READABLE_VERSIONS = ("1", "2")
LEASE_S = 12.0  # how long a computation stays with a worker that does not renew
TOMBSTONE_S = 24 * 3600
PENDING_TTL_S = 7 * 24 * 3600
ADMISSION_HOLD_S = 60
HEARTBEAT_TTL_S = 10
RETURN_S = 60
RECORD_BYTES = 8 * 1024  # of Redis' memory, for the record and events of a job until its end measures them
WAKE_CHANNEL = "lutra:wake"

Record = Mapping[bytes, bytes]  # a hash of the store, or those of its fields that were asked for


@dataclass(frozen=True)
class Limits:
    """What the store may hold: jobs queued and running, bytes of pictures and records; and how long a result stays.

    `evict_delivered`: where there is no room for a new job, results that have reached their clients go first.
    `lanes_apart`: a tenth of the places is kept from each lane for the other.
    """

    queue_size: int = 100
    store_bytes: int = 1024**3
    result_ttl_s: int = 3600
    evict_delivered: bool = True
    lanes_apart: bool = False

    @property
    def lane_places(self) -> int:
        """Jobs that may wait and run in one lane."""
        return self.queue_size - (self.queue_size // 10 if self.lanes_apart else 0)


@dataclass(frozen=True)
class Claim:
    """A worker's right to a computation until its lease ends; `attempt` is the fencing token.

    `problem`: what it is to fail with, where its record cannot be read here; it has no parameters and no input then.
    `picture`: the input itself where that is small; else empty. `further`: what the same child was given along with it.
    """

    computation_id: str
    version: str
    attempt: int
    operation: str
    model: str
    queue_s: float
    timeout_s: float
    request_id: str
    job_id: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    input_chunks: int = 0
    lane: Lane = Lane.BULK
    picture: bytes = b""
    problem: LutraError | None = None
    further: tuple[Claim, ...] = ()


class Hold(IntEnum):
    """How an attempt stands to its computation, as the scripts answer: LOST is to another attempt, or to its end."""

    LOST = 0
    HELD = 1
    CANCELLED = 2


class CacheResult(StrEnum):
    """How a job came to its computation: the value of `X-Cache`."""

    HIT = "hit"  # it had its result
    COALESCED = "coalesced"  # it waited or ran for another job
    MISS = "miss"  # there was none


class CancelOutcome(StrEnum):
    """What became of a job that was cancelled."""

    CANCELLED = "cancelled"
    STOPPING = "running"  # its worker stops at the next tile
    REMOVED = "removed"  # it had ended
    LEFT = "left"  # and other jobs keep its computation
    DETACHED = "detached"  # its client left, and it goes on all the same
    SUCCEEDED = "succeeded"  # its client left when it had just ended
    FAILED = "failed"


@dataclass(frozen=True)
class Reclaimed:
    """What became of a computation that was taken back from its worker: `state` is queued, failed or cancelled."""

    state: JobState
    operation: str
    model: str
    error_code: str
    lane: Lane


@dataclass(frozen=True)
class LaneFacts:
    """One lane at one moment. `work_s`: estimated work left of what runs and waits; `running_s`: of what runs.

    `children`: that compute its jobs; `clients`: that have jobs waiting.
    """

    queued: int = 0
    running: int = 0
    oldest_age_s: float = 0.0
    work_s: float = 0.0
    running_s: float = 0.0
    children: int = 0
    clients: int = 0

    @property
    def place_s(self) -> float:
        """Seconds until one of its jobs is probably done and its place free."""
        return self.work_s / max(1, self.children) / max(1, self.queued + self.running)

    @property
    def turn_s(self) -> float:
        """Seconds until one job of each client, and so of any, is probably done."""
        return self.place_s * max(1, self.clients)


@dataclass(frozen=True)
class Standing:
    """Where a computation waits: its place in the lane, 1 for the next, None where it does not wait.

    `work_s`: estimated work that is given to a worker before it, and of itself.
    """

    lane: Lane
    position: int | None = None
    work_s: float = 0.0


@dataclass(frozen=True)
class QueueFacts:
    """The queue at one moment; `standing` of the computation that was asked about.

    `room_s`: until the store frees the bytes of something that has ended; None where nothing held has an end yet.
    """

    lanes: Mapping[Lane, LaneFacts]
    active: int
    workers_alive: int
    stored_bytes: int
    room_s: float | None = None
    standing: Standing = Standing(Lane.BULK)

    @property
    def queued(self) -> int:
        return sum(lane.queued for lane in self.lanes.values())

    @property
    def running(self) -> int:
        return sum(lane.running for lane in self.lanes.values())

    @property
    def wait_s(self) -> float:
        """Seconds until the computation that was asked about, which waits, is probably done."""
        lane = self.lanes.get(self.standing.lane, LaneFacts())
        return (lane.running_s + self.standing.work_s) / max(1, lane.children)

    @property
    def place_s(self) -> float:
        """Seconds until one of all jobs is probably done and its place free."""
        return min((lane.place_s for lane in self.lanes.values() if lane.queued + lane.running), default=0.0)


@dataclass(frozen=True)
class Event:
    """One entry of a job's stream; `id` is its Redis stream id and the id of the Server-Sent Event."""

    id: str
    kind: str
    data: str


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def number(value: Any) -> float | None:
    return None if value in (None, b"", "") else float(value)


def problem_json(error: LutraError) -> str:
    return json.dumps(
        {"code": error.code, "detail": error.message, "retryable": error.retryable, "members": error.members}
    )


def computation_fields(computation: Computation, chunks: int, request_id: str) -> dict[str, Any]:
    return {
        "version": RECORD_VERSION,
        "key": computation.key,
        "operation": computation.operation,
        "model": computation.model,
        "parameters": json.dumps(dict(computation.parameters)),
        "input": json.dumps(vars(computation.input)),
        "input_chunks": chunks,
        "estimate_s": computation.estimate_s,
        "lane": computation.lane,
        "request_id": request_id,
    }


def version_of(record: Record) -> str:
    return text(record.get(b"version", "1"))


@contextmanager
def readable(version: str) -> Iterator[None]:
    """Inside, a record of this version is read. Raises RecordUnreadable where this version of the service cannot."""
    if version not in READABLE_VERSIONS:
        raise _unreadable(version)
    try:
        yield
    except (KeyError, ValueError) as error:
        raise _unreadable(version) from error


def _unreadable(version: str) -> RecordUnreadable:
    seen = f"this job was recorded by another version of this service (record version {version[:20]}"
    return RecordUnreadable(f"{seen}, known here: {', '.join(READABLE_VERSIONS)}); try again", version=version[:20])


def claim_of(computation_id: str, attempt: int, record: Record, jobs: Sequence[bytes], **known: Any) -> Claim:
    """`known`: further members of the claim, `queue_s` and `timeout_s` among them."""
    claim = Claim(
        computation_id=computation_id,
        version=version_of(record),
        attempt=attempt,
        operation=text(record.get(b"operation", "unknown")),
        model=text(record.get(b"model", "unknown")),
        request_id=text(record.get(b"request_id", "")),
        job_id=min(map(text, jobs), default=""),
        lane=_lane(record),
        **known,
    )
    try:
        with readable(claim.version):
            return replace(
                claim,
                parameters=json.loads(record[b"parameters"]),
                input=json.loads(record[b"input"]),
                input_chunks=int(record[b"input_chunks"]),
            )
    except RecordUnreadable as problem:
        return replace(claim, problem=problem)


def _json(record: Record, name: bytes, default: Any) -> Any:
    return json.loads(record[name].decode()) if record.get(name) else default


def _job_state(job: Record, computation: Record) -> JobState:
    """The computation's state, unless this job has left it while others stayed."""
    return JobState.CANCELLED if job.get(b"left") == b"1" else JobState(text(computation[b"state"]))


def _lane(computation: Record) -> Lane:
    """Bulk for a record of a version without lanes."""
    lane = text(computation.get(b"lane", Lane.BULK))
    return Lane(lane) if lane in tuple(Lane) else Lane.BULK


def _progress(state: JobState, computation: Record) -> float:
    if state is JobState.SUCCEEDED:
        return 1.0
    total = int(computation.get(b"total") or 0)
    return round(int(computation.get(b"done") or 0) / total, 4) if total and state is JobState.RUNNING else 0.0


def _since(job: Record, moment: Any) -> float | None:
    """A moment in the life of its computation as the job lived it: not before it was taken in."""
    seconds = number(moment)
    return None if seconds is None else max(seconds, float(job[b"created_at"]))


def _timings(job: Record, computation: Record) -> dict[str, float]:
    """What the stages took; nothing for a stored result, and no longer in the queue than the job itself was."""
    timings = _json(computation, b"timings_s", {})
    if job.get(b"cache") == CacheResult.HIT.encode():
        return dict.fromkeys(timings, 0.0)
    started_at = number(computation.get(b"started_at"))
    if job.get(b"cache") == CacheResult.COALESCED.encode() and "queue" in timings and started_at is not None:
        timings["queue"] = round(max(0.0, started_at - float(job[b"created_at"])), 6)
    return dict(timings)


def status_of(job_id: str, job: Record, computation: Record, result: bytes = b"") -> JobStatus:
    """`result`: its bytes, where they are at hand. Raises RecordUnreadable."""
    with readable(version_of(computation)):
        return _status_of(job_id, job, computation, result)


def _status_of(job_id: str, job: Record, computation: Record, result: bytes) -> JobStatus:
    state = _job_state(job, computation)
    return JobStatus(
        id=job_id,
        computation_id=text(job[b"computation"]),
        operation=text(computation[b"operation"]),
        model=text(computation[b"model"]),
        parameters=json.loads(text(computation[b"parameters"])),
        state=state,
        created_at=float(job[b"created_at"]),
        started_at=_since(job, computation.get(b"started_at")) if state is not JobState.QUEUED else None,
        finished_at=_since(job, job.get(b"left_at") or computation.get(b"finished_at")),
        attempts=int(computation.get(b"attempt") or 0),
        progress=_progress(state, computation),
        input=json.loads(text(computation[b"input"])),
        output=_json(computation, b"output", None),
        timings_s=_timings(job, computation),
        error=_json(computation, b"error", None),
        estimate_s=float(computation.get(b"estimate_s") or 0),
        result_attempt=int(computation.get(b"result_attempt") or 0),
        cache=text(job.get(b"cache", CacheResult.MISS)),
        expires_at=number(job.get(b"expires_at")) if JobState(text(computation[b"state"])).is_terminal else None,
        lane=_lane(computation),
        result=result,
    )
