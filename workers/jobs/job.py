"""A job is what one client asked for; a computation is the work behind one or more equal jobs.

What is stored of them, and in which state they are, is the business of `workers.jobs.store`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.cards import CARDS, Card, available
from workers.errors import ParameterError, UnknownModel

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"
STATES = (QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED)
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})
OPERATIONS = ("enhance", "upscale", "restore")
DEFAULT_MODEL = {"enhance": "lut3d", "restore": "airnet", "upscale": "auto"}


@dataclass(frozen=True)
class PictureFacts:
    """What is told of an input or output: `format`, size in pixels, size in bytes."""

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

    `estimate_s`: seconds it will probably take, by the measured speed of its model.
    """

    id: str
    key: str
    operation: str
    model: str
    parameters: Mapping[str, Any]
    input: PictureFacts
    estimate_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """One client's request for a computation. `detached`: it outlives the connection that asked for it."""

    id: str
    computation: Computation
    detached: bool = False
    request_id: str = ""


@dataclass(frozen=True)
class JobStatus:
    """A job as the store knows it now; times are seconds since the epoch."""

    id: str
    computation_id: str
    operation: str
    model: str
    parameters: Mapping[str, Any]
    state: str
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

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


def new_id() -> str:
    """An unguessable id: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def served_models(only: tuple[str, ...], weights_dir: Path | None = None) -> dict[str, Card]:
    """The cards that this installation serves; `only` empty means all, with those whose weights the user brought."""
    return {name: card for name, card in available(weights_dir).items() if not only or name in only}


def choose_model(operation: str, asked: str | None, served: Mapping[str, Card]) -> Card:
    """The card for `asked`; None: the default one, `auto`: the largest (of /upscale, `operations.choice` decides).

    Raises UnknownModel with the known names.
    """
    fitting = {name: card for name, card in served.items() if card.task == operation}
    name = asked or DEFAULT_MODEL.get(operation, "auto")
    if name == "auto" and fitting:
        return max(fitting.values(), key=lambda card: card.parameters)
    if name not in fitting:
        if not fitting:
            raise UnknownModel(f"/{operation} is not served here: no model for it is at hand", allowed=[])
        known = ["auto", *fitting] if operation == "upscale" else list(fitting)
        raise UnknownModel(
            f"model {name[:40]!r} is not served for /{operation}; known are {', '.join(known) or 'none'}", allowed=known
        )
    return fitting[name]


def check_strength(card: Card, strength: float, served: Mapping[str, Card]) -> dict[str, float]:
    """What a job's parameters hold of `strength`. Raises ParameterError where the model has none below 1."""
    if card.blends_with is None and strength != 1:
        able = [name for name, one in served.items() if one.blends_with in served]
        advice = f"; ask for model={able[0]}, which has" if able else ""
        raise ParameterError(f"{card.name} has no strength{advice}", parameter="strength")
    if card.blends_with is not None and strength != 1 and card.blends_with not in served:
        raise ParameterError(
            f"{card.name} has no strength below 1 where {card.blends_with} is not served", parameter="strength"
        )
    return {"strength": strength} if card.blends_with is not None else {}


def computation_key(data_sha256: str, operation: str, card: Card, parameters: Mapping[str, Any]) -> str:
    """Hash of bytes, parameters and weights: two computations of one key have one result."""
    blended = CARDS.get(card.blends_with or "")
    weights = [card.sha256, blended and blended.sha256]
    facts = [data_sha256, operation, card.name, weights, sorted(parameters.items())]
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


def new_job(
    data: bytes,
    facts: PictureFacts,
    operation: str,
    card: Card,
    parameters: Mapping[str, Any],
    *,
    estimate_s: float = 0.0,
    detached: bool = False,
    request_id: str = "",
    job_id: str = "",
) -> Job:
    """A job with a computation of its own; `facts` describe `data`, the picture as it came in."""
    key = computation_key(hashlib.sha256(data).hexdigest(), operation, card, parameters)
    computation = Computation(new_id(), key, operation, card.name, dict(parameters), facts, estimate_s)
    return Job(job_id or new_id(), computation, detached, request_id)


def rfc3339(seconds: float | None) -> str | None:
    """A time as RFC 3339 in UTC with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
