"""What the store keeps, as dataclasses, and how a job's two hashes in Redis become one `JobStatus` and back.

Pure words and numbers: nothing here talks to Redis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workers.errors import LutraError
from workers.job import CANCELLED, QUEUED, RUNNING, SUCCEEDED, Computation, JobStatus


@dataclass(frozen=True)
class Limits:
    """What the store may hold: jobs queued and running, bytes of pictures; and how long a result stays."""

    queue_size: int = 100
    store_bytes: int = 1024**3
    result_ttl_s: int = 3600


@dataclass(frozen=True)
class Claim:
    """A worker's right to a computation until its lease ends; `attempt` is the fencing token."""

    computation_id: str
    attempt: int
    operation: str
    model: str
    parameters: Mapping[str, Any]
    input: Mapping[str, Any]
    input_chunks: int
    queue_s: float
    timeout_s: float
    request_id: str
    job_id: str


@dataclass(frozen=True)
class Reclaimed:
    """What became of a computation whose worker is gone: `verdict` is queued, failed, cancelled or kept."""

    verdict: str
    operation: str
    model: str
    error_code: str


@dataclass(frozen=True)
class QueueFacts:
    """The queue at one moment; `job_s` is the smoothed duration of a job, None before the first has ended."""

    queued: int
    running: int
    active: int
    oldest_age_s: float
    workers_alive: int
    stored_bytes: int
    job_s: float | None

    def wait_s(self, place: int | None = None) -> float:
        """Seconds until the job at `place` in the queue (default: the next to come) is probably done."""
        ahead = self.queued if place is None else place
        return (self.job_s or 1.0) * (ahead + 1 + min(1, self.running)) / max(1, self.workers_alive)


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
        "key": computation.key,
        "operation": computation.operation,
        "model": computation.model,
        "parameters": json.dumps(dict(computation.parameters)),
        "input": json.dumps(asdict(computation.input)),
        "input_chunks": chunks,
        "request_id": request_id,
    }


def _json(record: Mapping[bytes, bytes], name: bytes, default: Any) -> Any:
    return json.loads(record[name]) if record.get(name) else default


def _job_state(job: Mapping[bytes, bytes], computation: Mapping[bytes, bytes]) -> str:
    """The computation's state, unless this job has left it while others stayed."""
    return CANCELLED if job.get(b"left") == b"1" else text(computation[b"state"])


def _progress(state: str, computation: Mapping[bytes, bytes]) -> float:
    if state == SUCCEEDED:
        return 1.0
    total = int(computation.get(b"total") or 0)
    return round(int(computation.get(b"done") or 0) / total, 4) if total and state == RUNNING else 0.0


def status_of(job_id: str, job: dict[bytes, bytes], computation: dict[bytes, bytes], place: int | None) -> JobStatus:
    state = _job_state(job, computation)
    return JobStatus(
        id=job_id,
        computation_id=text(job[b"computation"]),
        operation=text(computation[b"operation"]),
        model=text(computation[b"model"]),
        parameters=json.loads(computation[b"parameters"]),
        state=state,
        created_at=float(job[b"created_at"]),
        started_at=number(computation.get(b"started_at")) if state != QUEUED else None,
        finished_at=number(job.get(b"left_at") or computation.get(b"finished_at")),
        attempts=int(computation.get(b"attempt") or 0),
        progress=_progress(state, computation),
        input=json.loads(computation[b"input"]),
        output=_json(computation, b"output", None),
        timings_s=_json(computation, b"timings_s", {}),
        error=_json(computation, b"error", None),
        place=place if state == QUEUED else None,
        result_attempt=int(computation.get(b"result_attempt") or 0),
    )
