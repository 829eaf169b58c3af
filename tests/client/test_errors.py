"""Every refusal that the service has is a class that says what one can do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from lutra_client.errors import (
    JobFailed,
    JobGone,
    KeyNeeded,
    NotAllowed,
    ParameterError,
    PictureError,
    Problem,
    RateLimited,
    Unavailable,
    problem_of,
)

from service import problems
from workers import errors

# Of HTTP itself, or of a client that is not this one: no class of their own.
PLAIN = {400, 408, 409, 414, 431, 500, 501}


def told(error: errors.LutraError) -> Problem:
    body = problems.body_of(error, "urn:x")
    return problem_of(httpx.Response(body["status"], json=body, headers={"X-Request-ID": "mine"}))


def test_a_problem_keeps_what_was_seen() -> None:
    problem = told(errors.TooManyPixels("too many", limit=8))
    assert isinstance(problem, PictureError)
    assert (problem.status, problem.code, problem.detail) == (422, "too-many-pixels", "too many")
    assert (problem.members, problem.request_id, str(problem)) == ({"limit": 8}, "mine", "Too many pixels: too many")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.KeyNeeded, KeyNeeded),
        (errors.LaneRefused, NotAllowed),
        (errors.UnknownModel, ParameterError),
        (errors.NotAcceptable, ParameterError),
        (errors.CorruptPicture, PictureError),
        (errors.UploadTooLarge, PictureError),
        (errors.JobUnknown, JobGone),
        (errors.JobGone, JobGone),
        (errors.WorkerLost, JobFailed),
        (errors.OutOfMemory, JobFailed),
        (errors.JobCancelled, JobFailed),
        (errors.ShareReached, RateLimited),
        (errors.RateLimited, RateLimited),
        (errors.NoWorker, Unavailable),
        (errors.RecordUnreadable, Unavailable),
    ],
)
def test_a_class_for_what_one_can_do(error: type[errors.LutraError], kind: type[Problem]) -> None:
    assert type(told(error("seen", retry_after_s=1))) is kind


@pytest.mark.parametrize("code", errors.error_codes())
def test_every_code_of_the_service_has_a_class_or_is_plain(code: str) -> None:
    problem = told(errors.error_class(code)("seen", retry_after_s=1))
    assert problem.code == code.replace("_", "-")
    assert type(problem) is not Problem or problem.status in PLAIN


def test_a_page_of_a_proxy_is_a_problem_by_its_status() -> None:
    for body in ("<html>", "[1]", ""):
        problem = problem_of(httpx.Response(503, text=body))
        assert isinstance(problem, Unavailable) and problem.code == ""
    assert type(problem_of(httpx.Response(500))) is Problem


def test_when_to_come_back_is_told_in_seconds_or_as_a_date() -> None:
    def after(value: str) -> float | None:
        return problem_of(httpx.Response(503, headers={"Retry-After": value})).retry_after_s

    assert (after("7"), after("soon"), after("")) == (7, None, None)
    later = after(format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True))
    assert later is not None and 50 < later <= 60
