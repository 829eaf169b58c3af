"""A job is what one client asked for; a computation is the work behind one or more equal jobs.

What is stored of them, and in which state they are, is the business of `workers.jobs.store`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum, auto
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from models.cards import CARDS, Card

if TYPE_CHECKING:
    from workers.operations.operation import Plan


_compact = json.JSONEncoder(separators=(",", ":")).encode

Weights = Mapping[str, tuple[str | None, ...]]  # hashes of weight files by model
NO_WEIGHTS: Weights = MappingProxyType({})


class JobState(StrEnum):
    """Where a job or a computation stands, in the words of Redis, of the events and of the JSON."""

    QUEUED = auto()
    RUNNING = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    CANCELLED = auto()

    @property
    def is_terminal(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Lane(StrEnum):
    """Where a computation waits: short ones apart from long ones (`workers.jobs.lanes`)."""

    EXPRESS = auto()
    BULK = auto()


@dataclass(frozen=True)
class PictureFacts:
    """Facts of an input or output: `format`, size in pixels, size in bytes."""

    format: str
    width: int
    height: int
    bytes: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True)
class Computation:
    """The work itself: everything that decides its result, under one key, with the facts of its input.

    `estimate_s`: seconds it will probably take, by the measured speed of its model, which decides its lane.
    """

    id: str
    key: str
    operation: str
    model: str
    parameters: Mapping[str, Any]
    input: PictureFacts
    estimate_s: float = 0.0
    lane: Lane = Lane.BULK


@dataclass(frozen=True)
class Job:
    """One client's request for a computation. `detached`: it outlives the connection that asked for it.

    `client`: who asked, as `service.clients` names them; empty in records that were written before clients were named.
    `share`: the client's weight in a lane, and the largest part of the store that it may hold, 0 to 1; `queue_share`:
    of the queue's places.
    `idempotency_key`: the name under which the store keeps the one of its request, empty where that came without;
    `fingerprint`: what makes another request with that key the same (`service.idempotency`).
    """

    id: str
    computation: Computation
    detached: bool = False
    request_id: str = ""
    client: str = ""
    share: float = 1.0
    queue_share: float = 1.0
    idempotency_key: str = ""
    fingerprint: str = ""

    @cached_property
    def equal(self) -> str:
        """The name under which equal requests of one client find one computation."""
        return hashlib.sha256(f"{self.computation.key} {self.client}".encode()).hexdigest()


class ResultKey(NamedTuple):
    """Where a result lies: under an attempt of its computation, in so many bytes."""

    computation_id: str
    attempt: int
    size_bytes: int


@dataclass(frozen=True)
class JobStatus:
    """A job as the store knows it now; times are seconds since the epoch.

    `cache`: how it came to its computation (`records.CacheResult`); `expires_at`: when it goes, None until that ended.
    `result`: its bytes, where they are few and were read along with it.
    """

    id: str
    computation_id: str
    operation: str
    model: str
    parameters: Mapping[str, Any]
    state: JobState
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempts: int
    progress: float
    input: Mapping[str, Any]
    output: Mapping[str, Any] | None
    timings_s: Mapping[str, float]
    error: Mapping[str, Any] | None
    estimate_s: float = 0.0
    result_attempt: int = 0
    lane: Lane = Lane.BULK
    cache: str = "miss"
    expires_at: float | None = None
    result: bytes = field(default=b"", repr=False)

    @property
    def ended(self) -> bool:
        return self.state.is_terminal

    @property
    def result_key(self) -> ResultKey | None:
        """None where there is no result."""
        if self.output is None or self.state is not JobState.SUCCEEDED:
            return None
        return ResultKey(self.computation_id, self.result_attempt, int(self.output["bytes"]))

    @property
    def found(self) -> dict[str, float] | None:
        """How sure a restorer is of each kind of damage that it tells apart; None where none looked."""
        return self.output.get("found") if self.output and self.state is JobState.SUCCEEDED else None


def new_id() -> str:
    """An unguessable id: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def computation_key(
    data_sha256: str,
    operation: str,
    card: Card,
    parameters: Mapping[str, Any],
    weights: Weights = NO_WEIGHTS,
) -> str:
    """Hash of bytes, parameters and weights: two computations of one key have one result.

    `weights`: the hashes that workers report of each model; one that is missing has those of its card.
    """
    blended = CARDS.get(card.blends_with or "")
    used = [weights.get(one.name, (one.sha256,)) if one else () for one in (card, blended)]
    facts = [data_sha256, operation, card.name, used, sorted(parameters.items())]
    return hashlib.sha256(_compact(facts).encode()).hexdigest()


def new_job(
    data: bytes,
    facts: PictureFacts,
    plan: Plan[Any],
    *,
    estimate_s: float = 0.0,
    lane: Lane = Lane.BULK,
    job_id: str = "",
    weights: Weights = NO_WEIGHTS,
    **known: Any,
) -> Job:
    """A job with a computation of its own; `facts` describe `data`, the picture as it came in; `known`: further members
    of the job.
    """
    operation, card, parameters = plan.operation.name, plan.card, plan.parameters.to_json()
    key = computation_key(hashlib.sha256(data).hexdigest(), operation, card, parameters, weights)
    computation = Computation(new_id(), key, operation, card.name, parameters, facts, estimate_s, lane)
    return Job(job_id or new_id(), computation, **known)


def rfc3339(seconds: float | None) -> str | None:
    """A time as RFC 3339 in UTC with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
