"""What became of one job, as its user saw it; kept as lines of JSON, for users run in a process of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

JPEG = b"\xff\xd8"
REFUSALS = (429, 503)


class Outcome(StrEnum):
    """`refused` is an answer of its own: not now, and when to come again. All else that is no picture has failed."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class Sample:
    """Times are Unix seconds, the first when it was first sent; `status` is the last answer's, 0 where none came.

    `job`: the id that the service gave it. `key`: its Idempotency-Key. `repeats`: how often it was sent again.
    """

    kind: str
    way: str
    start_s: float
    end_s: float
    outcome: Outcome
    status: int
    megapixels: float
    job: str = ""
    key: str = ""
    repeats: int = 0

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


def outcome_of(status: int, body: bytes, retry_after: str | None) -> Outcome:
    """Of the last answer: a JPEG is what was asked for; 429 and 503 are refusals where they say when to come again."""
    if status == 200 and body.startswith(JPEG):
        return Outcome.SUCCEEDED
    if status in REFUSALS and retry_after is not None:
        return Outcome.REFUSED
    return Outcome.FAILED


def as_line(sample: Sample) -> str:
    return json.dumps(asdict(sample)) + "\n"


def from_lines(lines: Iterable[str]) -> list[Sample]:
    """What `as_line` wrote."""
    told = (json.loads(line) for line in lines)
    return [Sample(**{**facts, "outcome": Outcome(facts["outcome"])}) for facts in told]
