"""What can go wrong, as classes: what the service refuses is a `Problem` (RFC 9457), of the class that says what one
can do about it.

    LutraError
    +-- Unreachable            no answer, for as long as one was patient
    +-- Problem
        +-- KeyNeeded          401: without an API key, or with one that is not known
        +-- NotAllowed         403, 421
        +-- ParameterError     a parameter cannot be used; `members` say what is allowed
        +-- PictureError       the picture cannot be used
        +-- JobGone            404, 410: the job or its result is not there any more
        +-- JobFailed          taken in, and not finished
        +-- RateLimited        429: this client's limit, for longer than one was patient
        +-- Unavailable        503: the service is full or has no worker, for longer than one was patient
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx

PREFIX = "urn:lutra:problem:"


class LutraError(Exception):
    """Root of the tree."""


class Unreachable(LutraError):
    pass


class Problem(LutraError):
    """A refusal: `code` is the stable name of its kind, `members` the limit that was hit or what is allowed.

    `retry_after_s`: when to come back, where the service says so.
    """

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        self.code = str(body.get("type", "")).removeprefix(PREFIX)
        self.title = str(body.get("title", f"status {status}"))
        self.detail = str(body.get("detail") or "")
        self.instance = str(body.get("instance", ""))
        self.request_id = headers.get("x-request-id", "")
        self.members = {name: value for name, value in body.items() if name not in _STANDARD}
        self.retry_after_s = _seconds(headers.get("retry-after", ""))
        super().__init__(f"{self.title}: {self.detail}" if self.detail else self.title)


_STANDARD = frozenset({"type", "title", "status", "detail", "instance"})


class KeyNeeded(Problem):
    pass


class NotAllowed(Problem):
    pass


class ParameterError(Problem):
    pass


class PictureError(Problem):
    pass


class JobGone(Problem):
    pass


class JobFailed(Problem):
    pass


class RateLimited(Problem):
    pass


class Unavailable(Problem):
    pass


# By the kind of problem, where its status does not say enough.
BY_CODE: dict[str, type[Problem]] = {
    **dict.fromkeys(("bad-parameter", "unknown-model", "unknown-preset", "not-acceptable"), ParameterError),
    **dict.fromkeys(("job-failed", "job-timeout", "job-cancelled", "worker-lost"), JobFailed),
    **dict.fromkeys(("out-of-memory", "internal", "internal-error"), JobFailed),
}
BY_STATUS: dict[int, type[Problem]] = {
    **{401: KeyNeeded, 403: NotAllowed, 421: NotAllowed, 404: JobGone, 410: JobGone},
    **{413: PictureError, 415: PictureError, 422: PictureError, 429: RateLimited, 503: Unavailable},
}
OF_A_JOB = frozenset({"out-of-memory"})  # refusals with a time to come back that are a job's end, not the door's


def problem_of(answer: httpx.Response) -> Problem:
    """What an answer of 400 or more means; a proxy's own page has no more than its status."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    code = str(body.get("type", "")).removeprefix(PREFIX)
    kind = BY_CODE.get(code) or BY_STATUS.get(answer.status_code, Problem)
    return kind(answer.status_code, body, answer.headers)


def _seconds(retry_after: str) -> float | None:
    """Of a header in seconds or as a date (RFC 9110, 10.2.3)."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except ValueError:
        return None
